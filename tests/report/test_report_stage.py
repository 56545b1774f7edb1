from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults
from boxloop.campaign.status import status_text
from boxloop.core.threshold import LABELS_ALONE
from boxloop.core.types import Boxes, Corrections, FittedThreshold, ImageRef, Proposals
from boxloop.errors import ArtifactError
from boxloop.files import read_json, write_json, write_text
from boxloop.params import Params
from boxloop.report.build import write_report
from boxloop.report.console import where_to_look, workload_text
from boxloop.report.contact_sheets import FINAL_COLOR, PROPOSAL_COLOR, draw_sheet
from boxloop.report.fitted import FittedRow, fitted_rows
from builders_campaign import build_campaign, small_params


class Page(HTMLParser):
    """What a page refers to, and the texts of its pictures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.alts: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action"):
                self.references.append(value or "")
            if tag == "img" and name == "alt":
                self.alts.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def reported(paths: CampaignPaths, params: Params) -> CampaignResults:
    return write_report(paths, params, paths.metrics, paths.report)


def page_of(folder: Path) -> tuple[str, Page]:
    text = (folder / "data" / "report" / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_the_page_is_one_file_that_needs_nothing_else(tmp_path: Path) -> None:
    params = small_params(3)
    reported(build_campaign(tmp_path, params), params)
    text, page = page_of(tmp_path)
    assert page.references
    assert all(reference.startswith("data:image/") for reference in page.references)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert not re.search(r"url\(|@import", text)
    # 5 figures (saving, edits twice, map, what-if) and 6 pictures, each with words for it.
    assert page.tags.count("img") == len(page.alts) == 5 + 6
    assert all(page.alts)


def test_of_many_batches_some_are_pictured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    reported(paths, params)
    assert "evenly spread" not in page_of(tmp_path)[1].text
    monkeypatch.setattr("boxloop.report.build._MOST_SHEETS", 2)
    reported(paths, params)
    text, page = page_of(tmp_path)
    assert re.search(r"Of 3 batches\s2 are here, evenly spread\.", page.text)
    assert [f"<h3>b0{i}</h3>" in text for i in range(3)] == [True, False, True]


def test_the_page_says_what_was_counted_by_hand(tmp_path: Path) -> None:
    params = small_params(3, report={"title": "Cats & <dogs>"})
    reported(build_campaign(tmp_path, params), params)
    text, page = page_of(tmp_path)
    assert "46.7 % of the drawing time saved" in page.text
    assert "36.7 %" in page.text
    assert "Cats &amp; &lt;dogs&gt;" in text
    assert "not finished" not in page.text
    assert "img02: 3 final boxes, 4 proposals" in page.alts
    assert "img03: 3 final boxes, 2 proposals" in page.alts


def test_the_report_is_the_same_every_time(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    reported(paths, params)
    files = [paths.metrics, *sorted(paths.report.iterdir())]
    before = [path.read_bytes() for path in files]
    reported(paths, params)
    assert [path.read_bytes() for path in files] == before
    assert [path.name for path in files] == [
        "metrics.json",
        "by_class.csv",
        "by_class_batches.csv",
        "edits.csv",
        "edits_iou_0.5.svg",
        "edits_iou_0.7.svg",
        "losses.csv",
        "map.csv",
        "map.svg",
        "report.html",
        "saving.csv",
        "saving.svg",
        "thresholds.csv",
        "thresholds.svg",
    ]


@pytest.mark.parametrize("done", [1, 2])
def test_a_campaign_that_is_not_finished_is_reported_as_far_as_it_is(
    tmp_path: Path, done: int
) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params, done=done, through="proposals")
    campaign = reported(paths, params)
    assert [w.batch for w in campaign.workloads] == ["b00", "b01"][:done]
    assert read_json(paths.metrics)["images"] == 2 * done
    _, page = page_of(tmp_path)
    assert "not finished" in page.text
    assert f"{done} of 3 batches are done" in " ".join(page.text.split())
    assert f"{done} of 3 batches are done" in workload_text(campaign)


def test_newer_labels_are_told_which_no_number_counts(tmp_path: Path) -> None:
    params = small_params(review={"annotator": "fiftyone"})
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    reported(paths, params)
    assert "newer labels" not in words_of(tmp_path)
    made = artifacts.read_corrections(paths.corrections("b01")).part(["img02"])
    submissions.append(paths.reviews, replace(made, finished="2024-02-01T12:00:00+00:00"))
    reported(paths, params)
    said = html.unescape(words_of(tmp_path))
    assert (
        "Newer labels are not counted here: reviews/ holds newer labels of 1 of the 2 images in"
        " data/corrections/b01.json: 'dvc repro --single-item --force finish@b01' brings them in."
    ) in said


def test_nothing_done_yet_is_one_sentence(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params, done=0)
    with pytest.raises(ArtifactError, match=r"b00\.json does not exist.*'dvc repro'"):
        reported(paths, params)


def test_an_iou_that_was_not_accounted_is_named(tmp_path: Path) -> None:
    paths = build_campaign(tmp_path, small_params(1))
    with pytest.raises(ArtifactError, match=r"not accounted at IoU 0\.9"):
        reported(paths, small_params(1, account={"iou_thresholds": [0.5, 0.9]}))


def test_a_workload_of_another_batch_is_named(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    paths.workload("b01").write_bytes(paths.workload("b00").read_bytes())
    with pytest.raises(ArtifactError, match="workload of batch b00, not of b01"):
        reported(paths, params)


def test_a_missing_image_costs_its_picture_only(tmp_path: Path) -> None:
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    (tmp_path / "data" / "images" / "img01.png").unlink()
    reported(paths, params)
    _, page = page_of(tmp_path)
    assert "The image cannot be read." in page.text
    assert [alt for alt in page.alts if alt.startswith("img")] == [
        "img00: 3 final boxes, 0 proposals"
    ]


def test_faults_of_the_dataset_are_counted_and_listed(tmp_path: Path) -> None:
    params = small_params(1)
    paths = build_campaign(tmp_path, params)
    fault = {"kind": "zero_size_box", "file": "a.xml", "detail": "object 3 <b>", "image": None}
    read = {"images": 2, "boxes": 5, "left_out": {}, "counts": {"zero_size_box": 60}}
    artifacts.write(paths.faults, "faults", {**read, "faults": [fault] * 60})
    reported(paths, params)
    text, page = page_of(tmp_path)
    assert "zero size box: 60" in page.text
    assert text.count("object 3 &lt;b&gt;") == 50
    artifacts.write(paths.faults, "faults", {**read, "counts": {}, "faults": []})
    reported(paths, params)
    assert "Nothing was wrong" in page_of(tmp_path)[1].text


def test_more_work_than_from_scratch_is_not_called_a_saving(tmp_path: Path) -> None:
    costs = {"kept": 1.0, "moved": 6.0, "relabeled": 4.0, "removed": 9.0, "added": 10.0, "image": 3}
    params = small_params(2, account={"costs": costs})
    paths = build_campaign(tmp_path, params)
    workload = read_json(paths.workload("b01"))
    for ledger in workload["ledgers"]:
        ledger["removed"] += 20
    write_json(paths.workload("b01"), workload)
    reported(paths, params)
    # N = 11, WT = 5 + 2 + 22 / 2 = 18 at IoU 0.5.
    text = " ".join(page_of(tmp_path)[1].text.split())
    assert "63.6 % more work than drawing every box" in text
    assert re.search(r"at IoU 0\.5, and [0-9.]+ % more work at IoU 0\.7, against", text)
    assert re.search(r"at IoU 0\.5, where drawing takes [^:]+: [0-9.]+ % more work; it is", text)


def test_the_terminal_table_fits_80_columns_and_has_no_colour_codes(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    text = workload_text(reported(paths, params))
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    rows = [line.split() for line in text.splitlines()]
    at_05 = ["b01", "2", "6", "4", "0", "1", "1", "1", "18.2", "%", "27.3", "%"]
    assert at_05 in rows
    assert ["all", "6", "15", "7", "1", "1", "1", "6", "26.7", "%", "36.7", "%"] in rows


def test_where_to_look_before_there_is_a_page_and_after(tmp_path: Path) -> None:
    paths = CampaignPaths(tmp_path)
    assert "'boxloop report' writes it" in where_to_look(paths, None)
    write_text(tmp_path / "dvc.yaml", "stages: {}")
    assert "'dvc repro --single-item report' now" in where_to_look(paths, None)
    write_text(paths.report / "report.html", "the page")
    assert "--single-item" not in where_to_look(paths, None)
    assert "report.html" in where_to_look(paths, None)
    assert "mlflow ui" in where_to_look(paths, "mlflow ui")
    assert "dvc plots show" in where_to_look(paths, None)


def test_where_there_is_no_pipeline_nothing_of_dvc_is_offered(tmp_path: Path) -> None:
    """A study's cells have none."""
    paths = CampaignPaths(tmp_path)
    write_text(paths.report / "report.html", "the page")
    assert "dvc" not in where_to_look(paths, None).replace(str(tmp_path), "")


