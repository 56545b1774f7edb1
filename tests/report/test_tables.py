from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from dvc.parsing.context import Context
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.campaign.results import CampaignResults, read_results
from boxloop.core.edits import Ledger
from boxloop.core.training_log import Seen
from boxloop.core.workload import BatchWorkload
from boxloop.params import read_yaml
from boxloop.report import tables
from builders_campaign import build_campaign, small_params


def campaign_in(folder: Path, batches: int = 3, **kwargs: object) -> CampaignResults:
    params = small_params(batches)
    return read_results(build_campaign(folder, params, **kwargs), params)  # type: ignore[arg-type]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_metrics_of_the_campaign_that_was_counted_by_hand(tmp_path: Path) -> None:
    # N = 15, B1n = 5; IoU 0.5: A = 2, R = 2; IoU 0.7: A = 3, R = 3 (see builders_campaign).
    metrics = tables.metrics(campaign_in(tmp_path))
    assert metrics["batches"] == 3
    assert metrics["images"] == 6
    assert metrics["objects"] == 15
    assert metrics["first_batch_objects"] == 5
    assert metrics["added"] == {"0.5": 2, "0.7": 3}
    assert metrics["removed"] == {"0.5": 2, "0.7": 3}
    assert metrics["wb_reduction"] == pytest.approx({"0.5": 1 - 9 / 15, "0.7": 1 - 11 / 15})
    assert metrics["wt_reduction"] == pytest.approx({"0.5": 1 - 8 / 15, "0.7": 1 - 9.5 / 15})
    assert metrics["hours_from_scratch"] == pytest.approx(15 * 35 / 3600)
    assert metrics["hours"] == pytest.approx({"0.5": 8 * 35 / 3600, "0.7": 9.5 * 35 / 3600})
    assert metrics["map"] == {"map": 1.0, "map_50": 1.0, "map_75": 1.0}
    assert "measured_hours" not in metrics
    json.dumps(metrics, allow_nan=False)


def test_a_persons_seconds_become_measured_hours(tmp_path: Path) -> None:
    metrics = tables.metrics(campaign_in(tmp_path, annotator="person"))
    assert metrics["measured_hours"] == pytest.approx(6 * 10 / 3600)


def test_hours_are_measured_where_every_batch_was_timed(tmp_path: Path) -> None:
    campaign = campaign_in(tmp_path, annotator="person")
    first, *rest = campaign.workloads
    untimed = replace(campaign, workloads=(replace(first, seconds=None), *rest))
    assert "measured_hours" not in tables.metrics(untimed)


def test_labels_that_were_given_and_imported_count_together(tmp_path: Path) -> None:
    campaign = campaign_in(tmp_path)
    first, *rest = campaign.workloads
    imported = replace(first, given_images=20, given_objects=50)
    trusted = replace(campaign, workloads=(imported, *rest), given=(200, 400))
    assert tables.metrics(trusted)["given"] == {"images": 220, "objects": 450}
    assert "given" not in tables.metrics(campaign)


def test_metrics_of_a_batch_without_any_object() -> None:
    nothing = BatchWorkload("b00", "simulated", "empty", 2, 0, 0.5, {(0.5, 0.5): Ledger()}, {})
    metrics = tables.metrics(CampaignResults((nothing,), ("b00",), (0.5,), 35.0))
    assert metrics["wt_reduction"] == {"0.5": 0.0}
    assert metrics["map"] == {}


@pytest.mark.parametrize("spelled", ["1", "1.0", "1e0", ".50", "5e-1", "1e-5"])
def test_dvc_finds_its_columns_however_the_iou_is_spelled(tmp_path: Path, spelled: str) -> None:
    text = f"{{iou_thresholds: [{spelled}]}}"
    params = small_params(3, account=read_yaml(text))
    results = read_results(build_campaign(tmp_path, params), params)
    written = tables.all_tables(results)
    pipeline = read_yaml((Path(__file__).parents[2] / "dvc.yaml").read_text())
    filled = Context({"account": read_yaml(text)})  # DVC's own words for what ${...} stands for
    drawn = [plot for entry in pipeline["plots"] for plot in entry.values()]
    wanted = {name: filled.resolve(ys) for plot in drawn for name, ys in plot["y"].items()}
    for name in ("saving.csv", "edits.csv", "thresholds.csv"):
        assert set(wanted[f"data/report/{name}"]) <= set(rows_of(written[name])[0])


def test_saving_counts_images_along_its_x_axis(tmp_path: Path) -> None:
    rows = rows_of(tables.all_tables(campaign_in(tmp_path))["saving.csv"])
    assert [row["batch"] for row in rows] == ["b00", "b01", "b02"]
    assert [int(row["images"]) for row in rows] == [2, 4, 6]
    assert [int(row["objects"]) for row in rows] == [5, 11, 15]
    at_05 = [float(row["wt_reduction_iou_0.5"]) for row in rows]
    assert at_05 == pytest.approx([0.0, 1 - 8 / 11, 1 - 8 / 15])
    at_07 = [float(row["wb_reduction_iou_0.7"]) for row in rows]
    assert at_07 == pytest.approx([0.0, 0.0, 1 - 11 / 15])


