import csv
import io
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults, read_results
from boxloop.core.edits import Ledger, diff
from boxloop.core.workload import account
from boxloop.files import read_json
from boxloop.models.average_precision import average_precision
from boxloop.params import Params
from boxloop.report.build import write_report
from boxloop.report.console import effort_text
from boxloop.report.review_time import Effort, fit, read_effort
from builders_campaign import build_campaign, small_params

KINDS = ("kept", "moved", "relabeled", "removed", "added")


def test_the_report_of_a_campaign_with_second_looks(tmp_path: Path) -> None:
    """An entry, a section and a table more; WB, WT and all other entries are as without."""
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    write_report(paths, params, paths.metrics, paths.report)
    before, page = read_json(paths.metrics), (paths.report / "report.html").read_text()
    assert "Two people" not in page
    made = artifacts.read_corrections(paths.corrections("b01"))
    first = replace(made, annotator="fiftyone", reviewer="<ann>", finished="2024-01-01T12:00:00")
    submissions.append(paths.reviews, first)
    last = {i: boxes.select(np.arange(1, len(boxes))) for i, boxes in made.boxes.items()}
    second = replace(first, reviewer="bob", boxes=last, finished="2024-01-01T13:00:00")
    submissions.append(paths.reviews, second, look=True)
    write_report(paths, params, paths.metrics, paths.report)
    after = read_json(paths.metrics)
    looks = after.pop("second_looks")
    assert after == before
    assert looks["images"] == looks["open"] == len(made.boxes)
    pair = looks["people"]["<ann> and bob"]
    assert pair["matched"] == pair["same_label"] == sum(map(len, last.values()))
    page = (paths.report / "report.html").read_text()
    assert "Two people, one image" in page
    assert "&lt;ann&gt; and bob" in page
    assert "Work of second and third looks, beside WB and WT" in page


def random_edits(n: int, seed: int = 0, most: int = 5) -> list[Ledger]:
    rng = np.random.default_rng(seed)
    return [Ledger(*row) for row in rng.integers(0, most, (n, 5)).tolist()]


def seconds_of(edits: list[Ledger], base: float, costs: dict[str, float]) -> list[float]:
    return [base + sum(costs[k] * getattr(ledger, k) for k in KINDS) for ledger in edits]


COSTS = {"kept": 0.5, "moved": 6.0, "relabeled": 3.0, "removed": 2.0, "added": 11.0}


def test_the_seconds_that_made_the_measurements_are_found() -> None:
    edits = random_edits(60)
    found = fit(seconds_of(edits, 4.0, COSTS), edits)
    assert found is not None
    assert found.base == pytest.approx(4.0)
    assert found.kinds == pytest.approx(COSTS)
    assert found.residual == pytest.approx(0, abs=1e-9)
    assert found.images == 60


