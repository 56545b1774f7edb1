"""Read the work of second looks, which counts beside WB and WT, and say it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.rechecking import RecheckWork, recheck_work
from boxloop.core.workload import CostModel
from boxloop.terminal import counted, duration


def read_rechecks(paths: CampaignPaths, keys: Iterable[str]) -> RecheckWork | None:
    """Read the second looks at some batches; None where there were none.

    Raises:
        ArtifactError: corrections are damaged.
    """
    files = [path for path in map(paths.corrections, keys) if path.exists()]
    return recheck_work(map(artifacts.read_corrections, files))


def in_words(work: RecheckWork, costs: CostModel, seconds_per_box: float) -> str:
    """Say what second looks changed and took; ``seconds_per_box`` is T."""
    edits, price = work.edits, costs.cost(work.edits)
    return (
        f"QA, beside WB and WT: {counted(work.images)} looked at again, {work.changed} changed"
        f" ({edits.moved} moved, {edits.relabeled} relabeled, {edits.removed} removed,"
        f" {edits.added} added): {counted(work.boxes, 'box')}, {price:g} T"
        f" ({duration(price * seconds_per_box)}), {duration(work.seconds)} measured."
    )


def to_metrics(work: RecheckWork, costs: CostModel, seconds_per_box: float) -> dict[str, Any]:
    """Return the entry ``qa`` of metrics.json."""
    return {
        "images": work.images,
        "changed": work.changed,
        "edits": vars(work.edits),
        "boxes": work.boxes,
        "hours": costs.cost(work.edits) * seconds_per_box / 3600,
        "measured_hours": work.seconds / 3600,
    }