def test_the_terminal_table_holds_with_large_numbers(tmp_path: Path) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    for key in params.iterations:
        workload = read_json(paths.workload(key))
        workload |= {"images": 9963, "objects": 30638}
        for ledger in workload["ledgers"]:
            ledger |= dict.fromkeys(("kept", "moved", "relabeled", "removed", "added"), 30638)
        write_json(paths.workload(key), workload)
    text = workload_text(reported(paths, params))
    assert max(map(len, text.splitlines())) <= 80
    assert "Relabeled" in text
    assert "…" not in text


def _pixels(jpeg: bytes) -> np.ndarray:
    import io

    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


def _near(pixels: np.ndarray, color: str) -> np.ndarray:
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)])
    mask: np.ndarray = np.abs(pixels - wanted).max(axis=-1) < 60
    return mask


def test_boxes_are_drawn_where_they_are(tmp_path: Path) -> None:
    Image.new("RGB", (640, 480), (255, 255, 255)).save(tmp_path / "a.png")
    ref = ImageRef("a", "a.png", 640, 480, "0")
    proposals = Proposals(
        "b01", "x", "0", 0.05, {"a": Boxes.build([(400, 80, 600, 400)], ["cat"], [0.9])}
    )
    final = {"a": Boxes.build([(40, 80, 240, 400)], ["cat"])}
    (cell,) = draw_sheet(Corrections(proposals, 0.5, "simulated", final), {"a": ref}, tmp_path, 5)
    assert (cell.width, cell.height) == (320, 240)
    assert cell.jpeg is not None
    pixels = _pixels(cell.jpeg)
    ys, xs = np.nonzero(_near(pixels, FINAL_COLOR))
    assert (xs.min(), xs.max()) == pytest.approx((20, 119), abs=2)
    assert (ys.min(), ys.max()) == pytest.approx((40, 199), abs=2)
    ys, xs = np.nonzero(_near(pixels, PROPOSAL_COLOR))
    assert (xs.min(), xs.max()) == pytest.approx((200, 299), abs=3)
    # Solid against dashed: the one has all of its top edge, the other gaps.
    assert _near(pixels, FINAL_COLOR)[40:42, 22:118].any(axis=0).all()
    assert not _near(pixels, PROPOSAL_COLOR)[39:43, 202:298].any(axis=0).all()


