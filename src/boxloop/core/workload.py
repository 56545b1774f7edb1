"""Count edits, and compute WB and WT from them (paper, section 3.4).

With T the seconds to draw one box from scratch, N all objects labeled, B1n the objects of the
first batch, An and Rn the boxes added and removed in the later batches:

    WB = sum(An) + sum(Rn) + B1n                 saved: 1 - WB / N
    WT = B1n*T + sum(An)*T + sum(Rn)*T/2         saved: 1 - WT / (N*T)

Another cost model replaces sum(An)*T + sum(Rn)*T/2 by a price per kind of edit.

A person's edits are counted by the ids of the boxes (``edits.py``). The simulated annotator makes
the fewest edits possible; these follow from the geometry, also at thresholds that were not used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from numbers import Real

import numpy as np

from boxloop.core.boxes import candidates, iou_matrix, same_label
from boxloop.core.edits import EDITS, Ledger, Pairs, diff, judge, tally
from boxloop.core.rechecking import as_reviewed
from boxloop.core.sweep import MOVE_IOU, sweep_counts
from boxloop.core.types import Boxes, BoxesByImage, Corrections, FittedThreshold
from boxloop.params.registry import COST_MODELS


@dataclass(frozen=True)
class CostModel:
    """What the edits of a later batch cost, in units of T, the time to draw one box from scratch.

    Every object of the first batch costs 1, and so does every object by hand, which savings are
    told against. The defaults are the paper's: a moved or a relabeled box costs as much as a
    removal and an addition. The registry ``COST_MODELS`` names the models.

    Each field is the price of one edit of that kind, see :class:`~boxloop.core.edits.Ledger`.

    Raises:
        ValueError: a cost is no number, negative or not finite.
    """

    kept: float = 0.0
    moved: float = 1.5
    relabeled: float = 1.5
    removed: float = 0.5
    added: float = 1.0

    def __post_init__(self) -> None:
        for cost in astuple(self):
            number = isinstance(cost, Real) and not isinstance(cost, bool)
            if not (number and 0 <= cost < math.inf):
                raise ValueError("costs must be numbers, finite and at least 0")

    def cost(self, ledger: Ledger) -> float:
        """Return what the edits of a ledger cost, in units of T."""
        total = 0.0
        for kind in EDITS:
            total += getattr(self, kind) * getattr(ledger, kind)
        return total


PAPER = CostModel()
"""The paper's cost model (section 3.4): An*T + Rn*T/2."""


def find_cost_model(name: str) -> CostModel:
    """Return the cost model of this name, or raise a ParamsError."""
    found: CostModel = COST_MODELS.get(name)
    return found


def pair(shown: Boxes, final: Boxes, iou_threshold: float) -> tuple[Pairs, Pairs, Pairs]:
    """Match the proposals of one image with its final boxes, one to one, highest IoU first.

    A proposal is kept when its label is right and its IoU reaches the threshold. Of the rest, boxes
    with another label that reach the threshold are relabeled, and boxes of the right label that
    reach ``MOVE_IOU`` are moved.

    Returns:
        The pairs of those kept, relabeled and moved.
    """
    if not len(shown) or not len(final):
        return [], [], []
    iou, same = iou_matrix(shown.xyxy, final.xyxy), same_label(shown, final)
    ranked = [
        (row, column, bool(same[row, column]), iou[row, column] >= iou_threshold)
        for row, column in candidates(iou, np.True_, min(iou_threshold, MOVE_IOU))
    ]
    rows, columns = set[int](), set[int]()

    def take(allowed: Iterable[tuple[int, int]]) -> Pairs:
        pairs = []
        for row, column in allowed:
            if row not in rows and column not in columns:
                rows.add(row)
                columns.add(column)
                pairs.append((row, column))
        return pairs

    kept = take((row, column) for row, column, same, right in ranked if same and right)
    relabeled = take((row, column) for row, column, same, right in ranked if right and not same)
    moved = take((r, c) for r, c, same, _ in ranked if same and iou[r, c] >= MOVE_IOU)
    return kept, relabeled, moved


def compare(shown: Boxes, final: Boxes, iou_threshold: float) -> Ledger:
    """Count the fewest edits from the proposals of one image to its final boxes."""
    return tally(shown, final, *pair(shown, final, iou_threshold))


