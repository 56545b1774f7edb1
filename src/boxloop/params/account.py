"""The section ``account``: at which thresholds the workload is computed, and what it costs."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from boxloop.params.registry import COST_MODELS
from boxloop.params.section import Fraction, IoU, NonNegative, PositiveFloat, Section

CostModelName = Annotated[str, AfterValidator(COST_MODELS.check)]


class CostsParams(Section):
    """Seconds that people take, by kind of edit, to price a campaign by beside the paper's T.

    All kinds are needed: one that is left out would cost nothing, which nobody means. The report
    fits them to people's measured time; they can be written here.

    Attributes:
        kept: seconds to look at a proposal that is right.
        moved: to drag a box into place.
        relabeled: to give a box another label, dragged as well or not.
        removed: to delete a box.
        added: to draw a box.
        image: to open an image and look at it, whatever is done in it.
    """

    kept: NonNegative
    moved: NonNegative
    relabeled: NonNegative
    removed: NonNegative
    added: PositiveFloat
    image: NonNegative = 0.0


class AccountParams(Section):
    """Thresholds at which the workload is computed, and T of the paper.

    Attributes:
        iou_thresholds: IoU from which a proposal counts as right.
        score_thresholds: what-if values of ``review.score_threshold``.
        seconds_per_box: T, seconds to draw one box from scratch (35 s: Su et al. 2012).
        cost_model: what an edit costs; "paper" is its WT.
        costs: seconds per kind of edit, to price the campaign by beside T; None does not.
    """

    iou_thresholds: tuple[IoU, ...] = (0.5, 0.7)
    score_thresholds: tuple[Fraction, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    seconds_per_box: PositiveFloat = 35.0
    cost_model: CostModelName = "paper"
    costs: CostsParams | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _some(self) -> AccountParams:
        if not self.iou_thresholds:
            raise ValueError("iou_thresholds must list at least one value")
        for iou in self.iou_thresholds:
            # Columns and metrics are named in this form, and dvc.yaml by params.yaml's own digits.
            if float(f"{iou:g}") != iou:
                raise ValueError(f"iou_thresholds: {iou!r} has more than 6 digits: write {iou:g}")
        if len(set(self.iou_thresholds)) < len(self.iou_thresholds):
            raise ValueError("iou_thresholds must not repeat a value")
        return self
