"""Format a campaign's workload as plain text of 80 columns."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.table import Table

from boxloop.campaign.ahead import seen_text
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.recheck_results import in_words
from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import EDITS
from boxloop.core.existing import asked_model
from boxloop.core.forecast import Interval, forecast
from boxloop.core.names import UNNAMED
from boxloop.report.fitted import FittedRow, fitted_rows
from boxloop.terminal import counted, minutes, percent, saving

if TYPE_CHECKING:
    from boxloop.report.review_time import Effort

MOST = 20
"""Finished batches that a table shows, the last ones: a terminal's page. Files have all of them."""


def as_text(parts: Iterable[RenderableType], width: int = 80) -> str:
    """Format tables and lines of Rich's markup as plain text."""
    out = io.StringIO()
    console = Console(file=out, width=width, color_system=None, highlight=False)
    for part in parts:
        if isinstance(part, Table) and part.title:
            # Rich would wrap a title that is longer than the table's rows.
            console.print(part.title)
            part.title = None
        console.print(part)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def plain_table(title: str, **options: Any) -> Table:
    """Return an empty table with the title on the left."""
    plain: dict[str, Any] = {"title_justify": "left", "title_style": "", "box": box.SIMPLE}
    return Table(title=title, pad_edge=False, **plain, **options)


def workload_text(campaign: CampaignResults) -> str:
    """Return a table per IoU threshold: each batch's edits, and the savings so far."""
    if not campaign.workloads:
        return "No batch is done yet: 'dvc repro' runs the campaign."
    parts: list[RenderableType] = [_table(campaign, iou) for iou in campaign.iou_thresholds]
    if rows := fitted_rows(campaign):
        parts.append(_fitted_table(campaign, rows))
    parts += map(escape, beginning_lines(campaign))
    if not campaign.complete:
        done, planned = len(campaign.workloads), len(campaign.planned)
        if expected := forecast_rows(campaign):
            parts.append(_forecast_table(expected, campaign.iou_thresholds[0]))
        parts.append(f"{done} of {planned} batches are done.")
    return as_text(parts)


def beginning_lines(campaign: CampaignResults) -> list[str]:
    """Say what counts apart, and which detectors had not seen all labels.

    Labels and proposals that the campaign began with, and second looks, count apart.
    """
    lines = []
    if campaign.given is not None:
        images, objects = campaign.given
        lines.append(
            f"{counted(images)} came with labels ({counted(objects, 'object')}): the first"
            " detector learned from them, and they are not counted here."
        )
    if campaign.imported is not None:
        images, objects = campaign.imported
        lines.append(
            f"The labels of {counted(images, 'more image')} ({counted(objects, 'object')}) were"
            " imported and trusted: they cost nothing, and are not counted here."
        )
    for iou in campaign.iou_thresholds if campaign.began_with_proposals else ():
        first, totals = campaign.workloads[0], campaign.as_corrected(iou)
        by = asked_model(first.detector)
        wb, wt = totals.wb_reduction, totals.wt_reduction
        effect = (
            f"{percent(wb)} WB and {percent(wt)} WT are saved"
            if min(wb, wt) >= 0
            else f"it is {saving(wb)} by WB and {saving(wt)} by WT"
        )
        lines.append(
            f"{first.batch} was corrected{f' from boxes by {by}' if by else ''}, not drawn from"
            f" scratch. With its edits in place of its {first.objects} objects, {effect} at"
            f" IoU {iou:g}."
        )
    if campaign.seen:
        lines.append(seen_text(campaign.seen))
    if (work := campaign.rechecks) is not None:
        lines.append(in_words(work, campaign.cost_model, campaign.seconds_per_box))
    return lines


def forecast_rows(campaign: CampaignResults) -> list[list[str]]:
    """Return, per batch to come: images, and the objects, edits and hours that are expected."""
    ahead = forecast(
        campaign.workloads,
        campaign.coming,
        campaign.iou_thresholds[0],
        seconds_per_box=campaign.seconds_per_box,
        cost_model=campaign.cost_model,
        before=campaign.given_images,
    )
    keys = campaign.planned[len(campaign.workloads) :]
    return [
        [key, str(b.images), *map(_between, (b.objects, b.added, b.removed, b.wt))]
        for key, b in zip(keys, ahead.batches if ahead else (), strict=False)
    ]


def _between(expected: Interval) -> str:
    return f"{expected.median:,.0f} ({expected.low:,.0f}-{expected.high:,.0f})"


FORECAST_COLUMNS = ("Batch", "Images", "Objects", "Added", "Removed", "WT in T")
"""The columns of :func:`forecast_rows`; of each number the median and where 4 of 5 lie."""


def _forecast_table(rows: Iterable[Sequence[str]], iou: float) -> Table:
    table = plain_table(
        f"Expected of the batches to come, at IoU {iou:g} (4 of 5 times)",
        padding=(0, 1),
    )
    for name in FORECAST_COLUMNS:
        table.add_column(name, justify="left" if name == "Batch" else "right")
    for row in rows:
        table.add_row(*row)
    return table


