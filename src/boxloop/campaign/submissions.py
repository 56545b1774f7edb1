"""The journal: what people submitted, one file per submission, never replaced or deleted.

A submission (a batch, a part of one, a redo, an import from elsewhere) is a
:class:`~boxloop.core.types.Corrections` that covers exactly the images submitted. For each image
the newest one counts. The corrections of a batch are put together from them whenever DVC asks, so
nothing that happens upstream, to DVC's files or to a database, can lose a label.

Second looks lie beside them under names of their own, and are no labels: who wants them asks for
them by ``look``.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from boxloop.campaign import artifacts, class_changes
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.moments import parse_time as parse_time
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.schemas import fault_of
from boxloop.campaign.submission_names import LOOK, keep_both, stem
from boxloop.core.types import Boxes, Corrections, Proposals
from boxloop.errors import ArtifactError, MergeConflictError, ReviewPending
from boxloop.files import explained, read_bytes, remove_leftovers
from boxloop.terminal import counted

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


def timestamp() -> str:
    """Return the time as submissions carry it: ISO 8601, UTC, microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def append(
    folder: Path, corrections: Corrections, *, look: bool = False, kept: bool = False
) -> Path:
    """Add a submission, which is on the disk when this returns.

    Where one of its images is held with a later time (a clock was set back, or another machine's
    was ahead), the submission takes a time just after that: it is the newest.

    Args:
        folder: the journal, beside the campaign's ``data/``; made where it is missing.
        corrections: of a person, ``finished`` set; exactly the images submitted.
        look: whether they are a second look, and no labels.
        kept: whether they were labels before, which are no newer than others by being kept.

    Returns:
        Its file, ``b01-20240101T120000000000Z-ada.json``, or ``...-ada.kept-1a2b3c4d.json``.

    Raises:
        ValueError: they are no person's, or have no time.
        ArtifactError: a file of the journal, or one that DVC brought back, is damaged.
        UserError: the folder cannot be written to.
    """
    if not corrections.by_person or corrections.finished is None:
        raise ValueError("a submission needs a person and a time")
    newest = _newest(folder, corrections, look, kept)
    oldest = min((submitted_at(corrections, i) for i in corrections.boxes), default=_BEFORE_ALL)
    if newest is not None and newest >= oldest:
        after = max(newest + timedelta(microseconds=1), parse_time(corrections.finished))
        finished = after.isoformat(timespec="microseconds")
        corrections = replace(corrections, finished=finished, submitted={})
    # The name of what a killed writer left never comes again, so nobody else would remove it.
    remove_leftovers(folder, ".*-????????T????????????Z-*.json", ".json")
    end = LOOK if look else ".json"
    name = stem(corrections, parse_time(corrections.finished or ""), kept=kept)
    for number in count(1):
        path = folder / (f"{name}{end}" if number == 1 else f"{name}-{number}{end}")
        with contextlib.suppress(FileExistsError):
            artifacts.write_corrections(path, corrections, new=True, look=look)
            return path
    raise AssertionError("unreachable")


def read(*folders: Path) -> list[Corrections]:
    """Read every submission, oldest first.

    Args:
        folders: the journal, or several that are read as one: a file that is the same in two of
            them counts once. A folder that does not exist holds nothing.

    Raises:
        ArtifactError: a file is damaged, or no person's submission; names it and the way out.
    """
    return [corrections for _, corrections in read_files(*folders)]


def read_files(*folders: Path, look: bool = False) -> list[tuple[Path, Corrections]]:
    """Read every submission, or every second ``look``, with its file; see :func:`read`."""
    changes = class_changes.read(*folders)
    found: list[tuple[datetime, str, Path, Corrections]] = []
    for path in _files(folders, look):
        try:
            corrections = artifacts.read_corrections(path, look=look)
            require_submission(path, corrections)
        except MergeConflictError as error:
            raise type(error)(f"{error}; {keep_both(path)}") from None
        except ArtifactError as error:
            raise type(error)(
                f"{fault_of(error)}; it holds labels, so bring it back ('git checkout {path}' where"
                " it was committed) or move it to a safe place"
            ) from None
        corrections = named_as_today(corrections, changes)
        found.append((parse_time(corrections.finished or ""), path.name, path, corrections))
    return [row[2:] for row in sorted(found, key=lambda row: row[:2])]


