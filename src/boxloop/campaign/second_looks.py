"""Read what two people made of the same images, and where a third decided.

The first look at an image is the label that people submitted for it; a second one is in the journal
beside it, and never a label. Where a third person decided between the two, the label is theirs, and
the decision holds the first person's boxes. A look for likely errors (``--qa``) is neither: the
first look is what the review had ended with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts, screening, submissions
from boxloop.campaign.fitting import require_inside
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.agreement import Agreement, agree, differ
from boxloop.core.edits import Ledger, diff
from boxloop.core.names import UNNAMED
from boxloop.core.types import Boxes, Corrections, Decision, ImageSet

SECOND_ID = "second-"
"""Begins the ids, in a third look, of boxes that only the second person has."""


@dataclass(frozen=True)
class SecondLook:
    """An image that two people labeled.

    Attributes:
        image_id: of the image.
        batch: of its label, as it was submitted.
        first: the first person's boxes.
        second: the second person's.
        people: who they are.
        standing: the first person's, with what was put right by who looked for likely errors:
            what a third person decides on.
        looked_again: who looked for these; several names are joined by ", ", empty for nobody.
        times: when the label and the second look were submitted.
        label: the submission that counts for the image.
        source: the second look's submission.
        decided: how a third person decided between these two; None where nobody did.
    """

    image_id: str
    batch: str
    first: Boxes
    second: Boxes
    people: tuple[str, str]
    standing: Boxes
    looked_again: str
    times: tuple[str, str]
    label: Corrections
    source: Corrections
    decided: Decision | None

    def differs(self, iou_threshold: float) -> bool:
        """Return whether the two see the image differently, and nobody decided yet.

        Nothing is left to decide where a look for likely errors made of one what the other is.
        """
        both = (self.first, self.standing)
        return self.decided is None and all(differ(a, self.second, iou_threshold) for a in both)


@dataclass(frozen=True)
class Work:
    """One person's second or third looks: the newest of each image.

    Attributes:
        reviewer: who.
        look: "second" or "third".
        images: how many.
        seconds: active ones of those that were timed.
        timed_images: how many were.
        edits: from what was shown to what was submitted, by the ids of the boxes.
    """

    reviewer: str
    look: str
    images: int
    seconds: float
    timed_images: int
    edits: Ledger


@dataclass(frozen=True)
class Looks:
    """All second looks that count today, by image in the order in which they were submitted.

    ``notes`` say which do not count, one sentence each; ``work`` is that of the people besides the
    first ones.
    """

    images: tuple[SecondLook, ...]
    notes: tuple[str, ...]
    work: tuple[Work, ...]

    def differing(self, iou_threshold: float) -> list[SecondLook]:
        """Return the images that two people see differently, and nobody decided."""
        return [look for look in self.images if look.differs(iou_threshold)]

    def agreements(self, iou_threshold: float) -> dict[tuple[str, str], Agreement]:
        """Return the agreement of each pair of people, in the order of their names."""
        pairs: dict[tuple[str, str], list[tuple[Boxes, Boxes]]] = {}
        for look in self.images:
            (a, one), (b, other) = sorted(
                zip(look.people, (look.first, look.second), strict=True), key=lambda row: row[0]
            )
            pairs.setdefault((a, b), []).append((one, other))
        return {people: agree(pairs[people], iou_threshold) for people in sorted(pairs)}


def exist(paths: CampaignPaths) -> bool:
    """Return whether anybody took a second look at anything."""
    return any(submissions.submission_files(folder, look=True) for folder in paths.journals)


def read_second(
    paths: CampaignPaths,
    images: ImageSet,
    *,
    all_: bool = False,
    today: Mapping[str, str] | None = None,
) -> screening.Screened:
    """Read the second looks that count today, oldest first; with ``all_`` those that do not, too.

    Those at images that are not in the dataset now are left out, and its notes tell of them. The
    notes name the batches of ``today``, by image, where these are told.

    Raises:
        ArtifactError: a file is damaged, or a box that counts reaches beyond its image; names it
            and the way out.
    """
    files = submissions.read_files(*paths.journals, look=True)
    found = screening.screen(files, (), images, all_=all_, option=" --also", today=today)
    found = _of_today(found, images)
    for file, item in zip(found.files, found.submissions, strict=True) if not all_ else ():
        require_inside(images, item.boxes, file)
    return found


def read(
    paths: CampaignPaths, batches: Iterable[str], today: Mapping[str, str] | None = None
) -> Looks:
    """Read the images that two people labeled.

    Args:
        paths: of the campaign.
        batches: of the campaign.
        today: the batch of each image, for the notes; unless given they name those of then.

    Raises:
        ArtifactError: a file is damaged; names it and the way out.
    """
    if not exist(paths) or not paths.images.exists():
        return Looks((), (), ())
    images = artifacts.read_images(paths.images)
    restored = map(paths.corrections, batches)
    labels = _of_today(screening.read(paths.journals, restored, images), images)
    return of(labels, read_second(paths, images, today=today))


def _of_today(found: screening.Screened, images: ImageSet) -> screening.Screened:
    """Leave out what is said of images that are gone: it counts again once they are back."""
    now, files, kept = images.by_id(), list[Path](), list[Corrections]()
    for file, item in zip(found.files, found.submissions, strict=True):
        here = [image_id for image_id in item.boxes if image_id in now]
        if here:
            files.append(file)
            kept.append(item if len(here) == len(item.boxes) else item.part(here))
    return replace(found, submissions=kept, files=tuple(files))


def of(labels: screening.Screened, second: screening.Screened) -> Looks:
    """Compare the labels with the second looks; see :func:`read`."""
    known = submissions.latest(labels.submissions)
    looks = submissions.latest(second.submissions)
    made = _decisions(labels.submissions)
    pairs = (_pair(i, known[i], item, made.get(i)) for i, item in looks.items() if i in known)
    return Looks(
        # Who labeled an image again after a second look of their own is one person, not two.
        tuple(look for look in pairs if look.people[0] != look.people[1]),
        second.notes,
        (*_second_work(looks), *_third_work(made)),
    )


def _decisions(labels: Sequence[Corrections]) -> dict[str, Corrections]:
    """Return the newest decision of each image that has one, also where it was redone since."""
    return submissions.latest(item.part(item.decided) for item in labels if item.decided)


def _pair(
    image_id: str, label: Corrections, second: Corrections, made: Corrections | None
) -> SecondLook:
    own = time_of(second, image_id)
    decided = None if made is None else made.decided[image_id]
    later = None if image_id in label.decided else label.rechecked.get(image_id)
    ended = label.boxes[image_id] if later is None else later.before
    if made is not None and not _same(ended, made.boxes[image_id]):
        decided = None  # a redo changed it, which is the first look now
    if decided is not None and image_id not in label.decided and decided.looks[1] != own:
        decided = None  # a redo confirmed it, and is the first look beside a newer second one
    standing, when, reviewer = label.boxes[image_id], time_of(label, image_id), label.reviewer
    recheck = label.rechecked.get(image_id)
    if made is not None and decided is not None:
        standing, when, reviewer = decided.first, decided.looks[0], decided.first_reviewer
        recheck = made.rechecked.get(image_id)
    boxes = standing if recheck is None else recheck.before
    reviewer = reviewer if recheck is None else recheck.reviewer
    return SecondLook(
        image_id,
        label.batch,
        boxes,
        second.boxes[image_id],
        (reviewer or UNNAMED, second.reviewer or UNNAMED),
        standing,
        "" if recheck is None else recheck.by,
        (when, own),
        label,
        second,
        decided if decided is not None and decided.looks[1] == own else None,
    )


def _same(a: Boxes, b: Boxes) -> bool:
    """Compare boxes whatever their order and ids are."""

    def rows(boxes: Boxes) -> list[tuple[str, list[float]]]:
        return sorted(zip(boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True))

    return rows(a) == rows(b)


def time_of(corrections: Corrections, image_id: str) -> str:
    """Return when an image was submitted; empty where nothing tells."""
    return corrections.submitted.get(image_id) or corrections.finished or ""


def _second_work(looks: dict[str, Corrections]) -> list[Work]:
    rows: dict[str, list[tuple[float | None, Ledger]]] = {}
    for image_id, item in looks.items():
        row = (item.seconds.get(image_id), diff(item.counted_on(image_id), item.boxes[image_id]))
        rows.setdefault(item.reviewer or UNNAMED, []).append(row)
    return _sum("second", rows)


def _third_work(made: Mapping[str, Corrections]) -> list[Work]:
    rows: dict[str, list[tuple[float | None, Ledger]]] = {}
    for image_id, item in made.items():
        decided = item.decided[image_id]
        row = (decided.seconds, diff(decided.shown, item.boxes[image_id]))
        rows.setdefault(decided.reviewer, []).append(row)
    return _sum("third", rows)


def _sum(look: str, rows: dict[str, list[tuple[float | None, Ledger]]]) -> list[Work]:
    result = []
    for reviewer in sorted(rows):
        timed = [seconds for seconds, _ in rows[reviewer] if seconds is not None]
        edits = sum((ledger for _, ledger in rows[reviewer]), Ledger())
        result.append(Work(reviewer, look, len(rows[reviewer]), sum(timed), len(timed), edits))
    return result


def for_status(
    paths: CampaignPaths, batches: Iterable[str], iou_threshold: float
) -> tuple[str, tuple[str, ...]]:
    """Say how many images have a second look and how many differ, and what does not count.

    Nothing is said where nobody took one.

    Raises:
        ArtifactError: a file of the journal is damaged; names it and the way out.
    """
    keys = list(batches)
    today = artifacts.read_batch_of(map(paths.batch, keys)) if exist(paths) else {}
    found = read(paths, keys, today)
    if not found.images:
        return "", found.notes
    count, open_ = len(found.images), found.differing(iou_threshold)
    decided = sum(look.decided is not None for look in found.images)
    line = f"{count} image{'s have' if count > 1 else ' has'} a second look"
    line += f", {decided} of them decided by a third person" if decided else ""
    if not open_:
        return f"{line}; no two people differ.", found.notes
    # Batches may have been cut anew since the images were labeled.
    own = dict.fromkeys(today[look.image_id] for look in open_ if look.image_id in today)
    commands = " and ".join(f"'boxloop review {k} --disagreements --reviewer NAME'" for k in own)
    way = f"{commands} lets a third one decide" if own else "list more iterations to decide"
    outside = sum(look.image_id not in today for look in open_)
    way += f" ({outside} of them in no batch)" if outside else ""
    return f"{line}; on {len(open_)} two people differ: {way}.", found.notes


def plain_ids(label: Corrections, image_id: str) -> Boxes:
    """Return the boxes of a label by the ids that they have in a redo.

    What a third person kept of the second one's boxes has the id of the proposal that it was made
    from again, unless another box has it.
    """
    boxes = label.boxes[image_id]
    if image_id not in label.decided:
        return boxes
    taken = set(boxes.ids.tolist())
    ids = []
    for name in boxes.ids.tolist():
        plain = name.removeprefix(SECOND_ID)
        ids.append(name if plain in taken else plain)
        taken.add(ids[-1])
    return replace(boxes, ids=np.array(ids, dtype=np.str_))
