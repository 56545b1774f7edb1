"""The charts of the classes in MLflow."""

from __future__ import annotations

from pathlib import Path

import pytest

from boxloop.campaign import artifacts
from boxloop.campaign.results import read_results
from boxloop.core.types import ImageSet
from boxloop.tracking.class_values import MOST, class_values, metric_names
from boxloop.tracking.turn_record import read_turn
from builders_campaign import build_campaign, small_params


def test_each_class_has_its_edits_savings_and_precision(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    values = {point.name: point.value for point in read_turn(paths, params, "b01").points}
    found = {name: value for name, value in values.items() if name.startswith("class_")}
    # At IoU 0.5: cat 3 kept, 1 added; dog 1 kept, 1 relabeled (C, proposed as a cat), 1 removed.
    assert found == pytest.approx(
        {
            "class_edits/cat": 1,
            "class_saved/cat": 1 - 1 / 4,
            "class_ap_50/cat": values["class_ap_50/cat"],
            "class_edits/dog": 3,
            "class_saved/dog": 1 - 2 / 2,
            "class_ap_50/dog": values["class_ap_50/dog"],
        }
    )
    ledger = values["edits/additions_iou_0.5"] + values["edits/removals_iou_0.5"]
    assert ledger == found["class_edits/cat"] + found["class_edits/dog"]
    mean = (found["class_ap_50/cat"] + found["class_ap_50/dog"]) / 2
    assert mean == pytest.approx(values["proposals/map_50"])


def test_one_class_says_no_more_than_the_batch_and_of_many_the_most_frequent_are_shown(
    tmp_path: Path,
) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    results = read_results(paths, params)
    images = artifacts.read_images(paths.images)
    many = ("bird", *(f"class {i}" for i in range(MOST)), "cat", "dog")
    artifacts.write_images(paths.images, ImageSet(images.images, many))
    names = [name for name in class_values(paths, results) if name.startswith("class_edits/")]
    assert len(names) == MOST
    assert {"class_edits/cat", "class_edits/dog"} <= set(names)
    artifacts.write_images(paths.images, ImageSet(images.images, ("cat",)))
    assert class_values(paths, results) == {}


def test_own_costs_are_metrics_where_there_are_any(tmp_path: Path) -> None:
    costs = {"kept": 1, "moved": 6, "relabeled": 4, "removed": 2, "added": 10, "image": 3}
    params = small_params(2, account={"costs": {k: float(v) for k, v in costs.items()}})
    paths = build_campaign(tmp_path, params)
    values = {point.name: point.value for point in read_turn(paths, params, "b01").points}
    # b00: 5 added; b01 at IoU 0.5: 4 kept, 1 relabeled, 1 removed, 1 added; 4 images.
    seconds = 50 + (4 + 4 + 2 + 10) + 4 * 3
    assert values["costs_hours/iou_0.5"] == pytest.approx(seconds / 3600)
    assert values["costs_reduction/iou_0.5"] == pytest.approx(1 - seconds / (11 * 10 + 12))
    without = read_turn(paths, small_params(2), "b01").points
    assert not [point.name for point in without if point.name.startswith("costs")]


def test_names_that_mlflow_takes_and_tells_apart() -> None:
    names = metric_names(("a/b", "a:b", "A_b", "größe", "..", "", "x" * 300))
    assert list(names.values()) == ["a_b", "a_b_2", "A_b_3", "größe", "_", "__2", "x" * 100]
    from mlflow.utils.validation import _validate_metric_name

    for name in names.values():
        _validate_metric_name(f"class_ap_50/{name}")
