"""What a submission came to, and the same in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from boxloop.core.edits import Ledger
from boxloop.core.workload import Totals
from boxloop.text import duration, percent


@dataclass(frozen=True)
class Summary:
    """What a submission came to.

    Attributes:
        batch: its key.
        reviewer: who did it.
        images: number of images submitted.
        objects: their boxes.
        edits: exact, by id.
        seconds: active seconds.
        so_far: totals of the campaign including this submission, by IoU threshold.
        waiting: images of the batch that nobody has submitted yet.
        redo: whether the images had been submitted before.
    """

    batch: str
    reviewer: str
    images: int
    objects: int
    edits: Ledger
    seconds: float
    so_far: Mapping[float, Totals]
    waiting: int
    redo: bool


def summary_text(summary: Summary) -> str:
    """The summary for a terminal or a panel."""
    e = summary.edits
    again = " again" if summary.redo else ""
    lines = [
        f"Batch {summary.batch}: {summary.images} images with {summary.objects} boxes are submitted"
        f"{again} by {summary.reviewer}.",
        f"  {e.kept} kept, {e.moved} moved, {e.relabeled} relabeled, {e.removed} removed,"
        f" {e.added} added",
        f"  active time {duration(summary.seconds)}"
        f" ({summary.seconds / summary.images:.1f} s an image)",
    ]
    for iou, totals in summary.so_far.items():
        lines.append(
            f"  so far, {totals.objects} objects, at IoU {iou:g}: WB {totals.wb} boxes"
            f" ({percent(totals.wb_reduction)} saved),"
            f" WT {totals.wt:g} T ({percent(totals.wt_reduction)} saved)"
        )
    if summary.waiting:
        lines.append(f"  {summary.waiting} images of {summary.batch} wait for somebody else")
    return "\n".join(lines)