def compare_all(
    shown: BoxesByImage, final: BoxesByImage, count: Callable[[Boxes, Boxes], Ledger]
) -> Ledger:
    """Sum the edits over all images of ``final``; ``count`` counts those of one image."""
    ledgers = (
        count(shown.get(image_id, Boxes.empty()), boxes) for image_id, boxes in final.items()
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
        timed_images: number of images that were measured; None where none was.
        edits: a person's exact edits, by id; None for a simulated annotator.
        reviewer: who did it, where known; several names are joined by ", ".
        revision: as in the corrections; more than 1 where the batch was redone.
        thresholds: those fitted for the batch, one per IoU; none where the threshold is a number.
        given_images: images of the batch, besides ``images``, whose labels were given.
        given_objects: the boxes of these, besides ``objects``.
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
    timed_images: int | None = None
    edits: Ledger | None = None
    reviewer: str | None = None
    revision: int = 1
    thresholds: tuple[FittedThreshold, ...] = ()
    given_images: int = 0
    given_objects: int = 0

    @property
    def labeled_images(self) -> int:
        """Images of the batch, with those whose labels were given: detectors learn from both."""
        return self.images + self.given_images

    @property
    def measured_seconds(self) -> float | None:
        """The seconds where every image was measured, else None; 0 where all labels were given."""
        if not self.images and self.given_images:
            return 0.0
        return self.seconds if self.timed_images == self.images else None

    def fitted(self, iou_threshold: float) -> FittedThreshold | None:
        """Return the threshold that counts at an IoU, if it is one that was fitted.

        In a simulation each IoU has its own: the labels are the truth at any. People's edits are of
        what they saw, so there it is the one that was shown; what it was expected to save is known
        at an IoU that it was fitted for.
        """
        own = next((f for f in self.thresholds if f.iou_threshold == iou_threshold), None)
        if self.edits is None or (own is not None and own.score == self.score_threshold):
            return own
        shown = next((f for f in self.thresholds if f.score == self.score_threshold), None)
        return shown and replace(shown, iou_threshold=iou_threshold, expected_saving=None)

    def counted_at(self, iou_threshold: float) -> float:
        """Return the score threshold that counts at an IoU: the fitted one, or the one shown."""
        fitted = self.fitted(iou_threshold)
        return self.score_threshold if fitted is None else fitted.score

    def ledger(self, iou_threshold: float, score_threshold: float | None = None) -> Ledger:
        """Return the edits at these thresholds; see :meth:`counted_at` for the default.

        Raises:
            ValueError: they were not counted there; names the thresholds where they were.
        """
        score = self.counted_at(iou_threshold) if score_threshold is None else score_threshold
        found = self.ledgers.get((score, iou_threshold))
        if found is None:
            raise self._not_counted(iou_threshold, score)
        return found

    def _not_counted(self, iou_threshold: float, score_threshold: float) -> ValueError:
        ious = sorted({iou for _, iou in self.ledgers})
        scores = sorted({score for score, iou in self.ledgers if iou == iou_threshold})
        kind, wanted, known = "a score threshold of", score_threshold, scores
        if iou_threshold not in ious:
            kind, wanted, known = "an IoU of", iou_threshold, ious
        return ValueError(
            f"the edits of {self.batch} were not counted at {kind} {wanted}: take one of"
            f" {', '.join(map(str, known))}, or count them there as well"
        )

    def has(self, iou_threshold: float) -> bool:
        """Return whether the edits were counted at an IoU."""
        return (self.counted_at(iou_threshold), iou_threshold) in self.ledgers

    def saving(self, iou_threshold: float, cost_model: CostModel = PAPER) -> float | None:
        """Return the fraction of the time to draw every box of the batch that was saved in it.

        None where the batch holds no object: removals cost time, but there is none to compare with.
        """
        wt = cost_model.cost(self.ledger(iou_threshold))
        return 1 - wt / self.objects if self.objects else None


def account(
    corrections: Corrections,
    iou_thresholds: Sequence[float],
    score_thresholds: Iterable[float],
    average_precision: Mapping[str, float],
) -> BatchWorkload:
    """Count the edits of one batch at every pair of thresholds.

    Args:
        corrections: the batch, with the proposals that were made for it.
        iou_thresholds: IoU from which a proposal counts as right.
        score_thresholds: what-if review thresholds, for a simulated annotator only: a person's
            final boxes depend on what was shown.
        average_precision: of the proposals, to be stored with the counts.

    Returns:
        The counts of what was reviewed first; images whose labels were given are counted apart.
    """
    corrections = as_reviewed(corrections)
    given = [corrections.boxes[image_id] for image_id in corrections.given]
    corrections = corrections.reviewed()
    scores, final, offered = [corrections.score_threshold], corrections.boxes, corrections.proposals
    ledgers = {}
    if corrections.by_person:
        shown = corrections.counted()
        for iou in iou_thresholds:
            ledgers[(scores[0], iou)] = compare_all(shown, final, partial(judge, iou_threshold=iou))
    else:
        scores += [score for score in score_thresholds if score >= offered.score_floor]
        scores += [fitted.score for fitted in offered.thresholds]
        scores = sorted(set(scores))
        counts = sweep_counts(offered.boxes, final, iou_thresholds, scores)
        for place, score in enumerate(scores):
            for iou in iou_thresholds:
                rows = [by_score[:, place].tolist() for by_score in counts[iou].values()]
                edits = (sum(row) for row in zip(*rows, strict=True))
                ledgers[(score, iou)] = Ledger(**dict(zip(EDITS, edits, strict=False)))
    return BatchWorkload(
        batch=corrections.batch,
        annotator=corrections.annotator,
        detector=corrections.proposals.detector,
        images=len(final),
        objects=sum(map(len, final.values())),
        score_threshold=corrections.score_threshold,
        ledgers=ledgers,
        average_precision=dict(average_precision),
        seconds=sum(corrections.seconds.values()) if corrections.seconds else None,
        timed_images=len(corrections.seconds) or None,
        edits=compare_all(corrections.counted(), final, diff) if corrections.by_person else None,
        reviewer=corrections.reviewer,
        revision=corrections.revision,
        thresholds=corrections.proposals.thresholds,
        given_images=len(given),
        given_objects=sum(map(len, given)),
    )


@dataclass(frozen=True)
class Totals:
    """The workload of a campaign, or of its first batches.

    Attributes:
        images: images labeled.
        objects: N, their final boxes.
        first_batch_objects: B1n.
        later: the edits of all batches after the first.
        cost_model: prices these edits.
    """

    images: int
    objects: int
    first_batch_objects: int
    later: Ledger
    cost_model: CostModel = PAPER

    @property
    def added(self) -> int:
        """The sum of An over the batches after the first."""
        return self.later.additions

    @property
    def removed(self) -> int:
        """The sum of Rn over the batches after the first."""
        return self.later.removals

    @property
    def wb(self) -> int:
        """WB: boxes drawn or removed by hand."""
        return self.first_batch_objects + self.added + self.removed

    @property
    def wt(self) -> float:
        """WT in units of T."""
        return self.first_batch_objects + self.cost_model.cost(self.later)

    @property
    def wb_reduction(self) -> float:
        """The fraction of boxes saved; negative where proposals cost more than they saved."""
        return 1 - self.wb / self.objects if self.objects else 0.0

    @property
    def wt_reduction(self) -> float:
        """The fraction of time saved; negative where proposals cost more than they saved."""
        return 1 - self.wt / self.objects if self.objects else 0.0


def total(
    batches: Sequence[BatchWorkload],
    iou_threshold: float,
    score_threshold: float | None = None,
    cost_model: CostModel = PAPER,
) -> Totals:
    """Sum the batches of a campaign, the first of which was labeled from scratch.

    As in the paper, every object of the first batch counts as drawn, even where some of its images
    were shown with proposals because people reviewed in another order at first. The score threshold
    is the one that was shown by default.
    """
    return Totals(
        images=sum(b.images for b in batches),
        objects=sum(b.objects for b in batches),
        first_batch_objects=batches[0].objects if batches else 0,
        later=sum((b.ledger(iou_threshold, score_threshold) for b in batches[1:]), Ledger()),
        cost_model=cost_model,
    )
