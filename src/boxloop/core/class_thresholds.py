"""Choose a score threshold per class for a detector that leaves the loop.

Judged, as the review's thresholds are, by proposals for images that their detector had not seen
(:mod:`boxloop.core.evidence`): the newest evidence counts most, and where there is little of it
the choice stays near the prior. Classes are judged apart, so a proposal of the wrong class counts
as one to remove and an object to draw, which is what it costs in the paper's model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from boxloop.core.evidence import Evidence
from boxloop.core.threshold import DECAY, PRIOR, STRENGTH, common_scores
from boxloop.core.types import NOTHING, Floats
from boxloop.core.workload import PAPER, CostModel

PRIOR_BOXES = STRENGTH / 4
"""Boxes, and as many objects, that are added to a class for its F1. At the prior all of them match;
off by d ``STRENGTH * d**2`` fewer do, so none at a threshold of 0 or 1."""


@dataclass(frozen=True)
class ClassThreshold:
    """From which score on the boxes of a class are worth having.

    Attributes:
        label: the class.
        f1: the threshold of the best F1, drawn to the prior; the prior where nothing is known.
        best_f1: the F1 there, in [0, 1]; None where nothing is known,
            or the class has no object and nothing is shown of it there.
        least_wt: the threshold at which correcting costs least; ``NOTHING`` where drawing every
            box by hand costs less.
        saving: fraction of the time to draw the class by hand that is saved there; None where
            there was no object.
        objects: that it was judged by.
    """

    label: str
    f1: float
    best_f1: float | None
    least_wt: float
    saving: float | None
    objects: int


def fit_classes(
    evidence: Sequence[Evidence],
    classes: Sequence[str],
    iou_threshold: float,
    model: CostModel = PAPER,
    *,
    floor: float = 0.0,
) -> tuple[ClassThreshold, ...]:
    """Choose two thresholds for each class.

    With k kept, s shown and n objects, each weighed by ``DECAY**age``, p = ``STRENGTH * (threshold
    - PRIOR)**2`` boxes and m = ``PRIOR_BOXES``: the best F1 is the largest 2 (k + m - p) / (s + m +
    n + m), the least WT the smallest k * kept + (s - k) * removed + (n - k) * added + p. Of equal
    ones the threshold nearest to the prior, of two such ones the higher.

    Args:
        evidence: of the batches, the oldest first.
        classes: all that the detector knows; those without evidence get the prior.
        iou_threshold: IoU from which a box counts as right; evidence without it is left out.
        model: what edits cost.
        floor: of the scores that were stored; no threshold is below it.
    """
    known = [item for item in evidence if iou_threshold in item.iou_thresholds]
    scores = common_scores(known, floor)
    return tuple(_fit(known, label, iou_threshold, model, scores, floor) for label in classes)


def _fit(
    known: Sequence[Evidence],
    label: str,
    iou: float,
    model: CostModel,
    scores: Sequence[float],
    floor: float,
) -> ClassThreshold:
    kept, shown, objects, number = np.zeros(len(scores)), np.zeros(len(scores)), 0.0, 0
    for age, item in enumerate(reversed(known)):
        places = [item.scores.index(score) for score in scores]
        for row in item.edits:
            if row.label == label and row.iou_threshold == iou:
                right = np.array(row.kept, dtype=np.float64)
                others = (row.moved, row.relabeled, row.removed)
                every = right + sum(np.array(counts, dtype=np.float64) for counts in others)
                kept += DECAY**age * right[places]
                shown += DECAY**age * every[places]
                # Where nothing is shown, every object is added.
                objects += DECAY**age * row.added[-1]
                number += row.added[-1]
    prior = max(PRIOR, floor)
    if not scores or not (objects or shown.any()):
        return ClassThreshold(label, prior, None, prior, None, 0)
    off = STRENGTH * (np.array(scores) - PRIOR) ** 2
    # Drawn to the prior by counts: a factor or a divisor would do nothing where no box is right.
    best = _best(2 * (kept + PRIOR_BOXES - off) / (shown + objects + 2 * PRIOR_BOXES), off)
    cost = model.kept * kept + model.removed * (shown - kept) + model.added * (objects - kept)
    counted = shown[best] + objects
    least, drawing = _best(-(cost + off), off), model.added * objects
    pays = cost[least] < drawing
    return ClassThreshold(
        label,
        scores[best],
        float(2 * kept[best] / counted) if counted else None,
        scores[least] if pays else NOTHING,
        (float(1 - cost[least] / objects) if pays else 1 - model.added) if objects else None,
        number,
    )


def _best(values: Floats, off: Floats) -> int:
    """Return the place of the largest value; of equal ones the least off, and of these the last."""
    rounded, apart = np.round(values, 9), np.round(off, 9)
    equal = np.flatnonzero(rounded == rounded.max())
    return int(equal[apart[equal] == apart[equal].min()][-1])
