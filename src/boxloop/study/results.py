"""Compute the rows of results.csv and precision.csv from the finished cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import read_results
from boxloop.files import read_json
from boxloop.report.tables import Row
from boxloop.study.cell_files import LAST, Held
from boxloop.study.grid import Cell

COLUMNS = (
    "cell",
    "class",
    "approach",
    "strategy",
    "features",
    "detector",
    "seed",
    "iou",
    "score_threshold",
    "shown",
    "images",
    "objects",
    "first_batch_objects",
    "added",
    "removed",
    "wb",
    "wt",
    "wb_reduction",
    "wt_reduction",
)

AFTER_THE_LAST = "after the last"
"""Turn, in precision.csv, of the detector that was trained on all images."""

PRECISION_COLUMNS = (
    "cell",
    "approach",
    "detector",
    "seed",
    "turn",
    "labeled_images",
    "map",
    "map_50",
    "map_75",
    "voc07_map",
    "voc_map",
)


def workload_rows(cell: Cell, paths: CampaignPaths) -> list[Row]:
    """Return a cell's totals, a row per IoU and score threshold.

    ``wt`` is in units of T; ``shown`` is 1 at the review's threshold, which the tables use.
    """
    campaign = read_results(paths, cell.params)
    shown = cell.params.review.score_threshold
    scores = sorted({*campaign.what_if_scores(), shown})
    rows = []
    for iou in campaign.iou_thresholds:
        for score in scores:
            totals = campaign.totals(iou, score)
            rows.append(
                {
                    **_identity(cell),
                    "iou": iou,
                    "score_threshold": score,
                    "shown": int(score == shown),
                    "images": totals.images,
                    "objects": totals.objects,
                    "first_batch_objects": totals.first_batch_objects,
                    "added": totals.added,
                    "removed": totals.removed,
                    "wb": totals.wb,
                    "wt": totals.wt,
                    "wb_reduction": totals.wb_reduction,
                    "wt_reduction": totals.wt_reduction,
                }
            )
    return rows


def precision_rows(cell: Cell, paths: CampaignPaths, held: Held) -> list[Row]:
    """Return the precision of each turn's detector on the test set, and of the last one."""
    rows = []
    for key in [*list(cell.params.iterations)[1:], LAST]:
        content = read_json(held.precision(paths, key))
        who = {k: v for k, v in _identity(cell).items() if k in PRECISION_COLUMNS}
        values = {name: content.get(name) for name in PRECISION_COLUMNS[6:]}
        turn = AFTER_THE_LAST if key == LAST else key
        rows.append({**who, "turn": turn, "labeled_images": content["trained_on_images"], **values})
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
