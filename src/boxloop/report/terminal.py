"""The campaign's workload as plain text of 80 columns, for a terminal or a log."""

from __future__ import annotations

import io

from rich import box
from rich.console import Console
from rich.table import Table

from boxloop.layout import Campaign, Layout
from boxloop.report import tables

_WIDTH = 80


def percent(fraction: float) -> str:
    """0.534 as "53.4 %"."""
    return f"{100 * fraction:.1f} %"


def workload_text(campaign: Campaign) -> str:
    """One table per IoU threshold: the edits of each batch, and what is saved so far."""
    if not campaign.workloads:
        return "No batch is done yet: 'dvc repro' runs the campaign."
    out = io.StringIO()
    console = Console(file=out, width=_WIDTH, color_system=None, highlight=False)
    for iou in campaign.iou_thresholds:
        console.print(_table(campaign, iou))
    done, planned = len(campaign.workloads), len(campaign.planned)
    if not campaign.complete:
        console.print(f"{done} of {planned} batches are done.")
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def where_to_look(layout: Layout, mlflow_ui: str | None) -> str:
    """Where a person reads on after ``boxloop report``.

    Args:
        layout: where the campaign's files are.
        mlflow_ui: how to see the tracked runs; None where nothing is tracked.
    """
    lines = [
        f"The page with figures:  {layout.report / 'report.html'}",
        f"The numbers:            {layout.metrics} (dvc metrics show, dvc metrics diff)",
        "The plots:              dvc plots show",
        "The state of each turn: boxloop status",
    ]
    if mlflow_ui is not None:
        lines.append(f"Runs, side by side:     {mlflow_ui}")
    return "\n".join(lines)


def _table(campaign: Campaign, iou: float) -> Table:
    table = Table(
        title=f"Workload, a proposal counting as right from IoU {iou:g}",
        title_justify="left",
        title_style="",
        box=box.SIMPLE,
        show_footer=True,
        pad_edge=False,
        padding=0,
    )
    totals, so_far = campaign.totals(iou), campaign.so_far(iou)
    ledgers = [w.ledger(iou) for w in campaign.workloads]
    table.add_column("Batch", footer="all")
    table.add_column("Images", footer=str(totals.images), justify="right")
    table.add_column("Objects", footer=str(totals.objects), justify="right")
    for kind in tables.EDITS:
        count = sum(getattr(ledger, kind) for ledger in ledgers)
        table.add_column(kind.capitalize(), footer=str(count), justify="right")
    for name, whole in (("WB", totals.wb_reduction), ("WT", totals.wt_reduction)):
        table.add_column(f"{name} saved", footer=percent(whole), justify="right", no_wrap=True)
    for workload, ledger, total in zip(campaign.workloads, ledgers, so_far, strict=True):
        counts = [str(getattr(ledger, kind)) for kind in tables.EDITS]
        table.add_row(
            workload.batch,
            str(workload.images),
            str(workload.objects),
            *counts,
            percent(total.wb_reduction),
            percent(total.wt_reduction),
        )
    return table
