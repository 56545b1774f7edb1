"""Count what one batch would have cost at every score threshold.

A batch's proposals were made by a detector that had not seen its images, and are stored down to a
low score. So, once its final boxes are known, the edits follow from the geometry at any threshold,
as in :func:`boxloop.core.workload.compare`, whatever was shown.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from boxloop.core.edits import EDITS, Ledger
from boxloop.core.sweep import sweep_counts
from boxloop.core.types import NOTHING, BoxesByImage, Floats
from boxloop.core.workload import CostModel

CANDIDATES = tuple(round(0.05 + 0.025 * step, 3) for step in range(37))
"""Score thresholds that are judged, 0.05 to 0.95, beside that of showing nothing."""


@dataclass(frozen=True)
class SweptEdits:
    """The edits of one class at one IoU threshold, each kind with a count per score threshold.

    Kept, moved, relabeled and removed proposals count under the class that was proposed, added
    boxes under their own.
    """

    iou_threshold: float
    label: str
    kept: tuple[int, ...]
    moved: tuple[int, ...]
    relabeled: tuple[int, ...]
    removed: tuple[int, ...]
    added: tuple[int, ...]

    def __post_init__(self) -> None:
        counts = [getattr(self, kind) for kind in EDITS]
        if len({len(row) for row in counts}) > 1 or min(itertools.chain(*counts), default=0) < 0:
            raise ValueError(f"edits of {self.label}: one count, not below 0, per score threshold")


@dataclass(frozen=True)
class NeighbourEdits:
    """The edits of the images that a neighbour's labels would change, with them and without.

    Attributes:
        iou_threshold: from which a proposal counts as right.
        limit: distance up to which a neighbour was near enough.
        images: number of images that would have been changed.
        own: edits of them as the detector proposed.
        merged: edits of them with the neighbours' labels.
    """

    iou_threshold: float
    limit: float
    images: int
    own: Ledger
    merged: Ledger


@dataclass(frozen=True)
class Evidence:
    """What a batch would have cost at each score threshold.

    Attributes:
        batch: what was judged: the batch's id, or "held-out part of b00".
        images: number of images.
        objects: number of final boxes.
        scores: thresholds, ascending; the last one is ``NOTHING``.
        edits: per IoU threshold and class.
        neighbours: per IoU threshold and limit, where neighbours were looked for.
        crops: as ``edits``, of the same boxes with the classes of labeled crops; none where those
            were not looked at.
    """

    batch: str
    images: int
    objects: int
    scores: tuple[float, ...]
    edits: tuple[SweptEdits, ...]
    neighbours: tuple[NeighbourEdits, ...] = ()
    crops: tuple[SweptEdits, ...] = ()

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in itertools.pairwise(self.scores))
        if not self.scores or self.scores[-1] != NOTHING or not rising:
            raise ValueError(f"scores of {self.batch} must rise to {NOTHING:g}")
        if any(len(row.kept) != len(self.scores) for row in (*self.edits, *self.crops)):
            raise ValueError(f"edits of {self.batch} need a count per score threshold")

    @property
    def iou_thresholds(self) -> tuple[float, ...]:
        """The IoU thresholds that were judged."""
        return tuple(dict.fromkeys(row.iou_threshold for row in self.edits))

    def ledger(self, iou_threshold: float, score: float) -> Ledger:
        """Return the edits of all classes at these thresholds, which were judged."""
        place = self.scores.index(score)
        rows = [row for row in self.edits if row.iou_threshold == iou_threshold]
        return Ledger(**{k: sum(getattr(row, k)[place] for row in rows) for k in EDITS})

    def costs(self, iou_threshold: float, model: CostModel) -> Floats:
        """Return (S,) the time in units of T at each of ``scores``; the last draws every box."""
        total = np.zeros(len(self.scores))
        for row in self.edits:
            if row.iou_threshold == iou_threshold:
                for kind in EDITS:
                    total += getattr(model, kind) * np.array(getattr(row, kind), dtype=np.float64)
        return total


def sweep(
    batch: str,
    proposed: BoxesByImage,
    final: BoxesByImage,
    iou_thresholds: Sequence[float],
    floor: float,
) -> Evidence:
    """Count the edits of a batch at every candidate score threshold.

    The counts are those of :func:`boxloop.core.workload.compare`.

    Args:
        batch: what the evidence is called.
        proposed: all stored proposals by image id.
        final: the final boxes of the same images.
        iou_thresholds: IoU from which a proposal counts as right.
        floor: proposals that score less were not stored, so no lower threshold is judged.
    """
    scores = (*(score for score in CANDIDATES if score >= floor), NOTHING)
    edits = [
        SweptEdits(iou, name, *(tuple(row) for row in counts.tolist()))
        for iou, by_label in sweep_counts(proposed, final, iou_thresholds, scores).items()
        for name, counts in by_label.items()
    ]
    objects = sum(map(len, final.values()))
    return Evidence(batch, len(final), objects, scores, tuple(edits))
