"""Compute metrics.json and the tables that ``dvc plots`` draws.

A column or key that depends on an IoU threshold ends with it: ``wt_reduction_iou_0.5``. The x axis
of every plot is a number of images, because batches may differ in size.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from boxloop.campaign import recheck_results
from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import EDITS
from boxloop.core.workload import Totals

Row = dict[str, Any]


def metrics(campaign: CampaignResults) -> dict[str, Any]:
    """Return the content of metrics.json.

    Returns:
        Counts of ``images``, ``objects`` and ``first_batch_objects``; ``added``, ``removed``,
        ``wt_reduction`` and ``wb_reduction`` (fractions) and ``hours`` (WT) by IoU threshold, the
        threshold written as a string; ``given``, the images and objects that came with labels;
        ``first_batch_as_corrected``, the savings by the first batch's edits where it began with
        proposals; ``hours_from_scratch``; ``map`` of
        the last batch's proposals by name; ``measured_hours`` where every image of every batch was
        timed; ``costs`` where ``account.costs`` is set; ``qa``, the work of looks for likely
        errors, where there were any.
    """
    totals = {f"{iou:g}": campaign.totals(iou) for iou in campaign.iou_thresholds}
    any_total = next(iter(totals.values()))
    hours_per_box = campaign.seconds_per_box / 3600
    names = ("added", "removed", "wt_reduction", "wb_reduction")
    result: dict[str, Any] = {
        "batches": len(campaign.workloads),
        "images": any_total.images,
        "objects": any_total.objects,
        "first_batch_objects": any_total.first_batch_objects,
        **{name: {iou: getattr(t, name) for iou, t in totals.items()} for name in names},
        "hours_from_scratch": any_total.objects * hours_per_box,
        "hours": {iou: t.wt * hours_per_box for iou, t in totals.items()},
    }
    if campaign.workloads:
        result["map"] = dict(campaign.workloads[-1].average_precision)
    if came := [item for item in (campaign.given, campaign.imported) if item is not None]:
        images, objects = (sum(counts) for counts in zip(*came, strict=True))
        result["given"] = {"images": images, "objects": objects}
    if campaign.began_with_proposals:
        corrected = {f"{iou:g}": campaign.as_corrected(iou) for iou in campaign.iou_thresholds}
        result["first_batch_as_corrected"] = {
            name: {iou: getattr(t, name) for iou, t in corrected.items()}
            for name in ("wt_reduction", "wb_reduction")
        }
    if (work := campaign.rechecks) is not None:
        price = campaign.cost_model, campaign.seconds_per_box
        result["qa"] = recheck_results.to_metrics(work, *price)
    return result | measured_hours(campaign) | own_costs(campaign)


def own_costs(campaign: CampaignResults) -> dict[str, Any]:
    """Return ``costs``, hours and saving by one's own seconds; nothing without such a table."""
    prices = {f"{iou:g}": price for iou, price in campaign.own_prices().items()}
    if not prices:
        return {}
    by_iou = {
        name: {iou: getattr(price, name) for iou, price in prices.items()}
        for name in ("hours", "reduction")
    }
    return {"costs": {"hours_from_scratch": next(iter(prices.values())).scratch_hours, **by_iou}}


def measured_hours(campaign: CampaignResults) -> dict[str, float]:
    """Return ``measured_hours``; nothing unless every image of every batch was timed."""
    seconds = [w.measured_seconds for w in campaign.workloads]
    timed = [s for s in seconds if s is not None]
    return {"measured_hours": sum(timed) / 3600} if timed and len(timed) == len(seconds) else {}


def _at(iou: float, values: Row) -> Row:
    """Return values by column at an IoU.

    The plots of dvc.yaml name a column by params.yaml's own spelling, where 1 may be 1.0: a column
    has each.
    """
    spellings = dict.fromkeys((f"{iou:g}", str(iou)))
    return {f"{name}_iou_{text}": v for text in spellings for name, v in values.items()}


def _reductions(totals: Mapping[float, Totals]) -> Row:
    """Return the savings in WT and WB, by column."""
    row: Row = {}
    for iou, t in totals.items():
        row |= _at(iou, {"wt_reduction": t.wt_reduction, "wb_reduction": t.wb_reduction})
    return row


def saving(campaign: CampaignResults) -> list[Row]:
    """Return the savings in WT and WB after each batch, with the images labeled so far."""
    rows = []
    by_iou = {iou: campaign.so_far(iou) for iou in campaign.iou_thresholds}
    for i, workload in enumerate(campaign.workloads):
        totals = {iou: so_far[i] for iou, so_far in by_iou.items()}
        first = next(iter(totals.values()))
        row: Row = {"batch": workload.batch, "images": first.images, "objects": first.objects}
        rows.append(row | _reductions(totals))
    return rows


def edits(campaign: CampaignResults) -> list[Row]:
    """Return the edits of each batch, with the images labeled so far."""
    rows, images = [], 0
    for workload in campaign.workloads:
        images += workload.images
        row: Row = {"batch": workload.batch, "images": images}
        for iou in campaign.iou_thresholds:
            ledger = workload.ledger(iou)
            row |= _at(iou, {kind: getattr(ledger, kind) for kind in EDITS})
        rows.append(row)
    return rows


def precision(campaign: CampaignResults) -> list[Row]:
    """Return each detector's mAP on its batch, with the number of images trained on.

    Images whose labels were given are among them: all detectors learned from these.
    """
    rows, images = [], campaign.given_images
    for workload in campaign.workloads:
        seen = campaign.seen.get(workload.batch)
        unseen = 0 if seen is None else seen.of - len(seen.images)
        row: Row = {"batch": workload.batch, "trained_on_images": images - unseen}
        for name in ("map", "map_50", "map_75"):
            row[name] = workload.average_precision.get(name)
        rows.append(row)
        images += workload.labeled_images
    return rows


def what_if(campaign: CampaignResults) -> list[Row]:
    """Return the savings of the whole campaign at other review score thresholds.

    Empty where fewer than two thresholds were accounted: a person's corrections depend on what was
    shown, so only a simulation has several.
    """
    scores = campaign.what_if_scores()
    return [
        {"score_threshold": score}
        | _reductions({iou: campaign.totals(iou, score) for iou in campaign.iou_thresholds})
        for score in (scores if len(scores) > 1 else [])
    ]


def flatten(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parameters as text by name; nested names are joined by dots."""
    rows: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, Mapping) and key == "prompts":  # its keys are any text
            words = (f"{name}: {'none' if text is None else text}" for name, text in value.items())
            rows[prefix + key] = ", ".join(words) or "none"
        elif isinstance(value, Mapping):
            rows |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            rows[prefix + key] = ", ".join(str(item) for item in value) or "none"
        else:
            rows[prefix + key] = "none" if value is None else str(value)
    return rows


def to_csv(rows: Sequence[Row], columns: Sequence[str] = ()) -> str:
    """Format rows as CSV; None becomes an empty cell.

    Args:
        rows: their values by column.
        columns: of the header; those of the first row unless given.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, columns or list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def all_tables(campaign: CampaignResults) -> dict[str, str]:
    """Return every table as CSV by file name; that of the thresholds may have a header alone."""
    columns = _reductions({iou: campaign.totals(iou) for iou in campaign.iou_thresholds})
    return {
        "saving.csv": to_csv(saving(campaign)),
        "edits.csv": to_csv(edits(campaign)),
        "map.csv": to_csv(precision(campaign)),
        "thresholds.csv": to_csv(what_if(campaign), ["score_threshold", *columns]),
    }