def read_restored(
    paths: Iterable[Path], changes: Sequence[ClassChange] = ()
) -> list[tuple[Path, Corrections]]:
    """Read corrections that DVC brought back, of those paths that exist; people's only.

    ``changes`` are the classes that were renamed and merged.
    """
    found = [(path, artifacts.read_corrections(path)) for path in paths if path.exists()]
    return [(path, named_as_today(item, changes)) for path, item in found if item.by_person]


def _newest(folder: Path, corrections: Corrections, look: bool, kept: bool) -> datetime | None:
    """Return when the newest known labels of these images were submitted, by name or by pixels."""
    digests = corrections.digests
    pixels = set(digests.values())

    def is_same(item: Corrections, image_id: str) -> bool:
        own, other = digests.get(image_id), item.digests.get(image_id)
        if kept:
            return image_id in corrections.boxes and (own == other or None in (own, other))
        return image_id in corrections.boxes or other in pixels

    known = read_files(folder, look=look) if kept else _held(folder, look)
    times = (submitted_at(item, i) for _, item in known for i in item.boxes if is_same(item, i))
    return max(times, default=None)


def _held(folder: Path, look: bool) -> list[tuple[Path, Corrections]]:
    """Read all that people submitted to the campaign of a journal, wherever it lies."""
    paths = CampaignPaths(folder.parent)
    others = [other for other in paths.journals if other != folder]
    journal = read_files(folder, *others, look=look)
    if look:
        return journal
    return [*journal, *read_restored(submission_files(paths.corrections("b00").parent))]


def named_as_today(item: Corrections, changes: Sequence[ClassChange]) -> Corrections:
    """Return corrections of a person with the class names of today."""
    when = _BEFORE_ALL if item.finished is None else parse_time(item.finished)
    return class_changes.follow(item, changes, when)


def submission_files(folder: Path, *, look: bool = False) -> list[Path]:
    """List the files of a journal, or of its second looks, by name; others may lie there too.

    Raises:
        ArtifactError: the folder cannot be looked into; no folder at all holds nothing.
    """
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if e.name.endswith(".json") and e.name[0] != "."]
            names = [name for name in names if not name.endswith(class_changes.SUFFIX)]
            names = [name for name in names if name.endswith(LOOK) is look]
    except FileNotFoundError:
        if not folder.is_symlink():
            return []
        reason = "it is a link to what is not there"
    except OSError as error:
        reason = error.strerror or str(error)
    else:
        return [folder / name for name in sorted(names)]
    raise ArtifactError(
        f"{folder} cannot be looked into ({reason}), and it may hold people's labels: make it"
        " readable again, or move it away where it holds none"
    )


def _files(folders: Iterable[Path], look: bool) -> list[Path]:
    chosen: dict[str, list[Path]] = {}
    for folder in folders:
        for path in submission_files(folder, look=look):
            same = chosen.setdefault(path.name, [])
            if not any(_content(path) == _content(other) for other in same):
                same.append(path)
    return [path for paths in chosen.values() for path in paths]


def _content(path: Path) -> bytes:
    with explained(path):
        return read_bytes(path)


def require_submission(path: Path, corrections: Corrections) -> None:
    """Refuse corrections that cannot be a submission.

    Raises:
        ArtifactError: they are no person's, or a time of theirs is none; names the file.
    """
    if not corrections.by_person or corrections.finished is None:
        raise ArtifactError(f"{path} is no person's submission: it needs a time in 'finished'")
    for moment in (corrections.finished, *corrections.submitted.values()):
        try:
            parse_time(moment)
        except ValueError:
            raise ArtifactError(f"{path}: '{moment}' is not a time by ISO 8601") from None


