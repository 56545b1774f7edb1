"""Screen submissions: which of people's labels count for the images and classes of today.

A submission says of which pixels it is, and which classes its reviewer could choose from; those of
older versions say neither, and count by the image's name alone. What does not fit stays in its
file, is said, and is left out, so that its images wait for a person.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from boxloop import __version__
from boxloop.campaign import class_changes, submissions
from boxloop.campaign.claims import Claim, claims_of, taken_back
from boxloop.core.completeness import Incomplete, unseen
from boxloop.core.types import BY_IMAGE, Corrections, ImageSet, Proposals
from boxloop.params import GIVEN

_MOST_NAMED = 3
_NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Verdict:
    """What of the claims counts.

    Attributes:
        dropped: (file, image) of those that do not.
        renamed: today's id by (file, image), of images that have another name now.
        notes: what people should know, one sentence each.
        incomplete: classes of today that could not be chosen for an image, by image.
        lasting: those of the notes that no stage and no person has to act on.
        hidden: those of the dropped that nobody is to see again beside others of their image.
    """

    dropped: frozenset[tuple[Path, str]]
    renamed: Mapping[tuple[Path, str], str]
    notes: tuple[str, ...]
    incomplete: Incomplete
    lasting: frozenset[str] = frozenset()
    hidden: frozenset[tuple[Path, str]] = frozenset()


@dataclass(frozen=True)
class Screened:
    """The submissions that count, as far as they do, oldest first; and what people should know.

    ``incomplete`` is as in :class:`Verdict`; ``files`` are those of the submissions.
    """

    submissions: list[Corrections]
    notes: tuple[str, ...]
    incomplete: Incomplete
    files: tuple[Path, ...]


def read(
    journals: Iterable[Path],
    restored: Iterable[Path],
    images: ImageSet,
    batch: Proposals | None = None,
    *,
    all_: bool = False,
) -> Screened:
    """Read what people submitted, and screen it; see :func:`judge`.

    Args:
        journals: the folders of submissions.
        restored: corrections that DVC brought back, which count as submissions.
        images: of today, with today's classes.
        batch: the one to speak of; all unless given.
        all_: whether to return what does not count, too, save where other labels of the image do
            and it is of other pixels.

    Raises:
        ArtifactError: a file is damaged; names it and the way out.
    """
    journals = list(journals)
    journal = submissions.read_files(*journals)
    brought = submissions.read_restored(restored, class_changes.read(*journals))
    return screen(journal, brought, images, batch, all_=all_)


def screen(
    journal: Sequence[tuple[Path, Corrections]],
    restored: Sequence[tuple[Path, Corrections]],
    images: ImageSet,
    batch: Proposals | None = None,
    *,
    all_: bool = False,
    option: str = "",
    today: Mapping[str, str] | None = None,
) -> Screened:
    """Screen submissions, each with its file; see :func:`judge` and :func:`read`.

    With an ``option`` of ``boxloop review`` they are second looks, and the notes name it. The notes
    name the batches of ``today``, by image; unless given those of then.
    """
    claims = [c for file, item in journal for c in claims_of(file, item)]
    claims += [c for file, item in restored for c in claims_of(file, item, in_journal=False)]
    if today is not None:
        claims = [replace(claim, batch=today.get(claim.image_id, "")) for claim in claims]
    verdict = judge(claims, images, batch, option)
    dropped = verdict.hidden if all_ else verdict.dropped
    found = [
        (file, part)
        for file, item in (*journal, *restored)  # edited by hand, a restored one is the newer
        if (part := _apply(file, item, dropped, verdict.renamed)) is not None
    ]
    incomplete = {} if option else verdict.incomplete  # which tells of labels
    notes = (*verdict.notes, *map(in_words, by_class(incomplete, images.classes).items()))
    return Screened([p for _, p in found], notes, verdict.incomplete, tuple(f for f, _ in found))


def by_class(incomplete: Incomplete, classes: Iterable[str]) -> dict[str, list[str]]:
    """Return the images that are not complete for a class, by class, where there are any."""
    found = {name: [i for i, missing in incomplete.items() if name in missing] for name in classes}
    return {name: image_ids for name, image_ids in found.items() if image_ids}


def in_words(row: tuple[str, Sequence[str]]) -> str:
    """Say of a class which images are not complete for it, and how to complete them."""
    name, image_ids = row
    are = "is" if len(image_ids) == 1 else "are"
    return (
        f"{name_images(image_ids)} {are} not complete for '{name}', which could not be chosen when"
        f" people reviewed: {review_command(name)} opens what is missing"
    )


def as_list(found: Mapping[str, Sequence[str]]) -> str:
    """Say it of each class, a line each; nothing where all images are complete."""
    lines = [f"- {in_words(row)}" for row in found.items()]
    return "\n".join(["Classes that are new:", *lines]) if lines else ""


def review_command(name: str) -> str:
    """Return the command that opens the images which are not complete for a class."""
    quoted = shlex.quote(name)
    if quoted != name and not set(name) & set('"\\$`!'):
        quoted = f'"{name}"'  # easier to read within a sentence
    return f"'boxloop review --for {quoted}'"


def judge(
    claims: Sequence[Claim],
    images: ImageSet,
    batch: Proposals | None = None,
    option: str = "",
) -> Verdict:
    """Judge which labels count for the images and classes of today.

    - Labels of other pixels than an image has now never count for it. Where its file has another
      name now, they count under that one.
    - Of each image the newest counts, as ever. Where it names a class that there is no more, or two
      submissions of the very same time differ, none does.
    - Names that follow a change of classes which the journal lost do not count beside people's own.
    - Labels that were imported and trusted never take the place of a person's that count.
    - Where a class is new since, they count, and the image is not complete for that class.
    - Where a newer boxloop wrote the file, they count, and it is said.

    Args:
        claims: of all submissions.
        images: of today, with today's classes.
        batch: the one to speak of; all unless given.
        option: of the command that opens them.
    """
    return _Judging(images, batch, option).judge(claims)


class _Judging:
    """Go through the images, and collect what is to be said by file."""

    def __init__(self, images: ImageSet, batch: Proposals | None, option: str = "") -> None:
        self._now = {image.id: image.digest for image in images.images}
        self._classes, self._batch, self._option = images.classes, batch, option
        self._dropped: set[tuple[Path, str]] = set()
        self._hidden: set[tuple[Path, str]] = set()
        self._incomplete: dict[str, tuple[str, ...]] = {}
        self._said: dict[tuple[str, Path, str, str], list[str]] = {}

    def judge(self, claims: Sequence[Claim]) -> Verdict:
        renamed = self._find_renamed(claims)
        by_image: dict[str, list[Claim]] = {}
        for claim in claims:
            today = renamed.get((claim.file, claim.image_id), claim.image_id)
            by_image.setdefault(today, []).append(claim)
        for image_id, own in by_image.items():
            if image_id in self._now:
                self._judge_image(image_id, own)
            elif self._batch is None:
                self._say(own[-1], "gone", "", image_id)
        notes = {
            _SENTENCES[kind].format(
                file=file,
                images=name_images(ids),
                what=what,
                anew=_ANEW.format(batch=batch) if batch else _IN_NO_BATCH,
                decide=_DECIDE.format(batch=batch) if batch else "",
            ): kind
            for (kind, file, what, batch), ids in self._said.items()
        }
        lasting = frozenset(note for note, kind in notes.items() if kind in _LASTING)
        dropped = frozenset(self._dropped)
        hidden = frozenset(self._hidden)
        return Verdict(dropped, renamed, tuple(notes), self._incomplete, lasting, hidden)

    def _find_renamed(self, claims: Sequence[Claim]) -> dict[tuple[Path, str], str]:
        """Find the images of today that have the very bytes which were labeled by another name.

        Its labels go to the only image that has the bytes. Of several, those of a name that is gone
        go to one that nobody labeled, or else to the one that was labeled longest ago; those of a
        name that is another image now to none, as each may have been there.
        """
        named: dict[str, list[str]] = {}
        for image_id, digest in self._now.items():
            named.setdefault(digest, []).append(image_id)
        last: dict[tuple[str, str], datetime] = {}  # when these bytes were labeled by that name
        found: dict[tuple[str, str], str] = {}
        # What DVC brought back has the names of when it was made, and these differ between clones:
        # where the journal's labels go does not depend on them.
        for in_journal in (True, False):
            part = [c for c in claims if c.in_journal is in_journal]
            for c in part:
                digest = c.digest or self._now.get(c.image_id, "")
                last[digest, c.image_id] = max(c.when, last.get((digest, c.image_id), c.when))
            for c in part:
                then, places = (c.digest, c.image_id), named.get(c.digest, [])
                if not c.digest or then in found or not places or c.image_id in places:
                    continue
                if len(places) == 1 or c.image_id not in self._now:
                    times = {i: last.get((c.digest, i), _NEVER) for i in places}
                    found[then] = min(times, key=times.__getitem__)
                    last[c.digest, found[then]] = max(times[found[then]], last[then])
        return {
            (c.file, c.image_id): found[c.digest, c.image_id]
            for c in claims
            if (c.digest, c.image_id) in found
        }

    def _judge_image(self, image_id: str, claims: Sequence[Claim]) -> None:
        renamed = taken_back(claims)
        for claim in renamed:
            self._drop(claim, hide=True)
        claims = [c for c in claims if c not in renamed]
        fitting = self._once([c for c in claims if c.digest in ("", self._now[image_id])])
        fitting = self._leave_given(image_id, fitting)
        newest = max((c.when for c in fitting), default=None)
        for claim in claims:
            if claim.digest not in ("", self._now[image_id]):
                self._drop(claim, hide=newest is not None)
                if newest is None or claim.when > newest:
                    self._say(claim, "pixels", "", image_id)
        if newest is None:
            return
        fault = self._fault(fitting)
        if fault is None:
            self._look_at([c for c in fitting if c.when == newest][-1], image_id)
            return
        kind, claim, what = fault
        self._say(claim, kind, what, image_id)
        for claim in fitting:
            self._drop(claim)

    def _fault(self, claims: Sequence[Claim]) -> tuple[str, Claim, str] | None:
        """Return why the newest of an image's labels do not count: what is to be said, and of."""
        newest = max(c.when for c in claims)
        counting = [c for c in claims if c.when == newest]
        rivals = [c for c in counting if c.in_journal]
        unknown = sorted({label for c in counting for label in c.labels} - set(self._classes))
        if any(other.content != rivals[0].content for other in rivals[1:]):
            return "conflict", rivals[-1], ", ".join(str(c.file) for c in rivals[:-1])
        return ("unknown", counting[-1], f"'{unknown[0]}'") if unknown else None

    def _leave_given(self, image_id: str, claims: Sequence[Claim]) -> list[Claim]:
        """Leave out imported labels that are newer than a person's, where the person's count.

        No import takes such images; another clone's did, which did not know of the person's.
        """
        people = [c for c in claims if not c.given]
        if not people or self._fault(people) is not None:
            return list(claims)
        newest = max(c.when for c in people)
        for claim in claims:
            if claim.given and claim.when >= newest:
                self._drop(claim, hide=True)
                if claim.in_journal:
                    self._say(claim, "given", "", image_id)
        return [c for c in claims if not (c.given and c.when >= newest)]

    def _once(self, claims: Sequence[Claim]) -> list[Claim]:
        """Leave out all but the newest of what one file holds of an image, by two names."""
        best: dict[Path, Claim] = {}
        for claim in claims:
            best[claim.file] = max(best.get(claim.file, claim), claim, key=_age)
        kept = []
        for claim in claims:
            other = best[claim.file]
            if claim is other or (_age(claim) == _age(other) and claim.content != other.content):
                kept.append(claim)
            else:
                self._drop(claim, hide=True)
        return kept

    def _look_at(self, claim: Claim, image_id: str) -> None:
        """Say what is odd about labels that count."""
        if claim.image_id != image_id:
            self._say(claim, "renamed", "", image_id, f"{image_id} (then {claim.image_id})")
        missing = unseen(self._classes, claim.classes)
        if missing and (self._batch is None or image_id in self._batch.boxes):
            self._incomplete[image_id] = missing
        if _is_newer(claim.boxloop):
            self._say(claim, "version", claim.boxloop, image_id)

    def _drop(self, claim: Claim, *, hide: bool = False) -> None:
        self._dropped.add((claim.file, claim.image_id))
        if hide:
            self._hidden.add((claim.file, claim.image_id))

    def _say(self, claim: Claim, kind: str, what: str, image_id: str, name: str = "") -> None:
        if self._batch is None or image_id in self._batch.boxes:
            # Labels that were given are of no batch of their own.
            known = "" if claim.batch == GIVEN else claim.batch
            batch = known if self._batch is None else self._batch.batch
            batch += self._option if batch else ""
            self._said.setdefault((kind, claim.file, what, batch), []).append(name or image_id)


