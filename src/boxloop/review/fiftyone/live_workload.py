"""What a session's images come to, beside the other batches of the campaign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from boxloop.core.edits import Ledger, diff, judge
from boxloop.core.types import Boxes
from boxloop.core.workload import PAPER, BatchWorkload, CostModel


@dataclass(frozen=True)
class Prices:
    """What the numbers of a session are told in.

    Attributes:
        iou_thresholds: from the section ``account``.
        seconds_per_box: T.
        cost_model: prices the edits.
    """

    iou_thresholds: tuple[float, ...]
    seconds_per_box: float
    cost_model: CostModel = PAPER


@dataclass(frozen=True)
class Others:
    """What the other batches came to.

    Attributes:
        first: whether the session's batch is the first, which is labeled from scratch.
        before: of the batches before it, oldest first; empty where one of them is not known.
        after: of those after it that are done, in a redo.
    """

    first: bool
    before: tuple[BatchWorkload, ...] = ()
    after: tuple[BatchWorkload, ...] = ()


@dataclass(frozen=True)
class Worth:
    """What one image comes to.

    Attributes:
        objects: its boxes.
        edits: exact, by id.
        judged: as they count at each IoU threshold.
    """

    objects: int
    edits: Ledger
    judged: Mapping[float, Ledger]

    @classmethod
    def of(cls, shown: Boxes, final: Boxes, iou_thresholds: Iterable[float]) -> Worth:
        """Of an image with these proposals and these boxes."""
        judged = {iou: judge(shown, final, iou) for iou in iou_thresholds}
        return cls(len(final), diff(shown, final), judged)


def added_up(worths: Iterable[Worth], iou_thresholds: Iterable[float]) -> Worth:
    """What several images come to together."""
    worths = list(worths)
    judged = {iou: sum((w.judged[iou] for w in worths), Ledger()) for iou in iou_thresholds}
    objects = sum(w.objects for w in worths)
    return Worth(objects, sum((w.edits for w in worths), Ledger()), judged)
