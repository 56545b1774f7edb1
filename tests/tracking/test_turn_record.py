"""What MLflow logs of an iteration, read from its files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from boxloop.campaign import artifacts
from boxloop.errors import ArtifactError
from boxloop.tracking.turn_record import read_turn
from builders_campaign import build_campaign, small_params


def test_people_s_edits_and_seconds_are_metrics(tmp_path: Path) -> None:
    params = small_params(2)
    by_people = build_campaign(tmp_path / "people", params, annotator="fiftyone")
    record = read_turn(by_people, params, "b01")
    values = {point.name: point.value for point in record.points}
    assert values["batch/review_seconds"] == 20
    assert values["measured_hours"] == pytest.approx(40 / 3600)
    assert values["batch/revision"] == 1
    # By id every move counts; at IoU 0.5 the same one does not (see builders_campaign).
    kinds = ("kept", "moved", "relabeled", "removed", "added")
    assert [values[f"edits/{kind}"] for kind in kinds] == [3, 1, 1, 1, 1]
    assert [values[f"edits/{kind}_iou_0.5"] for kind in kinds] == [4, 0, 1, 1, 1]
    assert record.params["reviewer"] == "ada"
    simulated = build_campaign(tmp_path / "simulated", params)
    names = {point.name for point in read_turn(simulated, params, "b01").points}
    assert {"measured_hours", "batch/revision", "edits/kept"}.isdisjoint(names)


def test_the_threshold_and_what_it_saved_are_metrics(tmp_path: Path) -> None:
    params = small_params(3, review={"score_threshold": "fitted"})
    paths = build_campaign(tmp_path / "fitted", params)
    fitted = artifacts.read_proposals(paths.proposals("b02")).fitted(0.7)
    assert fitted is not None
    record = read_turn(paths, params, "b02")
    values = {point.name: point.value for point in record.points}
    assert values["proposals/score_threshold_iou_0.7"] == fitted.score
    assert values["proposals/expected_saving_iou_0.7"] == fitted.expected_saving
    assert values["proposals/saving_iou_0.7"] == 1.0
    assert record.params["review.threshold_judged_by.iou_0.7"] == "b01"
    assert record.params["review.score_threshold"] == "fitted"
    first = read_turn(paths, params, "b01")
    names = {point.name for point in first.points}
    assert "proposals/expected_saving_iou_0.5" not in names  # nothing was known
    assert first.params["review.threshold_judged_by.iou_0.5"] == "prior"
    fixed = build_campaign(tmp_path / "fixed", small_params(2))
    record = read_turn(fixed, small_params(2), "b01")
    values = {point.name: point.value for point in record.points}
    assert values["proposals/score_threshold_iou_0.5"] == 0.5
    assert not any("judged_by" in name for name in record.params)


def test_what_was_expected_is_logged_of_the_iou_that_it_was_expected_at(tmp_path: Path) -> None:
    params = small_params(3, review={"score_threshold": "fitted"})
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    workload = artifacts.read_workload(paths.workload("b02"))
    half, strict = workload.thresholds
    assert half.expected_saving is not None
    workload = replace(workload, thresholds=(half, replace(strict, score=1.0, expected_saving=0.0)))
    artifacts.write_workload(paths.workload("b02"), workload)
    values = {point.name: point.value for point in read_turn(paths, params, "b02").points}
    assert values["proposals/expected_saving_iou_0.5"] == half.expected_saving
    assert values["proposals/score_threshold_iou_0.7"] == half.score
    assert "proposals/expected_saving_iou_0.7" not in values


def test_a_batch_without_an_object_has_no_saving(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    workload = artifacts.read_workload(paths.workload("b02"))
    artifacts.write_workload(paths.workload("b02"), replace(workload, objects=0))
    names = {point.name for point in read_turn(paths, params, "b02").points}
    assert "proposals/score_threshold_iou_0.5" in names
    assert "proposals/saving_iou_0.5" not in names


@pytest.mark.parametrize(
    "row",
    [
        {"step": 1, "time": 0.5, "x" * 5000: 1.0},
        {"step": 1, "time": 0.5, "a\nb": 1.0},
        {"step": 1e300, "time": 0.5, "loss": 1.0},
        {"step": 1, "time": 1e305, "loss": 1.0},
        {"step": -1, "time": 0.5},
    ],
)
def test_a_damaged_curve_is_the_log_s_fault_and_not_mlflow_s(
    tmp_path: Path, row: dict[str, float]
) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    path = paths.training("b01")
    content = json.loads(path.read_text())
    content["losses"].append(row)
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"training/b01\.json.* a row of losses"):
        read_turn(paths, params, "b01")
