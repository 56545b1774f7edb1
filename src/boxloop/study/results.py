"""Compute the rows of results.csv and precision.csv from the finished cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from boxloop.campaign.artifacts import read_precision
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.report.tables import Row
from boxloop.study.cell_files import LAST, Held
from boxloop.study.grid import Cell

AFTER_THE_LAST = "after the last"
"""Turn, in precision.csv, of the detector that was trained on all images."""

_COUNTS = ("images", "objects", "first_batch_objects", "added", "removed")
_TOTALS = (*_COUNTS, "wb", "wt", "wb_reduction", "wt_reduction")


def workload_rows(cell: Cell, paths: CampaignPaths) -> list[Row]:
    """Return a cell's totals, a row per IoU and score threshold.

    ``wt`` is in units of T; ``shown`` is 1 at the review's threshold, which the tables use: a
    number, or "fitted", each batch at its own.
    """
    campaign = read_results(paths, cell.params)
    shown = cell.params.review.score_threshold
    rows = []
    for iou in campaign.iou_thresholds:
        scores: list[float | str] = [*sorted({*campaign.what_if_scores()} - {shown}), shown]
        for score in scores:
            totals = campaign.totals(iou, score if isinstance(score, float) else None)
            where = {"iou": iou, "score_threshold": score, "shown": int(score == shown)}
            values = {name: getattr(totals, name) for name in _TOTALS}
            rows.append({**_identity(cell), **where, **values})
    return rows


def precision_rows(cell: Cell, paths: CampaignPaths, held: Held) -> list[Row]:
    """Return the precision of each turn's detector on the test set, and of the last one."""
    who = {name: _identity(cell)[name] for name in ("cell", "approach", "detector", "seed")}
    rows = []
    for key in [*list(cell.params.iterations)[1:], LAST]:
        found = read_precision(held.precision(paths, key))
        turn = {"turn": AFTER_THE_LAST if key == LAST else key}
        size = {"labeled_images": found.trained_on_images}
        values = found.model_dump(exclude={"trained_on_images"})
        rows.append({**who, **turn, **size, **values})
    return rows


def _identity(cell: Cell) -> Row:
    return {
        "cell": cell.folder,
        "class": cell.label or "",
        "approach": cell.approach.name,
        "strategy": cell.approach.strategy,
        "features": cell.approach.features or "",
        "detector": cell.detector,
        "seed": cell.seed,
    }


def select(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """Return the rows whose columns have these values."""
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def by_seed(rows: Sequence[Row], column: str) -> dict[int, float]:
    """Return the values of a column by seed; each seed must have one row."""
    values = {int(row["seed"]): float(row[column]) for row in rows}
    if len(values) != len(rows):
        raise ValueError(f"{column}: there is more than one row of a seed")
    return values
