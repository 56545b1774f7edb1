"""Sum up the workload of a session's images, and put it in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from boxloop.campaign import artifacts, submissions
from boxloop.core.edits import Ledger, diff, judge
from boxloop.core.types import Boxes, Corrections
from boxloop.core.workload import BatchWorkload, Totals
from boxloop.review.fiftyone.assignment import Assignment
from boxloop.terminal import counted, duration, saving


@dataclass(frozen=True)
class OtherBatches:
    """Workloads of the campaign's other batches, oldest first."""

    first: bool  # whether the session's batch is the first, which is labeled from scratch
    before: tuple[BatchWorkload, ...] = ()  # empty where one of the batches is not known
    after: tuple[BatchWorkload, ...] = ()  # in a redo, those that are done


@dataclass(frozen=True)
class ReviewedWorkload:
    """Final boxes of some images, their edits by box id, and as they count by IoU threshold."""

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
class Waiting:
    """Images of a session's batch that have no labels that count, right after it is submitted."""

    others: int  # that nobody has submitted yet
    own: int = 0  # of those that were just submitted
    gone: tuple[str, ...] = ()  # classes of these that the campaign no longer has

    def lines(self, batch: str) -> list[str]:
        """Return this in words, for a summary."""
        lines = []
        if self.own:
            names = ", ".join(f"'{name}'" for name in self.gone)
            are = "are no classes" if len(self.gone) > 1 else "is no class"
            why = f": {names} {are} of this campaign now" if self.gone else " now"
            lines.append(
                f"  {self.own} of these images {'does' if self.own == 1 else 'do'} not count{why};"
                " 'boxloop status' says what to do"
            )
        if self.others:
            wait = "waits" if self.others == 1 else "wait"
            lines.append(f"  {counted(self.others)} of {batch} {wait} for somebody else")
        return lines


def pending(
    assignment: Assignment,
    known: Iterable[Corrections],
    submitted: Mapping[str, Boxes],
    images: Path,
) -> Waiting:
    """Return what waits after a submission; ``images`` is the file that lists today's classes."""
    missing = submissions.missing(known, assignment.batch_images)
    own = [i for i in missing if i in submitted]
    if not own:
        return Waiting(len(missing))
    used = dict.fromkeys(label for i in own for label in submitted[i].labels)
    today = artifacts.read_images(images).classes
    gone = tuple(name for name in used if name not in today)
    return Waiting(len(missing) - len(own), len(own), gone)


def summarize(
    assignment: Assignment,
    workload: ReviewedWorkload,
    seconds: float,
    so_far: Mapping[float, Totals],
    waiting: Waiting,
    below: int = 0,
) -> str:
    """Summarize a submission for a terminal or a panel.

    ``so_far`` holds the campaign's totals, including this submission, by IoU threshold; ``below``
    counts the boxes that were taken from proposals below the threshold.
    """
    images, edits = len(assignment.items), workload.edits
    again = " again" if assignment.redo else ""
    lines = [
        f"{assignment.title}: {counted(images)} with {counted(workload.objects, 'box')}"
        f" {'is' if images == 1 else 'are'} submitted{again} by"
        f" {assignment.reviewer}.",
        f"  {edits.kept} kept, {edits.moved} moved, {edits.relabeled} relabeled,"
        f" {edits.removed} removed, {edits.added} added",
        *([f"  {below} of the added kept from below the threshold"] if below else []),
        f"  active time {duration(seconds)} ({seconds / images:.1f} s an image)",
    ]
    for iou, totals in so_far.items():
        lines.append(
            f"  so far, {totals.objects} objects, at IoU {iou:g}: WB {totals.wb} boxes"
            f" ({saving(totals.wb_reduction)}),"
            f" WT {totals.wt:g} T ({saving(totals.wt_reduction)})"
        )
    return "\n".join([*lines, *waiting.lines(assignment.batch)])
