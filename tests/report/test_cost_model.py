"""A cost model from outside prices the campaign everywhere that WT is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from boxloop.campaign.image_rows import read_rows
from boxloop.campaign.results import read_results
from boxloop.campaign.status import status_text
from boxloop.core.workload import CostModel
from boxloop.errors import ParamsError
from boxloop.params import Params, check
from boxloop.params.registry import COST_MODELS
from boxloop.report import tables
from boxloop.report.build import write_report
from boxloop.report.console import workload_text
from boxloop.tracking.class_values import class_values
from builders_campaign import build_campaign, small_params

MINE = CostModel(kept=0.125, moved=0.25, relabeled=0.5, removed=0.25, added=2.0)


@pytest.fixture
def mine() -> Iterator[None]:
    COST_MODELS.register("mine", MINE)
    yield
    COST_MODELS.unregister("mine")


# The campaign of builders_campaign has B1n = 5, N = 15 and, in b01 and b02 together:
# IoU 0.5: 8 kept, 0 moved, 1 relabeled, 1 removed, 1 added;
# IoU 0.7: 7 kept, 1 moved, 1 relabeled, 1 removed, 1 added.
WT = {0.5: 5 + 8 * 0.125 + 0.5 + 0.25 + 2.0, 0.7: 5 + 7 * 0.125 + 0.25 + 0.5 + 0.25 + 2.0}


@pytest.mark.usefixtures("mine")
def test_totals_and_report_use_a_registered_cost_model(tmp_path: Path) -> None:
    params = small_params(3, account={"cost_model": "mine"})
    paths = build_campaign(tmp_path, params)
    results = read_results(paths, params)
    assert {iou: results.totals(iou).wt for iou in WT} == WT
    assert [t.wt for t in results.so_far(0.5)] == [5, 5 + 4 * 0.125 + 2.75, WT[0.5]]
    assert results.batch_seconds(1, 0.5) == (4 * 0.125 + 2.75) * 35
    metrics = tables.metrics(results)
    assert metrics["wt_reduction"] == {"0.5": 1 - WT[0.5] / 15, "0.7": 1 - WT[0.7] / 15}
    assert metrics["wb_reduction"] == pytest.approx({"0.5": 1 - 9 / 15, "0.7": 1 - 11 / 15})
    assert metrics["hours"] == pytest.approx(
        {"0.5": WT[0.5] * 35 / 3600, "0.7": WT[0.7] * 35 / 3600}
    )
    # At a review threshold of 0.3 nothing had to be added in b01, and 5 proposals were kept.
    (row,) = (r for r in tables.what_if(results) if r["score_threshold"] == 0.3)
    assert row["wt_reduction_iou_0.5"] == 1 - (5 + 9 * 0.125 + 0.75) / 15
    write_report(paths, params, paths.metrics, paths.report)
    page = (paths.report / "report.html").read_text(encoding="utf-8")
    saved = f"{100 * (1 - WT[0.5] / 15):.1f} %"
    assert f"{saved} of the drawing time saved" in page
    assert "0.125·T·kept + 0.25·T·moved + 0.5·T·relabeled + 0.25·T·removed + 2·T·added" in page
    assert "cost model mine (<code>account.cost_model</code>)" in page
    assert "half of that to remove one" not in page
    assert saved in workload_text(results)
    assert f"{saved} of the time (WT)" in status_text(paths, params)


@pytest.mark.usefixtures("mine")
def test_what_batches_classes_and_images_saved_sums_up_to_what_wt_says(tmp_path: Path) -> None:
    params = small_params(3, account={"cost_model": "mine"})
    paths = build_campaign(tmp_path, params)
    results = read_results(paths, params)
    saved = 15 * results.totals(0.5).wt_reduction
    alone = {w.batch: w.objects * w.saving(0.5, MINE) for w in results.workloads[1:]}
    assert sum(alone.values()) == pytest.approx(saved)
    assert sum(row.saved or 0 for row in read_rows(paths, params)) == pytest.approx(saved)
    one = read_results(paths, params, through="b01")
    classes = class_values(paths, one)  # four cats and two dogs
    by_class = 4 * classes["class_saved/cat"] + 2 * classes["class_saved/dog"]
    assert by_class == pytest.approx(alone["b01"])


def test_the_page_of_the_paper_s_model_shows_its_formula(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    write_report(paths, params, paths.metrics, paths.report)
    page = " ".join((paths.report / "report.html").read_text(encoding="utf-8").split())
    assert "(<code>account.seconds_per_box</code>), half of that to remove one.</p>" in page
    assert "+ ΣR<sub>n</sub>·T/2; saved:" in page
    assert "account.cost_model</code>" not in page
    assert "each count as one addition and one removal. The threshold" in page


def test_an_unknown_cost_model_is_refused() -> None:
    with pytest.raises(ParamsError, match=r"account\.cost_model: there is no 'papre'.*'paper'"):
        check(Params, {"account": {"cost_model": "papre"}}, "params.yaml")
