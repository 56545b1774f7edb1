"""Sum up the workload of a session's images, and put it in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from boxloop.core.edits import Ledger, diff, judge
from boxloop.core.types import Boxes
from boxloop.core.workload import BatchWorkload, Totals
from boxloop.terminal import duration, percent


@dataclass(frozen=True)
class OtherBatches:
    """Workloads of the campaign's other batches.

    Attributes:
        first: whether the session's batch is the first, which is labeled from scratch.
        before: of the batches before it, oldest first; empty where one of them is not known.
        after: of those after it that are done, in a redo.
    """

    first: bool
    before: tuple[BatchWorkload, ...] = ()
    after: tuple[BatchWorkload, ...] = ()


@dataclass(frozen=True)
class ReviewedWorkload:
    """Edits of one or more reviewed images.

    Attributes:
        objects: number of final boxes.
        edits: edits by box id.
        judged: edits as they count, by IoU threshold.
    """

    objects: int
    edits: Ledger
    judged: Mapping[float, Ledger]

    @classmethod
    def of(cls, shown: Boxes, final: Boxes, iou_thresholds: Iterable[float]) -> ReviewedWorkload:
        """Compare the proposals shown on one image with its final boxes."""
        judged = {iou: judge(shown, final, iou) for iou in iou_thresholds}
        return cls(len(final), diff(shown, final), judged)

    @classmethod
    def sum(
        cls, workloads: Iterable[ReviewedWorkload], iou_thresholds: Iterable[float]
    ) -> ReviewedWorkload:
        """Add up the workloads of several images."""
        workloads = list(workloads)
        return cls(
            sum(w.objects for w in workloads),
            sum((w.edits for w in workloads), Ledger()),
            {iou: sum((w.judged[iou] for w in workloads), Ledger()) for iou in iou_thresholds},
        )


@dataclass(frozen=True)
class SubmissionSummary:
    """Numbers of one submission.

    Attributes:
        batch: key of the batch.
        reviewer: who submitted.
        images: number of images submitted.
        workload: of these images.
        seconds: active seconds.
        so_far: totals of the campaign including this submission, by IoU threshold.
        waiting: images of the batch that nobody has submitted yet.
        redo: whether the images had been submitted before.
    """

    batch: str
    reviewer: str
    images: int
    workload: ReviewedWorkload
    seconds: float
    so_far: Mapping[float, Totals]
    waiting: int
    redo: bool

    def __str__(self) -> str:
        """Return the lines for a terminal or a panel."""
        edits = self.workload.edits
        again = " again" if self.redo else ""
        lines = [
            f"Batch {self.batch}: {self.images} images with {self.workload.objects} boxes are"
            f" submitted{again} by {self.reviewer}.",
            f"  {edits.kept} kept, {edits.moved} moved, {edits.relabeled} relabeled,"
            f" {edits.removed} removed, {edits.added} added",
            f"  active time {duration(self.seconds)} ({self.seconds / self.images:.1f} s an image)",
        ]
        for iou, totals in self.so_far.items():
            lines.append(
                f"  so far, {totals.objects} objects, at IoU {iou:g}: WB {totals.wb} boxes"
                f" ({percent(totals.wb_reduction)} saved),"
                f" WT {totals.wt:g} T ({percent(totals.wt_reduction)} saved)"
            )
        if self.waiting:
            lines.append(f"  {self.waiting} images of {self.batch} wait for somebody else")
        return "\n".join(lines)
