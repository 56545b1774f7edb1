"""What was expected of each batch's fitted threshold, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from boxloop.campaign.results import CampaignResults
from boxloop.core.threshold import LABELS_ALONE
from boxloop.core.types import NOTHING, FittedThreshold
from boxloop.terminal import percent


@dataclass(frozen=True)
class FittedRow:
    """The threshold of one batch at one IoU.

    Attributes:
        batch: the batch's id.
        iou: from which a proposal counts as right.
        fitted: the threshold.
        saved: fraction of the time to draw every box of the batch that was saved in it; None where
            it holds no object.
    """

    batch: str
    iou: float
    fitted: FittedThreshold
    saved: float | None

    @property
    def shown(self) -> str:
        """The threshold in words."""
        if self.fitted.found == LABELS_ALONE:
            return "labels"
        return "nothing" if self.fitted.score >= NOTHING else f"{self.fitted.score:g}"

    @property
    def expected(self) -> str:
        """What was expected, or why nothing was shown."""
        if self.fitted.expected_saving is None:
            return "unknown"
        if self.fitted.score >= NOTHING:
            return "too little"
        return percent(self.fitted.expected_saving)


def fitted_rows(campaign: CampaignResults) -> list[FittedRow]:
    """Return the fitted thresholds of the batches after the first, by batch and IoU."""
    rows = []
    for workload in campaign.workloads[1:]:
        for iou in campaign.iou_thresholds:
            fitted = workload.fitted(iou)
            if fitted is not None:
                saved = workload.saving(iou, campaign.cost_model)
                rows.append(FittedRow(workload.batch, iou, fitted, saved))
    return rows