def test_edits_are_those_of_each_batch(tmp_path: Path) -> None:
    rows = rows_of(tables.all_tables(campaign_in(tmp_path))["edits.csv"])
    kinds = ("kept", "moved", "relabeled", "removed", "added")
    assert [int(rows[0][f"{kind}_iou_0.5"]) for kind in kinds] == [0, 0, 0, 0, 5]
    assert [int(rows[1][f"{kind}_iou_0.5"]) for kind in kinds] == [4, 0, 1, 1, 1]
    assert [int(rows[1][f"{kind}_iou_0.7"]) for kind in kinds] == [3, 1, 1, 1, 1]
    assert [int(row["images"]) for row in rows] == [2, 4, 6]


def test_map_stands_against_the_images_the_detector_was_trained_on(tmp_path: Path) -> None:
    rows = rows_of(tables.all_tables(campaign_in(tmp_path))["map.csv"])
    assert [int(row["trained_on_images"]) for row in rows] == [0, 2, 4]
    assert float(rows[0]["map"]) == 0.0
    assert float(rows[2]["map_50"]) == 1.0


def test_detectors_were_trained_on_images_whose_labels_were_given_too(tmp_path: Path) -> None:
    campaign = campaign_in(tmp_path)
    first, second, third = campaign.workloads
    imported = replace(campaign, workloads=(first, replace(second, given_images=20), third))
    assert [row["trained_on_images"] for row in tables.precision(imported)] == [0, 2, 24]
    trusted = replace(imported, given=(200, 400))
    assert [row["trained_on_images"] for row in tables.precision(trusted)] == [200, 202, 224]
    ahead = replace(trusted, seen={"b02": Seen("b01", tuple("abcdefghijk"), 22)})
    assert [row["trained_on_images"] for row in tables.precision(ahead)] == [200, 202, 213]
    # They are in no batch that was reviewed: what is saved says nothing of them.
    assert [row["images"] for row in tables.saving(trusted)] == [2, 4, 6]


def test_map_of_a_batch_without_objects_is_an_empty_cell() -> None:
    nothing = BatchWorkload("b00", "simulated", "empty", 2, 0, 0.5, {(0.5, 0.5): Ledger()}, {})
    (row,) = rows_of(
        tables.all_tables(CampaignResults((nothing,), ("b00",), (0.5,), 1.0))["map.csv"]
    )
    assert row["map"] == ""


def test_what_if_recounts_the_campaign_at_each_score_threshold(tmp_path: Path) -> None:
    rows = rows_of(tables.all_tables(campaign_in(tmp_path))["thresholds.csv"])
    saved = {float(r["score_threshold"]): float(r["wt_reduction_iou_0.5"]) for r in rows}
    # 0.3 shows the seventh proposal too: one addition less. 0.8 hides the spurious box and one
    # right one: A = 3 (two missing, one relabeled), R = 1.
    assert saved[0.3] == pytest.approx(1 - (5 + 1 + 1) / 15)
    assert saved[0.5] == pytest.approx(1 - 8 / 15)
    assert saved[0.8] == pytest.approx(1 - (5 + 3 + 0.5) / 15)


def test_a_persons_campaign_has_no_what_if(tmp_path: Path) -> None:
    text = tables.all_tables(campaign_in(tmp_path, annotator="person"))["thresholds.csv"]
    assert rows_of(text) == []
    assert text.startswith("score_threshold,")


counts = st.integers(0, 40)
ledgers = st.builds(Ledger, counts, counts, counts, counts, counts)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(ledgers, st.integers(1, 5)), min_size=1, max_size=5))
def test_saving_ends_where_metrics_are(batches: list[tuple[Ledger, int]]) -> None:
    workloads = []
    for i, (ledger, images) in enumerate(batches):
        objects = ledger.kept + ledger.moved + ledger.relabeled + ledger.added
        workloads.append(
            BatchWorkload(f"b{i}", "simulated", "x", images, objects, 0.5, {(0.5, 0.5): ledger}, {})
        )
    campaign = CampaignResults(tuple(workloads), tuple(w.batch for w in workloads), (0.5,), 35.0)
    metrics, last = tables.metrics(campaign), tables.saving(campaign)[-1]
    assert last["wt_reduction_iou_0.5"] == metrics["wt_reduction"]["0.5"]
    assert last["images"] == metrics["images"] == sum(images for _, images in batches)
    # The definition, written out.
    later = [ledger for ledger, _ in batches[1:]]
    an = sum(x.added + x.moved + x.relabeled for x in later)
    rn = sum(x.removed + x.moved + x.relabeled for x in later)
    n, b1n = metrics["objects"], metrics["first_batch_objects"]
    if n:
        assert metrics["wt_reduction"]["0.5"] == pytest.approx(1 - (b1n + an + rn / 2) / n)
        assert metrics["wb_reduction"]["0.5"] == pytest.approx(1 - (b1n + an + rn) / n)


def test_flatten_joins_nested_names() -> None:
    content = {"a": {"b": 1, "c": None}, "d": [1, 2], "e": []}
    assert tables.flatten(content) == {"a.b": "1", "a.c": "none", "d": "1, 2", "e": "none"}
    prompts = {"a": {"prompts": {"x.y": "z", "w": None}}, "prompts": {}}
    assert tables.flatten(prompts) == {"a.prompts": "x.y: z, w: none", "prompts": "none"}