def _age(claim: Claim) -> tuple[datetime, bool]:
    """Return what tells the newer of two claims; one that tells its pixels goes before."""
    return claim.when, bool(claim.digest)


_SENTENCES = {
    "pixels": "{file} labels other pixels than are now in {images}, and does not count there: bring"
    " back what was labeled, or label it anew ({anew})",
    "conflict": "{file} and {what} are of the very same time and differ about {images}, so neither"
    " counts there: move the wrong one out of that folder{decide}",
    "unknown": "{file} uses {what}, which is no class of this campaign now, and does not count for"
    " {images}: list that class again, or label it anew ({anew})",
    "version": "{file} was written by boxloop {what}, newer than this one, and counts for {images}:"
    " install that version where it matters",
    "gone": "{file} labels {images}, not among the dataset's images now: the labels are kept, and"
    " count again once the image is back",
    "given": "{file} has imported labels of {images}, where a person's count: they are left alone",
    "renamed": "{file} counts for {images}, because the files are the same",
}

_ANEW = "'boxloop review {batch}'; with --redo it opens with those labels"
_DECIDE = ", or decide by 'boxloop review {batch} --redo'"
_IN_NO_BATCH = "once it is in a batch: list more iterations"

_LASTING = {"version", "gone", "given", "renamed"}
"""Kinds of sentences that stay while everything is up to date: nothing is to be done."""