def submitted_at(corrections: Corrections, image_id: str) -> datetime:
    """Return when an image was submitted; before all times where nothing tells."""
    moment = _time_of(corrections, image_id)
    return _BEFORE_ALL if moment is None else parse_time(moment)


def latest(submissions: Iterable[Corrections]) -> dict[str, Corrections]:
    """Return each image's submission that counts: the newest, of equally old ones the last.

    Of two that say the same the first does, which is the person's own: what was put together of it
    names all people of the batch.
    """
    result: dict[str, Corrections] = {}
    for item in submissions:
        for image_id, boxes in item.boxes.items():
            other = result.get(image_id)
            if other is not None:
                own, known = submitted_at(item, image_id), submitted_at(other, image_id)
                if own < known or (own == known and boxes == other.boxes[image_id]):
                    continue
            result[image_id] = item
    return result


def missing(submissions: Iterable[Corrections], image_ids: Iterable[str]) -> list[str]:
    """Return the images that nobody submitted yet, in their order."""
    known = {image_id for item in submissions for image_id in item.boxes}
    return [image_id for image_id in image_ids if image_id not in known]


def assemble(submissions: Sequence[Corrections], proposals: Proposals) -> Corrections:
    """Assemble the corrections of a batch from the newest submission of each of its images.

    The images may have been submitted in several parts, in other batches (the ordering was
    another then), with proposals of other detectors and at other review thresholds. What was shown
    stays exactly that: the threshold is the lowest of all, and an image that was shown from a
    higher one on comes without the proposals between the two. Labels that were given have no part
    in what is said of all images, where others are there.

    Args:
        submissions: of people, oldest first.
        proposals: name the batch and its images. Their boxes are not used: what counts is what
            people saw.

    Returns:
        The same for the same arguments. ``annotator`` joins different kinds by "+"; ``reviewer``,
        ``versions`` and the detectors and checkpoints of the proposals join different values by
        ", "; ``finished`` is the latest time.

    Raises:
        ReviewPending: nobody has submitted some of the images yet.
        ValueError: the proposals are of no image.
    """
    if not proposals.boxes:
        raise ValueError(f"batch {proposals.batch} has no image")
    chosen = latest(submissions)
    image_ids = list(proposals.boxes)
    waiting = missing(submissions, image_ids)
    if waiting:
        raise ReviewPending(pending_text(proposals.batch, len(image_ids), len(waiting)))
    everything = list({id(chosen[i]): chosen[i] for i in image_ids}.values())
    # Labels that were given say nothing of what was shown elsewhere.
    sources = [item for item in everything if len(item.given) < len(item.boxes)] or everything
    reviewed = [i for i in image_ids if i not in chosen[i].given] or image_ids
    threshold = min(source.score_threshold for source in sources)
    times = {i: _time_of(chosen[i], i) for i in image_ids}
    finished = times[max(image_ids, key=lambda i: submitted_at(chosen[i], i))]
    offers = [source.proposals for source in sources]
    offered = {i: chosen[i].offered.get(i, chosen[i].classes) for i in image_ids}
    common = _common_classes(offered.values())
    fitted = {offer.thresholds for offer in offers}
    return Corrections(
        proposals=Proposals(
            batch=proposals.batch,
            detector=_join(offer.detector for offer in offers),
            checkpoint=_join(offer.checkpoint for offer in offers),
            score_floor=min(offer.score_floor for offer in offers),
            boxes={i: _offered(chosen[i], i, threshold) for i in image_ids},
            # What was expected of the batch holds only where all of it was shown by that.
            thresholds=fitted.pop() if len(fitted) == 1 else (),
        ),
        score_threshold=threshold,
        annotator="+".join(sorted({k for s in sources for k in s.annotator.split("+")})),
        boxes={i: chosen[i].boxes[i] for i in image_ids},
        reviewer=_join(filter(None, (first_reviewer(chosen[i], i) for i in reviewed))) or None,
        seconds={i: chosen[i].seconds[i] for i in image_ids if i in chosen[i].seconds},
        finished=finished,
        versions=_versions(sources),
        submitted={i: t for i, t in times.items() if t is not None and t != finished},
        revision=_revision(submissions, image_ids),
        digests={i: chosen[i].digests[i] for i in image_ids if i in chosen[i].digests},
        classes=common,
        given=tuple(i for i in image_ids if i in chosen[i].given),
        blind=tuple(i for i in image_ids if i in chosen[i].blind),
        planted={i: chosen[i].planted[i] for i in image_ids if i in chosen[i].planted},
        offered={i: names for i, names in offered.items() if set(names) != set(common)},
        changes=class_changes.followed_by_all(sources),
        decided={i: chosen[i].decided[i] for i in image_ids if i in chosen[i].decided},
        rechecked={i: chosen[i].rechecked[i] for i in image_ids if i in chosen[i].rechecked},
    )


