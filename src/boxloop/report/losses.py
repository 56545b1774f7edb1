"""The table behind the plot of losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from boxloop.campaign.artifacts import read_training
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults
from boxloop.report.tables import to_csv

_MOST_ROWS = 200
"""Rows of a training at most: a page of twenty turns must still open."""

_COLUMNS = ("batch", "step", "steps_so_far", "loss")


def losses_table(paths: CampaignPaths, campaign: CampaignResults) -> str:
    """Return the loss of the trainings of all finished turns as CSV.

    ``step`` counts the steps of a training, ``steps_so_far`` those of all trainings. Of a long
    training, a row is the mean over several of its log's.

    Raises:
        ArtifactError: a log is damaged.
    """
    rows, before = [], 0
    for workload in campaign.workloads:
        path = paths.training(workload.batch)
        if not path.exists():
            continue
        log = read_training(path)
        for part in _parts(log.losses):
            step = int(part[-1]["step"])
            row = {"batch": workload.batch, "step": step, "steps_so_far": before + step}
            row["loss"] = f"{sum(r['total'] for r in part) / len(part):.6g}"
            rows.append(row)
        before += log.steps
    return to_csv(rows, _COLUMNS)


def _parts(rows: Sequence[Mapping[str, float]]) -> list[Sequence[Mapping[str, float]]]:
    rows = [row for row in rows if "total" in row]
    size = max(1, math.ceil(len(rows) / _MOST_ROWS))
    return [rows[i : i + size] for i in range(0, len(rows), size)]