def test_proposals_below_the_threshold_are_not_drawn(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    offered = {"a": Boxes.build([(1, 1, 9, 9), (20, 20, 40, 40)], ["c", "c"], [0.9, 0.4])}
    corrections = Corrections(
        Proposals("b01", "x", "0", 0.05, offered), 0.5, "simulated", {"a": Boxes.empty()}
    )
    (cell,) = draw_sheet(corrections, {"a": ImageRef("a", "a.png", 64, 48, "0")}, tmp_path, 12)
    assert cell.caption == "a: 0 final boxes, 1 proposal"


def test_labels_are_not_drawn_on_other_pixels(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    ref, boxes = ImageRef("a", "a.png", 64, 48, "1"), {"a": Boxes.build([(1, 1, 9, 9)], ["c"])}
    offered = Proposals("b01", "x", "0", 0.05, {"a": Boxes.build([], [], [])})
    for digests, drawn in (({"a": "0"}, False), ({"a": "1"}, True), ({}, True)):
        made = Corrections(offered, 0.5, "simulated", boxes, digests=digests)
        (cell,) = draw_sheet(made, {"a": ref}, tmp_path, 12)
        assert (cell.jpeg is not None) is drawn
        assert cell.other is not drawn


def words_of(folder: Path) -> str:
    return " ".join(re.sub("<[^>]+>", " ", page_of(folder)[0]).split())


def test_the_page_tells_how_the_detectors_were_trained(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    reported(paths, params)
    words = words_of(tmp_path)
    assert "The detector's training" in words
    # b00 was labeled without one; the steps of b01 took a second each, a quarter of it waiting.
    assert "b01 2 images 4 0.1 min 16.0 25.0 % cpu b02 4 images" in words
    paths.training("b01").unlink()
    reported(paths, params)
    words = words_of(tmp_path)
    assert "b01 2 images" not in words
    assert "b02 4 images" in words


@pytest.mark.parametrize("content", [{"steps": 3}, {"steps": 3, "images": "many"}, {}])
def test_a_log_that_is_none_is_named(tmp_path: Path, content: dict[str, object]) -> None:
    params = small_params(2)
    paths = build_campaign(tmp_path, params)
    write_json(paths.training("b01"), {"format": "boxloop/training@1", **content})
    with pytest.raises(ArtifactError, match=r"b01\.json, at .*: "):
        reported(paths, params)


def test_fitted_thresholds_stand_with_what_was_expected_and_what_came(tmp_path: Path) -> None:
    params = small_params(3, review={"score_threshold": "fitted"})
    paths = build_campaign(tmp_path, params)
    results = write_report(paths, params, paths.metrics, paths.report)
    fitted = artifacts.read_proposals(paths.proposals("b02")).thresholds
    rows = fitted_rows(results)
    assert [(row.batch, row.iou) for row in rows] == [
        ("b01", 0.5),
        ("b01", 0.7),
        ("b02", 0.5),
        ("b02", 0.7),
    ]
    assert [row.fitted for row in rows[2:]] == list(fitted)
    # By hand, of the table in builders_campaign: 3 and 4.5 of 6, then all of 4.
    assert [row.saved for row in rows] == pytest.approx([0.5, 0.25, 1.0, 1.0])
    assert (rows[0].shown, rows[0].expected, rows[0].fitted.found) == ("0.5", "unknown", "prior")
    page = Page((paths.report / "report.html").read_text()).text
    assert "shown from a score fitted to each batch" in page
    assert "From which score on each batch's proposals were shown" in page
    assert "The dotted line" not in page
    text = workload_text(results)
    assert "Proposals shown, from a score fitted to each batch" in text
    assert max(map(len, text.splitlines())) <= 80


def test_where_nothing_is_to_be_drawn_nothing_is_saved_or_lost(tmp_path: Path) -> None:
    params = small_params(2, review={"score_threshold": "fitted"})
    paths = build_campaign(tmp_path, params)
    workload = artifacts.read_workload(paths.workload("b01"))
    artifacts.write_workload(paths.workload("b01"), replace(workload, objects=0))
    results = write_report(paths, params, paths.metrics, paths.report)
    assert [row.saved for row in fitted_rows(results)] == [None, None]
    assert re.search(r"b01 +0\.5 +0\.5 +unknown +- +prior", workload_text(results))
    page = Page((paths.report / "report.html").read_text()).text
    assert re.search(r"unknown\s*-\s*prior", page)
    (line,) = (row for row in status_text(paths, params).splitlines() if "nothing is known" in row)
    assert "it saved" not in line


def test_a_batch_of_which_nothing_was_shown_says_why() -> None:
    nothing = FittedRow("b01", 0.5, FittedThreshold(0.5, 1.0, 0.0, "held-out part of b00"), 0.0)
    assert (nothing.shown, nothing.expected) == ("nothing", "too little")
    some = FittedRow("b01", 0.5, FittedThreshold(0.5, 0.4, 0.25, "b00"), 0.0)
    assert (some.shown, some.expected) == ("0.4", "25.0 %")
    labels = FittedRow("b01", 0.5, FittedThreshold(0.5, 1.0, 0.0, LABELS_ALONE), 0.0)
    assert labels.shown == "labels"


def test_a_number_needs_no_table_of_thresholds(tmp_path: Path) -> None:
    params = small_params(3)
    paths = build_campaign(tmp_path, params)
    assert fitted_rows(write_report(paths, params, paths.metrics, paths.report)) == []
    page = Page((paths.report / "report.html").read_text()).text
    assert "From which score on each batch's" not in page
    assert "shown from a score of 0.5" in page
    assert "The dotted line is the threshold in use." in page