def pending_text(batch: str, images: int, waiting: int) -> str:
    """Say that a batch waits for people, and what to type."""
    done = images - waiting
    if done:
        return (
            f"batch {batch} waits for its review: {done} of {images} images are submitted; go on"
            f" with 'boxloop review {batch}', then 'dvc repro'"
        )
    return (
        f"batch {batch} waits for its review, {counted(images)}: 'boxloop review {batch}' opens"
        " them, then 'dvc repro' goes on"
    )


def take_over(*batches: str) -> str:
    """Return the command that has DVC look at the journal for batches which it takes for done."""
    return " ".join(["dvc repro --single-item --force", *(f"finish@{key}" for key in batches)])


def _offered(source: Corrections, image_id: str, threshold: float) -> Boxes:
    boxes = source.proposals.boxes[image_id]
    hidden = boxes.reach(threshold) & ~boxes.reach(source.score_threshold)
    return boxes.select(~hidden)


def _join(values: Iterable[str]) -> str:
    """Join different values by ", ", as they appear; take joined ones apart first."""
    return ", ".join(dict.fromkeys(part for value in values for part in value.split(", ")))


def first_reviewer(item: Corrections, image_id: str) -> str | None:
    """Return who labeled an image before a third person decided, or somebody looked again."""
    decided, look = item.decided.get(image_id), item.rechecked.get(image_id)
    if look is not None:  # it came first: where a third person decided, nobody looks for errors
        return look.reviewer
    return item.reviewer if decided is None else decided.first_reviewer


def _versions(sources: Sequence[Corrections]) -> Mapping[str, str]:
    names = sorted({name for source in sources for name in source.versions})
    return {name: _join(s.versions[name] for s in sources if name in s.versions) for name in names}


def _common_classes(offered: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the classes that could be chosen for every image; none where that is not known."""
    first, *others = dict.fromkeys(offered)
    return tuple(name for name in first if all(name in other for other in others))


def _revision(submissions: Sequence[Corrections], image_ids: Collection[str]) -> int:
    """Count 1, and 1 more for each submission that repeats an image of a batch.

    Second and third looks are none: their work counts apart. What was put together earlier knows of
    files that are gone since, but of no older ones that a merge brought: the larger count is right.
    """
    held_first = sorted(submissions, key=lambda item: -item.revision)
    return max(_count_repeats(order, {*image_ids}) for order in (submissions, held_first))


def _count_repeats(submissions: Sequence[Corrections], image_ids: set[str]) -> int:
    revision, seen = 1, dict[str, datetime]()
    for item in submissions:
        times = {i: submitted_at(item, i) for i in item.boxes if i in image_ids}
        own = times.keys() - item.decided.keys() - item.rechecked.keys()
        if any(i in seen and times[i] > seen[i] for i in own):
            revision += 1
        if set(item.boxes) <= image_ids:
            revision = max(revision, item.revision)
        seen |= {i: max(moment, seen.get(i, moment)) for i, moment in times.items()}
    return revision


def _time_of(corrections: Corrections, image_id: str) -> str | None:
    return corrections.submitted.get(image_id, corrections.finished)
