"""Read what each person did, batch by batch, from the corrections and the journal.

An image's edits and seconds are of whoever submitted the labels that count. What came of first
submissions is told apart: an image was right at first where the labels that count now are those
that were submitted first, whoever looked again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from boxloop.campaign import artifacts, class_changes, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import TOLERANCE, Ledger, diff, kept_below
from boxloop.core.intervals import wilson
from boxloop.core.names import UNNAMED
from boxloop.core.rechecking import as_reviewed
from boxloop.core.types import SIMULATED, Boxes, Corrections


@dataclass(frozen=True)
class PersonBatch:
    """What one person did of one batch; or, summed up, of several.

    Attributes:
        reviewer: the person's name.
        batch: its id.
        images: images whose labels that count are the person's.
        objects: boxes of these.
        edits: exact, by id, of these.
        seconds: of those of them that were timed and submitted once.
        timed_images: how many those are.
        timed_edits: boxes moved, relabeled, removed and added in those.
        first: images that the person was the first to submit.
        right: those of them whose labels still are as they were submitted first.
        kept_below: of the added boxes, those taken from proposals below the threshold.
    """

    reviewer: str
    batch: str
    images: int = 0
    objects: int = 0
    edits: Ledger = field(default_factory=Ledger)
    seconds: float = 0.0
    timed_images: int = 0
    timed_edits: int = 0
    first: int = 0
    right: int = 0
    kept_below: int = 0

    def __add__(self, other: PersonBatch) -> PersonBatch:
        names = set(vars(self)) - {"reviewer", "batch"}
        sums = {name: getattr(self, name) + getattr(other, name) for name in names}
        return replace(self, **sums)

    @property
    def seconds_per_image(self) -> float | None:
        """Seconds per timed image; None where none was timed."""
        return self.seconds / self.timed_images if self.timed_images else None

    @property
    def seconds_per_edit(self) -> float | None:
        """Seconds per edit, looking at the images included; None where no edit was timed."""
        return self.seconds / self.timed_edits if self.timed_edits else None

    @property
    def edits_per_hour(self) -> float | None:
        """Edits per hour of active time; None where nothing was timed."""
        return 3600 * self.timed_edits / self.seconds if self.seconds else None

    @property
    def first_time_right(self) -> float | None:
        """The fraction of first submissions that nobody had to change; None where none is."""
        return self.right / self.first if self.first else None

    def right_interval(self) -> tuple[float, float] | None:
        """Return where the fraction lies 19 times in 20 (Wilson 1927); None where there is none."""
        share = self.first_time_right
        return None if share is None else wilson(share, self.first)


def by_person(rows: Iterable[PersonBatch]) -> list[PersonBatch]:
    """Return the sum of each person's batches, by name; ``batch`` is empty."""
    sums: dict[str, PersonBatch] = {}
    for row in rows:
        before = sums.get(row.reviewer, PersonBatch(row.reviewer, ""))
        sums[row.reviewer] = before + row
    return [sums[name] for name in sorted(sums)]


def read_by_person(paths: CampaignPaths, results: CampaignResults) -> tuple[PersonBatch, ...]:
    """Read what people did of the finished batches, batch by batch, then by name.

    Summed over the people, ``edits`` are those of the batch's workload. A submission that is newer
    than the corrections is left out until 'dvc repro' takes it over.

    Args:
        paths: where the corrections and the journal are.
        results: the finished batches; simulated ones have nobody to tell of.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    peoples = [w.batch for w in results.workloads if w.annotator != SIMULATED]
    if not peoples:
        return ()
    images = artifacts.read_images(paths.images)
    history = _history(screening.read(paths.journals, (), images).submissions)
    changes = class_changes.read(*paths.journals)
    rows: list[PersonBatch] = []
    for key in peoples:
        counted = artifacts.read_corrections(paths.corrections(key))
        # The history is by the names of today, which the file has once DVC made it anew.
        made = submissions.named_as_today(counted, changes)
        counted, corrections = as_reviewed(counted.reviewed()), as_reviewed(made.reviewed())
        found: dict[str, PersonBatch] = defaultdict(lambda: PersonBatch("", ""))
        shown = counted.counted()
        for image_id, final in counted.boxes.items():
            edits = diff(shown[image_id], final)
            past = history.get(image_id, ())
            for row in _of_image(corrections, image_id, edits, past, made.boxes[image_id]):
                found[row.reviewer] = row + found[row.reviewer]
        rows += (found[name] for name in sorted(found))
    return tuple(rows)


def _history(found: Iterable[Corrections]) -> dict[str, list[Corrections]]:
    """Return the submissions of each image, the oldest first."""
    result: dict[str, list[Corrections]] = defaultdict(list)
    for item in found:
        for image_id in item.boxes:
            if image_id not in item.given:
                result[image_id].append(item)
    for image_id, items in result.items():
        items.sort(key=lambda item: submissions.submitted_at(item, image_id))
    return result


def _of_image(
    corrections: Corrections,
    image_id: str,
    edits: Ledger,
    history: Sequence[Corrections],
    labels: Boxes,
) -> Iterable[PersonBatch]:
    when = submissions.submitted_at(corrections, image_id)
    past = [item for item in history if submissions.submitted_at(item, image_id) <= when]
    final = corrections.boxes[image_id]
    # What the journal does not hold (DVC brought it back) is of whom the corrections name.
    held = bool(past) and submissions.submitted_at(past[-1], image_id) == when
    name = submissions.first_reviewer(past[-1], image_id) if held else corrections.reviewer
    blind, offered = image_id in corrections.blind, corrections.proposals.boxes[image_id]
    below = 0 if blind else kept_below(offered, corrections.score_threshold, final)
    own = PersonBatch(name or UNNAMED, corrections.batch, 1, len(final), edits, kept_below=below)
    # Second and third looks count apart, but what they changed was not right at first.
    reviews = [i for i in past if image_id not in i.rechecked and image_id not in i.decided]
    # The seconds of an image that was redone are of edits that are not in the end's.
    once = len(reviews) == 1 if held else not past and corrections.revision == 1
    if once and image_id in corrections.seconds:
        count = edits.moved + edits.relabeled + edits.removed + edits.added
        own = replace(own, seconds=corrections.seconds[image_id], timed_images=1, timed_edits=count)
    yield own
    first = reviews[0] if reviews else corrections
    right = int(same_boxes(first.boxes[image_id], labels))
    yield PersonBatch(first.reviewer or UNNAMED, corrections.batch, first=1, right=right)


def same_boxes(a: Boxes, b: Boxes) -> bool:
    """Return whether two lists hold the same boxes, whatever their ids and their order."""
    if len(a) != len(b):
        return False
    free = np.ones(len(b), bool)
    for xyxy, label in zip(a.xyxy, a.labels, strict=True):
        near = free & (b.labels == label) & (np.abs(b.xyxy - xyxy).max(axis=1) <= TOLERANCE)
        if not near.any():
            return False
        free[near.argmax()] = False
    return True
