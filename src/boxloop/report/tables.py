"""Compute metrics.json and the tables that ``dvc plots`` draws.

A column or key that depends on an IoU threshold ends with it: ``wt_reduction_iou_0.5``. The x axis
of every plot is a number of images, because batches may differ in size.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import EDITS
from boxloop.core.workload import Totals

Row = dict[str, Any]


def metrics(campaign: CampaignResults) -> dict[str, Any]:
    """Return the content of metrics.json.

    Returns:
        Counts of ``images``, ``objects`` and ``first_batch_objects``; ``added``, ``removed``,
        ``wt_reduction`` and ``wb_reduction`` (fractions) and ``hours`` (WT) by IoU threshold, the
        threshold written as a string; ``hours_from_scratch``; ``map`` of the last batch's
        proposals by name; ``measured_hours`` where every image of every batch was timed.
    """
    thresholds = campaign.iou_thresholds
    totals = {f"{iou:g}": campaign.totals(iou) for iou in thresholds}
    any_total = campaign.totals(thresholds[0])
    hours_per_box = campaign.seconds_per_box / 3600

    def by_iou(value: Callable[[Totals], float]) -> dict[str, float]:
        return {name: value(item) for name, item in totals.items()}

    result: dict[str, Any] = {
        "batches": len(campaign.workloads),
        "images": any_total.images,
        "objects": any_total.objects,
        "first_batch_objects": any_total.first_batch_objects,
        "added": by_iou(lambda t: t.added),
        "removed": by_iou(lambda t: t.removed),
        "wt_reduction": by_iou(lambda t: t.wt_reduction),
        "wb_reduction": by_iou(lambda t: t.wb_reduction),
        "hours_from_scratch": any_total.objects * hours_per_box,
        "hours": by_iou(lambda t: t.wt * hours_per_box),
    }
    if campaign.workloads:
        result["map"] = dict(campaign.workloads[-1].average_precision)
    measured = [w.measured_seconds for w in campaign.workloads]
    if measured and all(seconds is not None for seconds in measured):
        result["measured_hours"] = sum(s for s in measured if s is not None) / 3600
    return result


def saving(campaign: CampaignResults) -> list[Row]:
    """Return the savings in WT and WB after each batch, with the images labeled so far."""
    rows = []
    by_iou = {iou: campaign.so_far(iou) for iou in campaign.iou_thresholds}
    for i, workload in enumerate(campaign.workloads):
        first = by_iou[campaign.iou_thresholds[0]][i]
        row: Row = {"batch": workload.batch, "images": first.images, "objects": first.objects}
        for iou, totals in by_iou.items():
            row[f"wt_reduction_iou_{iou:g}"] = totals[i].wt_reduction
            row[f"wb_reduction_iou_{iou:g}"] = totals[i].wb_reduction
        rows.append(row)
    return rows


def edits(campaign: CampaignResults) -> list[Row]:
    """Return the edits of each batch, with the images labeled so far."""
    rows, images = [], 0
    for workload in campaign.workloads:
        images += workload.images
        row: Row = {"batch": workload.batch, "images": images}
        for iou in campaign.iou_thresholds:
            ledger = workload.ledger(iou)
            row |= {f"{kind}_iou_{iou:g}": getattr(ledger, kind) for kind in EDITS}
        rows.append(row)
    return rows


def precision(campaign: CampaignResults) -> list[Row]:
    """Return each detector's mAP on its batch, with the number of images trained on."""
    rows, images = [], 0
    for workload in campaign.workloads:
        row: Row = {"batch": workload.batch, "trained_on_images": images}
        for name in ("map", "map_50", "map_75"):
            row[name] = workload.average_precision.get(name)
        rows.append(row)
        images += workload.images
    return rows


def what_if(campaign: CampaignResults) -> list[Row]:
    """Return the savings of the whole campaign at other review score thresholds.

    Empty where fewer than two thresholds were accounted: a person's corrections depend on what was
    shown, so only a simulation has several.
    """
    scores = campaign.what_if_scores()
    rows = []
    for score in scores if len(scores) > 1 else []:
        row: Row = {"score_threshold": score}
        for iou in campaign.iou_thresholds:
            totals = campaign.totals(iou, score)
            row[f"wt_reduction_iou_{iou:g}"] = totals.wt_reduction
            row[f"wb_reduction_iou_{iou:g}"] = totals.wb_reduction
        rows.append(row)
    return rows


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parameters as text by name; nested names are joined by dots."""
    rows: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            rows |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            rows[prefix + key] = ", ".join(str(item) for item in value) or "none"
        else:
            rows[prefix + key] = "none" if value is None else str(value)
    return rows


def to_csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """Format rows as CSV with a header line; None becomes an empty cell."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def all_tables(campaign: CampaignResults) -> dict[str, str]:
    """Return every table as CSV by file name; a table without rows keeps its header."""
    both = [
        f"{measure}_reduction_iou_{iou:g}"
        for iou in campaign.iou_thresholds
        for measure in ("wt", "wb")
    ]
    kinds = [f"{kind}_iou_{iou:g}" for iou in campaign.iou_thresholds for kind in EDITS]
    return {
        "saving.csv": to_csv(saving(campaign), ["batch", "images", "objects", *both]),
        "edits.csv": to_csv(edits(campaign), ["batch", "images", *kinds]),
        "map.csv": to_csv(
            precision(campaign), ["batch", "trained_on_images", "map", "map_50", "map_75"]
        ),
        "thresholds.csv": to_csv(what_if(campaign), ["score_threshold", *both]),
    }