def name_images(image_ids: Sequence[str]) -> str:
    """Return how many images there are, and the names of the first."""
    if len(image_ids) == 1:
        return f"image {image_ids[0]}"
    more = ", ..." if len(image_ids) > _MOST_NAMED else ""
    return f"{len(image_ids)} images ({', '.join(image_ids[:_MOST_NAMED])}{more})"


def _is_newer(version: str) -> bool:
    numbers = [part for part in version.split(".")[:3] if part.isdecimal() and len(part) < 9]
    own = [int(part) for part in __version__.split(".")[:3] if part.isdecimal()]
    return bool(numbers) and [int(part) for part in numbers] > own


def _apply(
    file: Path,
    item: Corrections,
    dropped: Collection[tuple[Path, str]],
    renamed: Mapping[tuple[Path, str], str],
) -> Corrections | None:
    """Return the part of a submission that counts, under today's names; None where none does."""
    kept = [i for i in item.boxes if (file, i) not in dropped]
    if not kept:
        return None
    found = item if len(kept) == len(item.boxes) else item.part(kept)
    names = {i: renamed[file, i] for i in kept if (file, i) in renamed}
    if not names:
        return found

    def by_today(table: Mapping[str, object]) -> dict[str, object]:
        return {names.get(image_id, image_id): value for image_id, value in table.items()}

    fields = {k: by_today(getattr(found, k)) for k in ("boxes", *BY_IMAGE)}
    for name in ("given", "blind"):
        fields[name] = tuple(names.get(i, i) for i in getattr(found, name))  # type: ignore[assignment]
    offered = replace(found.proposals, boxes=by_today(found.proposals.boxes))  # type: ignore[arg-type]
    return replace(found, proposals=offered, **fields)  # type: ignore[arg-type]
