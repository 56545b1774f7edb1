"""Say in words what a campaign costs by one's own seconds per kind of edit."""

from __future__ import annotations

from collections.abc import Sequence

from boxloop.core.own_costs import price
from boxloop.core.workload import BatchWorkload
from boxloop.params.account import AccountParams
from boxloop.terminal import duration, percent


def own_cost_lines(batches: Sequence[BatchWorkload], account: AccountParams) -> list[str]:
    """Return a line per IoU threshold; none where ``account.costs`` is not set."""
    if account.costs is None:
        return []
    lines = []
    for iou in account.iou_thresholds:
        own = price(batches, iou, account.costs)
        lines.append(
            f"IoU {iou:<4g} {percent(own.reduction):>7} by account.costs:"
            f" {duration(own.seconds)} where drawing takes {duration(own.scratch)}"
        )
    return lines
