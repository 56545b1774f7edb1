"""The table behind the plot of losses."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

from boxloop.campaign import artifacts
from boxloop.campaign.results import read_results
from boxloop.report.losses import losses_table
from builders_campaign import build_campaign, small_params, training_log


def test_the_trainings_follow_one_another(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    rows = list(csv.DictReader(io.StringIO(losses_table(paths, read_results(paths, params)))))
    # b00 was trained on nothing; b01 and b02 took four steps each, and their losses halve.
    assert [(r["batch"], r["step"], r["steps_so_far"], float(r["loss"])) for r in rows] == [
        *(("b01", str(i), str(i), 8 / 2**i) for i in range(1, 5)),
        *(("b02", str(i), str(4 + i), 8 / 2**i) for i in range(1, 5)),
    ]


def test_steps_go_on_after_all_trainings_before(tmp_path: Path) -> None:
    """Also where not every step was logged, one of them without a total, or a log is gone."""
    params = small_params(5)
    paths = build_campaign(tmp_path, params)
    losses = ({"step": 2, "total": 3.0, "time": 1.0}, {"step": 4, "boxes": 1.0, "time": 2.0})
    log = replace(training_log(1, params), losses=losses)
    artifacts.write_training(paths.training("b01"), log)
    paths.training("b02").unlink()
    rows = list(csv.DictReader(io.StringIO(losses_table(paths, read_results(paths, params)))))
    assert [(r["batch"], r["step"], r["steps_so_far"]) for r in rows] == [
        ("b01", "2", "2"),
        *(("b03", str(i), str(4 + i)) for i in range(1, 5)),
        *(("b04", str(i), str(8 + i)) for i in range(1, 5)),
    ]


def test_a_long_training_is_thinned_to_means(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    losses = tuple({"step": i, "total": float(i), "time": 1.0 * i} for i in range(1, 1001))
    log = replace(training_log(1, params), steps=1000, losses=losses)
    artifacts.write_training(paths.training("b01"), log)
    rows = list(csv.DictReader(io.StringIO(losses_table(paths, read_results(paths, params)))))
    assert len(rows) == 200
    assert (rows[0]["step"], float(rows[0]["loss"])) == ("5", 3.0)
    assert (rows[-1]["step"], float(rows[-1]["loss"])) == ("1000", 998.0)


def test_a_campaign_without_a_training_has_a_header_alone(tmp_path: Path) -> None:
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    text = losses_table(paths, read_results(paths, params))
    assert text == "batch,step,steps_so_far,loss\n"
