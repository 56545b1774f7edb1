"""Choose whose classes are shown: the detector's, or those of the labeled crops that look alike.

A detector of few trainings finds objects before it can tell many classes apart, and a box of a
wrong class costs more than none. So its boxes may get the classes of labeled crops
(:mod:`boxloop.models.crop_classifier`) instead. Whether that pays is judged as a score threshold
is (:mod:`boxloop.core.threshold`): by what both would have cost on what was corrected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from boxloop.core.evidence import Evidence
from boxloop.core.threshold import FITTED_TO_NOTHING, fit, in_words
from boxloop.core.types import Boxes, BoxesByImage, CropUse, Proposals
from boxloop.core.workload import CostModel

WORTH = 0.005
"""Share of the time that classes of crops must save more to be used."""

WORTH_TRYING = 0.05
"""Fraction of the time (WT) that right classes must be able to save before crops are looked at:
their vectors take one to two times as long as proposing does."""


@dataclass(frozen=True)
class Choice:
    """Whose classes are shown.

    Attributes:
        used: whether those of crops are.
        expected_saving: as in :class:`boxloop.core.types.CropUse`.
        found: what it was judged by, in words.
    """

    used: bool
    expected_saving: float | None
    found: str


NOT_ASKED = Choice(False, None, FITTED_TO_NOTHING)
"""The detector's classes, whatever crops tell."""


def could_save(evidence: Evidence, iou_threshold: float, model: CostModel) -> float:
    """Return what right classes alone would save at the best threshold, as a fraction of WT.

    Args:
        evidence: of a batch, by the detector's own classes.
        iou_threshold: one of those that were judged.
        model: what edits cost.
    """
    costs = evidence.costs(iou_threshold, model)
    if costs[-1] <= 0:
        return 0.0
    rows = [row for row in evidence.edits if row.iou_threshold == iou_threshold]
    wrong = np.sum([row.relabeled for row in rows], axis=0)
    right = costs - (model.relabeled - model.kept) * wrong
    return float((costs.min() - right.min()) / costs[-1])


def choose(
    evidence: Sequence[Evidence],
    ious: Sequence[float],
    model: CostModel,
    *,
    floor: float = 0.0,
) -> Choice:
    """Choose whose classes the next batch is shown with.

    Those of crops are, where they are expected to save more than the detector's at the first IoU,
    by more than ``WORTH``, and no less at the others; both with what
    :func:`boxloop.core.threshold.fit` expects of them, by the best threshold of each.

    Args:
        evidence: of the batches so far, the oldest first; those without crops are left out.
        ious: IoU from which a proposal counts as right: the review's, then others.
        model: what edits cost.
        floor: of the scores that were stored.
    """
    known = [item for item in evidence if item.crops]
    if not known:
        return NOT_ASKED
    gains = []
    for iou in ious:
        own, other = (
            fit(items, iou, model, floor=floor).expected_saving or 0.0
            for items in (known, by_crops(known))
        )
        gains.append(round(other - own, 9))
    used = gains[0] > WORTH and min(gains) >= 0
    return Choice(used, gains[0], in_words([item.batch for item in known]))


def by_crops(evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return the evidence of batches that were judged with the classes of crops, as by those."""
    return [replace(item, edits=item.crops, crops=()) for item in evidence if item.crops]


def own_boxes(proposals: Proposals) -> BoxesByImage:
    """Return the boxes of a batch with the detector's own classes."""
    crops = proposals.crops
    return {**proposals.boxes, **crops.other} if crops and crops.used else proposals.boxes


def crop_boxes(proposals: Proposals) -> BoxesByImage | None:
    """Return the boxes of a batch with the classes of crops; None where there are none."""
    crops = proposals.crops
    if crops is None:
        return None
    return proposals.boxes if crops.used else {**proposals.boxes, **crops.other}


def with_choice(proposals: Proposals, choice: Choice) -> Proposals:
    """Return proposals, of which crops' classes are known, with the classes that were chosen."""
    crops, boxes = proposals.crops, dict(proposals.boxes)
    assert crops is not None
    other: dict[str, Boxes] = dict(crops.other)
    if choice.used != crops.used:
        other = {image_id: boxes[image_id] for image_id in crops.other}
        boxes |= crops.other
    made = CropUse(choice.used, choice.expected_saving, choice.found, other)
    return replace(proposals, boxes=boxes, crops=made)
