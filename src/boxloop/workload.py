"""From proposals and final boxes to edits, and from edits to WB and WT (paper, section 3.4).

With T the seconds to draw one box from scratch, N all objects labeled, B1n the objects of the
first batch, An and Rn the boxes added and removed in the later batches:

    WB = sum(An) + sum(Rn) + B1n                 saved: 1 - WB / N
    WT = B1n*T + sum(An)*T + sum(Rn)*T/2         saved: 1 - WT / (N*T)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boxloop.boxes import iou_matrix, match, same_label
from boxloop.types import Boxes, BoxesByImage, Corrections

MOVE_IOU = 0.1
"""IoU from which a wrong box of the right class is one that a person would move rather than remove
(the background threshold of TIDE, Bolya et al. 2020, section 2.2)."""


@dataclass(frozen=True)
class Ledger:
    """What became of the proposals that were shown, and what was missing among them.

    The finer kinds beside the paper's two, so that other cost tables can be priced from the same
    edits: in the paper's count a moved or a relabeled box is one removal and one addition.

    Attributes:
        kept: right label, and an IoU with the final box that reaches the threshold.
        moved: right label, overlap too low: the box was dragged into place.
        relabeled: right place, wrong label.
        removed: no object there, or a second box on one.
        added: objects that no proposal pointed at.
    """

    kept: int = 0
    moved: int = 0
    relabeled: int = 0
    removed: int = 0
    added: int = 0

    def __post_init__(self) -> None:
        if min(self.kept, self.moved, self.relabeled, self.removed, self.added) < 0:
            raise ValueError("an edit count cannot be negative")

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(
            self.kept + other.kept,
            self.moved + other.moved,
            self.relabeled + other.relabeled,
            self.removed + other.removed,
            self.added + other.added,
        )

    @property
    def additions(self) -> int:
        """An of the paper."""
        return self.added + self.moved + self.relabeled

    @property
    def removals(self) -> int:
        """Rn of the paper."""
        return self.removed + self.moved + self.relabeled


Pairs = list[tuple[int, int]]


def pair(shown: Boxes, final: Boxes, iou_threshold: float) -> tuple[Pairs, Pairs, Pairs]:
    """Pairs the proposals of one image with its final boxes, one to one, highest IoU first.

    A proposal is right when its label matches and its IoU with the final box reaches the
    threshold. Of what is left, boxes in the right place with another label are relabeled, boxes
    of the right label that overlap by at least ``MOVE_IOU`` are moved.

    Returns:
        (index of the proposal, index of the final box) of those kept, relabeled and moved.
    """
    iou, same = iou_matrix(shown.xyxy, final.xyxy), same_label(shown, final)
    free = np.ones(iou.shape, dtype=bool)

    def take(allowed: NDArray[np.bool_], minimum: float) -> Pairs:
        pairs = match(iou, allowed & free, minimum)
        for row, column in pairs:
            free[row, :] = False
            free[:, column] = False
        return pairs

    kept = take(same, iou_threshold)
    relabeled = take(~same, iou_threshold)
    moved = take(same, MOVE_IOU)
    return kept, relabeled, moved


def compare(shown: Boxes, final: Boxes, iou_threshold: float) -> Ledger:
    """Counts the edits that lead from the proposals of one image to its final boxes."""
    kept, relabeled, moved = (len(p) for p in pair(shown, final, iou_threshold))
    paired = kept + relabeled + moved
    return Ledger(kept, moved, relabeled, len(shown) - paired, len(final) - paired)


def compare_all(shown: BoxesByImage, final: BoxesByImage, iou_threshold: float) -> Ledger:
    """The sum of :func:`compare` over all images of ``final``."""
    ledgers = (
        compare(shown.get(image_id, Boxes.empty()), boxes, iou_threshold)
        for image_id, boxes in final.items()
    )
    return sum(ledgers, Ledger())


@dataclass(frozen=True)
class BatchWorkload:
    """The edits of one batch at every threshold.

    Attributes:
        batch: the batch's id.
        annotator: kind of annotator.
        detector: architecture that made the proposals.
        images: number of images.
        objects: number of final boxes.
        score_threshold: the one at which the proposals were shown.
        ledgers: by (score threshold, IoU threshold).
        average_precision: of all stored proposals against the final boxes, by name ("map",
            "map_50", "map_75"); empty where the batch holds no object.
        seconds: active seconds of the person, None where not measured.
    """

    batch: str
    annotator: str
    detector: str
    images: int
    objects: int
    score_threshold: float
    ledgers: Mapping[tuple[float, float], Ledger]
    average_precision: Mapping[str, float]
    seconds: float | None = None

    def ledger(self, iou_threshold: float, score_threshold: float | None = None) -> Ledger:
        """The edits at these thresholds (score: as shown, unless given)."""
        score = self.score_threshold if score_threshold is None else score_threshold
        return self.ledgers[(score, iou_threshold)]


def account(
    corrections: Corrections,
    iou_thresholds: Sequence[float],
    score_thresholds: Iterable[float],
    average_precision: Mapping[str, float],
) -> BatchWorkload:
    """Counts the edits of one batch at every pair of thresholds.

    Args:
        corrections: the batch, with the proposals that were made for it.
        iou_thresholds: IoU from which a proposal counts as right.
        score_thresholds: what-if review thresholds. Only a simulated annotator's final boxes do
            not depend on what was shown; a person's are accounted as they were shown.
        average_precision: of the proposals, to be kept beside the counts.
    """
    scores = {corrections.score_threshold}
    if corrections.annotator == "simulated":
        floor = corrections.proposals.score_floor
        scores |= {score for score in score_thresholds if score >= floor}
    ledgers = {}
    for score in sorted(scores):
        shown = {k: boxes.above(score) for k, boxes in corrections.proposals.boxes.items()}
        for iou in iou_thresholds:
            ledgers[(score, iou)] = compare_all(shown, corrections.boxes, iou)
    return BatchWorkload(
        batch=corrections.batch,
        annotator=corrections.annotator,
        detector=corrections.proposals.detector,
        images=len(corrections.boxes),
        objects=sum(len(boxes) for boxes in corrections.boxes.values()),
        score_threshold=corrections.score_threshold,
        ledgers=ledgers,
        average_precision=dict(average_precision),
        seconds=sum(corrections.seconds.values()) if corrections.seconds else None,
    )


@dataclass(frozen=True)
class Totals:
    """The workload of a campaign, or of its first batches.

    Attributes:
        images: images labeled.
        objects: N, their final boxes.
        first_batch_objects: B1n.
        added: sum of An over the batches after the first.
        removed: sum of Rn over the batches after the first.
    """

    images: int
    objects: int
    first_batch_objects: int
    added: int
    removed: int

    @property
    def wb(self) -> int:
        """WB: boxes drawn or removed by hand."""
        return self.first_batch_objects + self.added + self.removed

    @property
    def wt(self) -> float:
        """WT in units of T."""
        return self.first_batch_objects + self.added + self.removed / 2

    @property
    def wb_reduction(self) -> float:
        """Fraction of boxes saved; negative where the proposals cost more than they saved."""
        return 1 - self.wb / self.objects if self.objects else 0.0

    @property
    def wt_reduction(self) -> float:
        """Fraction of time saved; negative where the proposals cost more than they saved."""
        return 1 - self.wt / self.objects if self.objects else 0.0


def total(
    batches: Sequence[BatchWorkload], iou_threshold: float, score_threshold: float | None = None
) -> Totals:
    """Sums the batches of a campaign, the first of which was labeled from scratch.

    Args:
        batches: in the order in which they were labeled.
        iou_threshold: one of the thresholds that were accounted.
        score_threshold: a what-if threshold; as shown, unless given.
    """
    later = sum((b.ledger(iou_threshold, score_threshold) for b in batches[1:]), Ledger())
    return Totals(
        images=sum(b.images for b in batches),
        objects=sum(b.objects for b in batches),
        first_batch_objects=batches[0].objects if batches else 0,
        added=later.additions,
        removed=later.removals,
    )