def _fitted_table(campaign: CampaignResults, rows: Iterable[FittedRow]) -> Table:
    title = f"Proposals shown, from a score fitted to each batch{_of_all(campaign)}"
    table = plain_table(title, padding=(0, 1))
    table.add_column("Batch")
    for name in ("IoU", "From", "Expected to save", "Saved"):
        table.add_column(name, justify="right")
    table.add_column("Judged by")
    shown = {workload.batch for workload in campaign.workloads[-MOST:]}
    for row in (row for row in rows if row.batch in shown):
        saved = "-" if row.saved is None else percent(row.saved)
        values = (f"{row.iou:g}", row.shown, row.expected, saved, escape(row.fitted.found))
        table.add_row(row.batch, *values)
    return table


def effort_text(effort: Effort, campaign: CampaignResults) -> str:
    """Return a table of measured and modeled time, and the fitted seconds per edit.

    Args:
        effort: of the campaign's people.
        campaign: the finished batches.
    """
    title = f"People's time (modeled with {campaign.seconds_per_box:g} s per box)"
    table = plain_table(title, show_footer=True, padding=(0, 1))
    whole = bool(effort.timed)
    table.add_column("Batch", footer="timed" if whole else "")
    table.add_column("Reviewed by")
    table.add_column("Timed", justify="right")
    measured = minutes(effort.measured()) if whole else ""
    table.add_column("Measured", footer=measured, justify="right", no_wrap=True)
    for iou in campaign.iou_thresholds:
        modeled = minutes(effort.modeled(iou)) if whole else ""
        table.add_column(f"IoU {iou:g}", footer=modeled, justify="right", no_wrap=True)
    for b in effort.batches:
        table.add_row(
            b.batch,
            escape(b.reviewer or UNNAMED),
            f"{b.timed_images}/{b.images}",
            "-" if b.measured is None else minutes(b.measured),
            *(minutes(b.modeled[iou]) for iou in campaign.iou_thresholds),
        )
    parts: list[RenderableType] = [table]
    for b in effort.redone:
        often = "" if b.revision == 2 else f" {b.revision - 1} times"
        parts.append(
            f"{b.batch} was redone{often}: the last labels count, with the time of those that they"
            " went on from."
        )
    if effort.fit is not None:
        kinds = (f"{v:.1f} {kind}" for kind, v in effort.fit.kinds.items() if v is not None)
        parts.append(
            f"Seconds per edit, by least squares over {effort.fit.images} images:"
            f" {effort.fit.base:.1f} per image, {', '.join(kinds)};"
            f" unexplained {effort.fit.residual:.1f} per image (of {effort.fit.mean:.1f})."
        )
    return as_text(parts)


def where_to_look(paths: CampaignPaths, mlflow_ui: str | None) -> str:
    """Return the paths and commands that lead to more results.

    Args:
        paths: where the campaign's files are.
        mlflow_ui: command or address of the tracked runs; None where nothing is tracked.
    """
    page = paths.report / "report.html"
    has_dvc = (paths.root / "dvc.yaml").exists()  # a study's cells have none
    if page.exists():
        commands = " (dvc metrics show, dvc metrics diff)" if has_dvc else ""
        lines = [
            f"The page with figures:  {page}",
            f"The numbers:            {paths.metrics}{commands}",
            *(["The plots:              dvc plots show"] if has_dvc else []),
        ]
    elif not has_dvc:
        lines = ["The page with figures:  'boxloop report' writes it"]
    else:
        now = "'dvc repro --single-item report' now"
        lines = [
            f"The page with figures:  'dvc repro' writes {page} at the end, {now}",
            f"The numbers:            {paths.metrics}, and what 'dvc plots show' draws, likewise",
        ]
    lines.append("The state of each turn: boxloop status")
    if mlflow_ui is not None:
        lines.append(f"Runs, side by side:     {mlflow_ui}")
    return "\n".join(lines)


def _table(campaign: CampaignResults, iou: float) -> Table:
    title = f"Workload, a proposal counting as right from IoU {iou:g}{_of_all(campaign)}"
    table = plain_table(title, show_footer=True, padding=0)
    totals, so_far, edits = campaign.totals(iou), campaign.so_far(iou), campaign.edits(iou)
    table.add_column("Batch", footer="all")
    table.add_column("Images", footer=str(totals.images), justify="right")
    table.add_column("Objects", footer=str(totals.objects), justify="right")
    for kind in EDITS:
        count = getattr(edits, kind)
        table.add_column(kind.capitalize(), footer=str(count), justify="right")
    for name, whole in (("WB", totals.wb_reduction), ("WT", totals.wt_reduction)):
        table.add_column(f"{name} saved", footer=percent(whole), justify="right", no_wrap=True)
    for workload, total in list(zip(campaign.workloads, so_far, strict=True))[-MOST:]:
        counts = [str(getattr(workload.ledger(iou), kind)) for kind in EDITS]
        table.add_row(
            workload.batch,
            str(workload.images),
            str(workload.objects),
            *counts,
            percent(total.wb_reduction),
            percent(total.wt_reduction),
        )
    return table


def _of_all(campaign: CampaignResults) -> str:
    """Say which batches a table shows; nothing where it shows all."""
    done = len(campaign.workloads)
    return f" (the last {MOST} of {done})" if done > MOST else ""
