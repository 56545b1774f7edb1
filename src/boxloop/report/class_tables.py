"""The ledger by class: as CSV, as text of 80 columns, for the page and for metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType
from rich.markup import escape

from boxloop.campaign.by_class import ByClass
from boxloop.core.edits import EDITS
from boxloop.core.types import NOTHING
from boxloop.report.console import as_text, plain_table
from boxloop.report.tables import Row, to_csv
from boxloop.terminal import percent

_MOST_MISTAKEN = 5
"""Pairs of classes to name of which one was relabeled to the other."""

RULE = (
    "A relabeled box counts for the class that it became, a removed one for the class that was"
    " proposed, so the classes sum up to all."
)


def class_text(found: ByClass) -> str:
    """Return a table per IoU threshold: each class's edits, what is saved, AP and threshold.

    ``found`` holds at least one batch.
    """
    parts: list[RenderableType] = []
    for iou in found.results.iou_thresholds:
        totals, edits = found.results.totals(iou), found.results.edits(iou)
        title = f"WB and WT saved by class, a proposal counting as right from IoU {iou:g}"
        table = plain_table(title, show_footer=True, padding=0)
        table.add_column("Class", footer="all", overflow="fold")
        table.add_column("Objects", footer=str(totals.objects), justify="right")
        for kind in EDITS:
            count = str(getattr(edits, kind))
            table.add_column(kind.capitalize(), footer=count, justify="right", no_wrap=True)
        for name, whole in (("WB", totals.wb_reduction), ("WT", totals.wt_reduction)):
            table.add_column(name, footer=percent(whole), justify="right", no_wrap=True)
        last = found.results.workloads[-1].average_precision.get("map_50")
        ap = "" if last is None else f"{last:.2f}"
        table.add_column("AP", footer=ap, justify="right", no_wrap=True)
        table.add_column("From", justify="right", no_wrap=True)
        for row in class_rows(found, iou):
            table.add_row(escape(row[0]), *row[1:])
        parts.append(table)
        if line := mistaken_line(found, iou):
            parts += (escape(line), "")
    parts.append(RULE)
    batch = found.batches[-1].batch
    parts.append(
        f"AP is that of the proposals for {batch} at IoU 0.5; From: the score from which on"
        " proposals of the class pay, by what the batches so far would have cost."
    )
    return as_text(parts)


def class_rows(found: ByClass, iou: float) -> list[list[str]]:
    """Return, per class: objects, edits by kind, what is saved in WB and WT, AP and threshold."""
    rows = []
    for label in found.classes:
        totals, edits = found.totals(label, iou), found.edits(label, iou)
        counts = [str(getattr(edits, kind)) for kind in EDITS]
        saved = ["-", "-"]
        if totals.objects:
            saved = [percent(totals.wb_reduction), percent(totals.wt_reduction)]
        precision = found.precision.get(label)
        ap = "-" if precision is None else f"{precision:.2f}"
        rows.append([label, str(totals.objects), *counts, *saved, ap, _shown_from(found, label)])
    return rows


def _shown_from(found: ByClass, label: str) -> str:
    fitted = found.thresholds.get(label)
    if fitted is None:
        return "-"
    return "none" if fitted.least_wt == NOTHING else f"{fitted.least_wt:g}"


def mistaken_line(found: ByClass, iou: float) -> str:
    """Say which classes were relabeled to which most often; empty where none was."""
    pairs = found.mistaken(iou)
    if not pairs:
        return ""
    named = [f"{old} to {new} ({number})" for old, new, number in pairs[:_MOST_MISTAKEN]]
    more = len(pairs) - len(named)
    return f"Relabeled most: {', '.join(named)}" + (f", {more} more pairs" * bool(more))


def class_table(found: ByClass) -> str:
    """Return by_class.csv: the whole campaign, a row per class."""
    return to_csv(
        [{"class": label} | _flat(class_metrics(found, label)) for label in found.classes]
    )


def class_batch_table(found: ByClass) -> str:
    """Return by_class_batches.csv: the edits of each batch, a row per batch and class."""
    rows: list[Row] = []
    for batch in found.batches:
        for label in found.classes:
            first = next(iter(batch.ledgers.values()))
            row: Row = {
                "batch": batch.batch,
                "class": label,
                "images": first.images.get(label, 0),
                "objects": first.objects.get(label, 0),
            }
            for iou, ledgers in batch.ledgers.items():
                own = ledgers.edits.get(label)
                for kind in EDITS:
                    row[f"{kind}_iou_{iou:g}"] = 0 if own is None else getattr(own, kind)
                row[f"mistaken_iou_{iou:g}"] = sum(
                    number for (old, _), number in ledgers.mistaken.items() if old == label
                )
            rows.append(row | {"ap_50": batch.precision.get(label)})
    return to_csv(rows)


def to_metrics(found: ByClass) -> dict[str, object]:
    """Return ``by_class`` for metrics.json, which has it where ``report.by_class`` is set."""
    numbers = {label: class_metrics(found, label) for label in found.classes}
    return {
        "by_class": {
            label: {name: value for name, value in _known(row).items() if value != {}}
            for label, row in numbers.items()
        }
    }


def _known(content: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is None, at both levels."""
    return {
        name: _known(value) if isinstance(value, dict) else value
        for name, value in content.items()
        if value is not None
    }


def class_metrics(found: ByClass, label: str) -> dict[str, Any]:
    """Return the numbers of one class; a dict of IoU thresholds, as texts, where they depend on it.

    WT is in units of T. None, and no key in metrics.json, where nothing is known.
    """
    ious = {f"{iou:g}": iou for iou in found.results.iou_thresholds}
    totals = {text: found.totals(label, iou) for text, iou in ious.items()}
    edits = {text: found.edits(label, iou) for text, iou in ious.items()}
    any_total = next(iter(totals.values()))
    fitted = found.thresholds.get(label)
    return {
        "images": any_total.images,
        "objects": any_total.objects,
        "first_batch_objects": any_total.first_batch_objects,
        **{kind: {text: getattr(e, kind) for text, e in edits.items()} for kind in EDITS},
        **{name: {text: getattr(t, name) for text, t in totals.items()} for name in ("wb", "wt")},
        **{
            name: {text: getattr(t, name) if t.objects else None for text, t in totals.items()}
            for name in ("wb_reduction", "wt_reduction")
        },
        "ap_50": found.precision.get(label),
        "pays_from": None if fitted is None else fitted.least_wt,
    }


def _flat(content: dict[str, Any]) -> Row:
    row: Row = {}
    for key, value in content.items():
        if isinstance(value, dict):
            row |= {f"{key}_iou_{text}": number for text, number in value.items()}
        else:
            row[key] = value
    return row