def test_noise_is_told_as_the_residual() -> None:
    edits = random_edits(800)
    noise = np.random.default_rng(1).normal(0, 3.0, 800)
    seconds = (np.array(seconds_of(edits, 10.0, COSTS)) + noise).tolist()
    found = fit(seconds, edits)
    assert found is not None
    assert found.residual == pytest.approx(3.0, rel=0.1)
    assert found.mean == pytest.approx(np.mean(seconds))
    assert found.kinds["added"] == pytest.approx(11.0, abs=0.5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_no_kind_of_edit_ever_takes_less_than_no_time(seed: int) -> None:
    edits = random_edits(40, seed)
    seconds = np.random.default_rng(seed + 1).uniform(0, 60, 40).tolist()
    found = fit(seconds, edits)
    assert found is not None
    assert found.base >= 0
    assert all(value is not None and value >= 0 for value in found.kinds.values())


def test_a_kind_that_hardly_occurs_is_left_out() -> None:
    edits = [replace(ledger, relabeled=int(i < 4)) for i, ledger in enumerate(random_edits(60))]
    found = fit(seconds_of(edits, 4.0, {**COSTS, "relabeled": 0.0}), edits)
    assert found is not None
    assert found.kinds["relabeled"] is None
    assert found.kinds["added"] == pytest.approx(11.0)


def test_too_little_to_tell() -> None:
    edits = random_edits(29)
    assert fit(seconds_of(edits, 4.0, COSTS), edits) is None
    assert fit([], []) is None
    alike = [Ledger(added=i % 7, removed=i % 7) for i in range(60)]
    assert fit(seconds_of(alike, 4.0, COSTS), alike) is None


# --- a campaign -----------------------------------------------------------------------------------


class _Text(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def people(folder: Path, **changes: object) -> tuple[CampaignPaths, Params]:
    """Three batches that ada labeled in 10 s per image; b01 may differ."""
    params = small_params(3)
    paths = build_campaign(folder, params, annotator="fiftyone")
    if changes:
        path = paths.corrections("b01")
        changed = replace(artifacts.read_corrections(path), **changes)  # type: ignore[arg-type]
        artifacts.write_corrections(path, changed)
        precision = average_precision(changed.proposals.boxes, changed.boxes)
        counted = account(changed, params.account.iou_thresholds, (), precision)
        artifacts.write_workload(paths.workload("b01"), counted)
    return paths, params


def effort_of(paths: CampaignPaths, params: Params) -> tuple[Effort, CampaignResults]:
    campaign = read_results(paths, params)
    effort = read_effort(paths, campaign)
    assert effort is not None
    return effort, campaign


def test_measured_beside_modeled(tmp_path: Path) -> None:
    effort, campaign = effort_of(*people(tmp_path))
    # T = 35: b00 has 5 objects; b01 A = 2, R = 2 at IoU 0.5, 3 and 3 at 0.7; b02 nothing.
    assert [b.measured for b in effort.batches] == [20, 20, 20]
    assert [b.modeled for b in effort.batches] == [
        {0.5: 5 * 35, 0.7: 5 * 35},
        {0.5: 3 * 35, 0.7: 4.5 * 35},
        {0.5: 0, 0.7: 0},
    ]
    assert effort.measured() == 60
    assert effort.modeled(0.7) == 9.5 * 35 == campaign.totals(0.7).wt * 35
    # By id, every move counts: A_60 was dragged, C relabeled, FREE removed, one box drawn.
    assert effort.batches[1].edits == Ledger(kept=3, moved=1, relabeled=1, removed=1, added=1)
    assert effort.fit is None


def test_batches_that_were_timed_in_part_are_in_no_sum(tmp_path: Path) -> None:
    effort, _ = effort_of(*people(tmp_path, seconds={"img02": 50.0}))
    assert [b.timed_images for b in effort.batches] == [2, 1, 2]
    assert effort.measured() == 40
    assert effort.modeled(0.5) == 5 * 35


@pytest.mark.parametrize("key", ["b00", "b01"])
def test_a_batch_whose_labels_were_all_given_is_nobodys_work(tmp_path: Path, key: str) -> None:
    paths, params = people(tmp_path)
    effort, _ = effort_of(paths, params)
    path = paths.corrections(key)
    made = replace(artifacts.read_corrections(path), reviewer=None, seconds={})
    made = replace(made, given=tuple(made.boxes))
    artifacts.write_corrections(path, made)
    counted = account(made, params.account.iou_thresholds, (), {})
    artifacts.write_workload(paths.workload(key), counted)
    after, campaign = effort_of(paths, params)
    assert after.batches == tuple(b for b in effort.batches if b.batch != key)
    assert "not named" not in effort_text(after, campaign)
    write_report(paths, params, paths.metrics, paths.report)
    page = _Text((paths.report / "report.html").read_text()).text
    first = "counts nowhere: its labels were given" if key == "b00" else "is labeled from scratch"
    assert f"The first batch {first}. On every later one" in page
    assert f"It starts at zero, because the first batch {first}." in page
    assert "not named" not in page


def test_nothing_of_it_shows_where_nobody_but_the_simulation_worked(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    campaign = write_report(paths, params, paths.metrics, paths.report)
    assert read_effort(paths, campaign) is None
    assert not (paths.report / "effort.csv").exists()
    page = (paths.report / "report.html").read_text()
    assert "people" not in page.lower()
    assert "measured" not in page
    assert {"redone", "seconds_per_edit", "measured_hours"}.isdisjoint(read_json(paths.metrics))


def test_the_page_the_table_and_the_terminal_say_it(tmp_path: Path) -> None:
    paths, params = people(tmp_path, revision=2, reviewer="Zoë <b>, [red]ada")
    write_report(paths, params, paths.metrics, paths.report)
    page = _Text((paths.report / "report.html").read_text())
    assert "The people's work" in page.text
    assert "b01 (redone) Zoë <b>, [red]ada 2 of 2 0.3 min 1.8 min 2.6 min b02" in page.text
    assert "All 1.0 min 4.7 min 5.5 min" in page.text
    assert "b01 3 1 1 1 1 b02" in page.text
    assert "b01 was redone: the last labels count" in page.text
    assert "Too few images were timed" in page.text
    rows = list(csv.DictReader(io.StringIO((paths.report / "effort.csv").read_text())))
    assert rows[1]["measured_seconds"] == "20.0"
    assert rows[1]["modeled_seconds_iou_0.7"] == "157.5"
    assert [rows[1][kind] for kind in KINDS] == ["3", "1", "1", "1", "1"]
    assert (rows[1]["reviewer"], rows[1]["revision"]) == ("Zoë <b>, [red]ada", "2")
    metrics = read_json(paths.metrics)
    assert metrics["redone"] == 1
    assert metrics["measured_hours"] == pytest.approx(60 / 3600)
    text = effort_text(*effort_of(paths, params))
    assert "[red]ada" in text
    assert "b01 was redone: the last labels count, with the time of those that they" in text
    assert ["b00", "ada", "2/2", "0.3", "min", "2.9", "min", "2.9", "min"] in [
        line.split() for line in text.splitlines()
    ]
    assert max(map(len, text.splitlines())) <= 80


def test_the_fitted_seconds_are_shown_with_their_residual(tmp_path: Path) -> None:
    paths, params = people(tmp_path)
    campaign = read_results(paths, params)
    edits = random_edits(60)
    fitted = fit(seconds_of(edits, 4.0, COSTS), edits)
    effort = replace(read_effort(paths, campaign), fit=fitted)  # type: ignore[type-var]
    text = " ".join(effort_text(effort, campaign).split())
    assert "over 60 images: 4.0 per image, 0.5 kept, 6.0 moved, 3.0 relabeled, 2.0 removed" in text
    assert "unexplained 0.0 per image" in text


def test_a_fit_reaches_the_page_from_the_corrections(tmp_path: Path) -> None:
    params = small_params(20)
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    for number, key in enumerate(params.iterations):
        path = paths.corrections(key)
        made = artifacts.read_corrections(path)
        second = list(made.boxes)[1]
        made = replace(made, boxes={**made.boxes, second: made.boxes[second].select(np.array([0]))})
        ledgers = {i: diff(made.shown()[i], boxes) for i, boxes in made.boxes.items()}
        seconds = {i: 3.0 + 2.0 * x.kept + 4.0 * x.removed for i, x in ledgers.items()}
        # Of a batch that was redone the seconds are no measure of the edits that are left.
        revision = 2 if number == 19 else 1
        if revision == 2:
            seconds = dict.fromkeys(seconds, 1000.0)
        artifacts.write_corrections(path, replace(made, seconds=seconds, revision=revision))
    effort, _ = effort_of(paths, params)
    assert effort.fit is not None
    assert effort.fit.images == 38
    assert effort.fit.base == pytest.approx(3.0)
    assert effort.fit.kinds["kept"] == pytest.approx(2.0)
    assert effort.fit.kinds["removed"] == pytest.approx(4.0)
    assert effort.fit.kinds["relabeled"] is None
    write_report(paths, params, paths.metrics, paths.report)
    assert read_json(paths.metrics)["seconds_per_edit"]["kept"] == pytest.approx(2.0)
    page = _Text((paths.report / "report.html").read_text())
    assert "a box kept 2.0" in page.text
    assert "a box relabeled too few" in page.text
