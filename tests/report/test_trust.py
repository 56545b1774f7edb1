"""Blind images and planted errors in the report, from files; every number counted again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.status import status_text
from boxloop.campaign.trust import first_looks, plants, read_trust, trust_line
from boxloop.core.trust import judge_trust
from boxloop.files import read_json
from boxloop.params import Params
from boxloop.report.build import write_report
from boxloop.report.trust_rows import caught_rows, compared_rows, people_rows
from builders_campaign import build_campaign, small_params
from builders_people import played, sizes, written

BATCHES = (10, 40, 40, 40)
PEOPLE = {"ada": {}, "bob": {"wider": 3.0, "accepts_labels": True}, "cid": {}}


def params_of(batches: int) -> Params:
    return small_params(batches, review={"annotator": "fiftyone"})


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> CampaignPaths:
    paths = CampaignPaths(tmp_path_factory.mktemp("campaign"))
    params = params_of(len(BATCHES))
    images, truth, submitted = played(PEOPLE, batches=BATCHES)
    written(paths, params, images, truth, submitted)
    write_report(paths, params, paths.metrics, paths.report)
    return paths


def recount(folder: Path) -> dict[str, object]:
    """Count from reviews/ and data/ alone, with plain loops."""

    def iou(a: list[float], b: list[float]) -> float:
        w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
        both = max(w, 0) * max(h, 0)
        return both / (sum((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)) - both)

    truth = json.loads((folder / "data/truth.json").read_text())["boxes"]
    first: dict[str, dict] = {}
    errors: dict[tuple[str, str], dict] = {}
    for file in sorted((folder / "reviews").glob("*.json"), key=lambda f: f.name.split("-")[1]):
        item = json.loads(file.read_text())
        for image in item["boxes"]:
            first.setdefault(image, item)
            errors |= {(image, e["box"]): e for e in item.get("planted", {}).get(image, [])}
    found = {True: [0, 0], False: [0, 0]}
    seconds, drawn, caught = 0.0, 0, [0, 0]
    for image, item in first.items():
        if item["proposals"]["detector"] == "empty":
            continue
        blind, final = image in item.get("blind", []), item["boxes"][image]
        pairs = [(iou(f["xyxy"], t["xyxy"]), i, j) for i, f in enumerate(final)
                 for j, t in enumerate(truth[image])]  # fmt: skip
        rows, columns = set(), set()
        for value, i, j in sorted(pairs, reverse=True):
            if value >= 0.3 and i not in rows and j not in columns:
                rows.add(i)
                columns.add(j)
        found[blind][0] += len(rows)
        found[blind][1] += len(truth[image])
        if blind:
            seconds, drawn = seconds + item["seconds"][image], drawn + len(final)
    for error in errors.values():
        if error["state"] in ("caught", "missed", "mended") and error["reviewer"] == "bob":
            caught[0] += error["state"] == "caught"
            caught[1] += 1
    shares = {blind: a / b for blind, (a, b) in found.items()}
    return {"recall": shares, "seconds": seconds / drawn, "caught": caught}


def test_every_number_can_be_counted_again(campaign: CampaignPaths) -> None:
    trust, plain = read_json(campaign.metrics)["trust"], recount(campaign.root)
    recall = trust["compared"]["recall"]["all"]
    assert recall["blind"]["value"] == pytest.approx(plain["recall"][True])
    assert recall["helped"]["value"] == pytest.approx(plain["recall"][False])
    assert trust["seconds_per_box_from_scratch"]["all"]["value"] == pytest.approx(plain["seconds"])
    bob = trust["planted"]["all"]["bob"]
    assert [bob["caught"], bob["planted"]] == plain["caught"]
    assert trust["yardstick"] == "truth"
    assert 0 < recall["blind"]["value"] < 1


def test_the_page_and_the_status_name_who_draws_wide(campaign: CampaignPaths) -> None:
    page = (campaign.report / "report.html").read_text()
    assert "How far the labels can be trusted" in page
    assert "<strong>bob</strong> draws boxes 3." in page
    assert "<strong>ada" not in page
    assert "pixels too wide on each side" in page
    found = read_json(campaign.metrics)["trust"]["findings"]
    assert set(found) == {"bob"}
    text = status_text(campaign, params_of(len(BATCHES)))
    assert "By the last report, bob draws boxes 3." in text


def test_a_campaign_without_says_nothing(tmp_path: Path) -> None:
    params = params_of(2)
    paths = build_campaign(tmp_path, params, annotator="fiftyone")
    assert read_trust(paths, params, list(params.iterations)) is None
    assert trust_line(paths) == ""


@pytest.mark.parametrize("content", ["", "[]", '{"trust": 3}', '{"trust": {"findings": {"a": 1}}}'])
def test_a_file_of_others_is_no_reason_to_fail(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    assert trust_line(CampaignPaths(tmp_path)) == ""


def test_without_annotations_the_proposals_are_the_yardstick(
    campaign: CampaignPaths, tmp_path: Path
) -> None:
    params = params_of(len(BATCHES))
    for name in ("data", "reviews"):
        (tmp_path / name).symlink_to(campaign.root / name)
    paths = CampaignPaths(tmp_path)
    params = params.model_copy(
        update={"dataset": params.dataset.model_copy(update={"labels": "proposed"})}
    )
    trust = read_trust(paths, params, list(params.iterations))
    assert trust is not None
    assert trust.yardstick == "proposals"
    assert {c.measure.name for c in trust.comparisons} >= {"boxes", "drawn", "confirmed", "agreed"}
    assert artifacts.read_truth(paths.truth) is not None


def test_of_one_person_everybodys_numbers_are_that_persons() -> None:
    images, truth, submitted = played({"ada": {}}, batches=(5, 30))
    looks = first_looks(submitted, sizes(images), truth)
    trust = judge_trust(looks, plants(submitted, sizes(images)))
    assert trust is not None
    [row] = people_rows(trust)
    assert row[0] == "ada"
    assert re.fullmatch(r"\d+\.\d \(\d+\.\d to \d+\.\d\)", row[1])
    assert re.fullmatch(r"\d+ of \d+", row[4])
    assert {row[1] for row in compared_rows(trust)} == {"everybody"}
    assert {row[1] for row in caught_rows(trust)} == {"everybody"}
