"""A tiny campaign with a fitted score threshold, through the real dvc."""

import shutil
from dataclasses import replace

import pytest
from campaigns import TINY, init, repro, run, snapshot

from boxloop.campaign import artifacts
from boxloop.core.crop_classes import by_crops, crop_boxes, own_boxes
from boxloop.core.edits import Ledger
from boxloop.core.evidence import sweep
from boxloop.core.likeness import likeness
from boxloop.core.threshold import fit
from boxloop.files import file_digest

FITTED = (
    *TINY,
    "train.detector=fcos_efficientnet_lite0",
    "train.weights=in1k",
    "train.held_out=0.33",
    "order.strategy=similar",
    "review.score_threshold=fitted",
    "account.iou_thresholds=[0.3, 0.7]",
    "track.enabled=false",
)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    folder = init(tmp_path_factory.mktemp("campaigns") / "fitted", *FITTED)
    folder.joinpath("repro.log").write_text(repro(folder).stdout)
    return folder


def proposals(folder, key):
    return artifacts.read_proposals(folder / f"data/proposals/{key}.json")


def as_shown(offered):
    """What takes the boxes with the classes that a batch was shown with out of proposals."""
    return crop_boxes if offered.crops is not None and offered.crops.used else own_boxes


@pytest.mark.slow
def test_b01_is_judged_by_a_part_of_b00_that_a_first_detector_had_not_seen(campaign):
    held = artifacts.read_training(campaign / "data/training/b01.json").held_out
    first = artifacts.read_labeled(campaign / "data/labeled/b00.parquet").boxes
    assert held.batch == "held-out part of b00"
    assert len(held.boxes) == 3  # a third of 8
    assert set(held.boxes) < set(first)
    final = {image_id: first[image_id] for image_id in held.boxes}
    offered, ious = proposals(campaign, "b01"), (0.5, 0.3, 0.7)
    shown = as_shown(offered)(held)
    judged = sweep(held.batch, shown, final, ious, 0.05)
    given = {"floor": 0.01, "like": likeness(judged, shown, offered.boxes), "held_out": held.batch}
    wanted = tuple(fit([judged], iou, **given) for iou in ious)
    assert offered.thresholds == wanted
    log = (campaign / "repro.log").read_text()
    assert "b01: 3 images were held out first, to fit a threshold by" in log
    assert "b01 at IoU 0.3: " in log


@pytest.mark.slow
def test_b02_is_judged_by_b01(campaign):
    assert artifacts.read_evidence(campaign / "data/evidence/b00.json") == ()
    known = artifacts.read_evidence(campaign / "data/evidence/b01.json")
    made = artifacts.read_corrections(campaign / "data/corrections/b01.json")
    first, second, ious = proposals(campaign, "b01"), proposals(campaign, "b02"), (0.5, 0.3, 0.7)
    judged = [
        sweep("b01", boxes, made.boxes, ious, 0.01)
        for boxes in (own_boxes(first), crop_boxes(first))
        if boxes is not None
    ]
    assert known == (replace(judged[0], crops=sum((item.edits for item in judged[1:]), ())),)
    by_these = by_crops(known) if as_shown(second) is crop_boxes else known
    assert second.thresholds == tuple(fit(by_these, iou, floor=0.01) for iou in ious)
    assert artifacts.read_training(campaign / "data/training/b02.json").held_out is None
    both = artifacts.read_evidence(campaign / "data/evidence/b02.json")
    assert both[:1] == known
    assert [item.batch for item in both] == ["b01", "b02"]


@pytest.mark.slow
def test_each_iou_is_accounted_at_its_own_threshold(campaign):
    for key in ("b01", "b02"):
        offered = proposals(campaign, key)
        made = artifacts.read_corrections(campaign / f"data/corrections/{key}.json")
        assert made.score_threshold == offered.fitted(0.5).score
        workload = artifacts.read_workload(campaign / f"data/workload/{key}.json")
        known = artifacts.read_evidence(campaign / f"data/evidence/{key}.json")[-1]
        if as_shown(offered) is crop_boxes:
            [known] = by_crops([known])
        for iou in (0.3, 0.7):
            score = offered.fitted(iou).score
            assert workload.ledger(iou) == known.ledger(iou, score)
            if score == 1.0:
                assert workload.ledger(iou) == Ledger(added=workload.objects)


@pytest.mark.slow
def test_status_says_what_is_shown(campaign):
    text = run(campaign, "boxloop", "status").stdout
    assert "Proposals, by the fitted score threshold:\n  b01: " in text
    assert "Judged by" in (campaign / "data/report/report.html").read_text()


@pytest.mark.slow
def test_a_number_trains_nothing_anew_and_back_again_everything_is_as_before(campaign, tmp_path):
    folder, before = tmp_path / "copy", snapshot(campaign)
    shutil.copytree(campaign, folder)
    params = folder / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("score_threshold: fitted", "score_threshold: 0.4"))
    assert "score_threshold: 0.4" in params.read_text()
    out = repro(folder).stdout
    assert "Running stage 'learn@b01'" in out
    assert out.count("the detector is kept") == 3
    assert "steps on" not in out
    assert proposals(folder, "b01").thresholds == ()
    made = artifacts.read_corrections(folder / "data/corrections/b01.json")
    assert made.score_threshold == 0.4
    params.write_text(text)
    repro(folder)
    assert snapshot(folder) == before


@pytest.mark.slow
def test_holding_images_out_changes_no_bit_of_the_detector(campaign, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(campaign, folder)
    checkpoint = "data/detectors/b01.pt"
    done = run(folder, "boxloop", "train", "b01", "--set", "train.held_out=0")
    assert "held out" not in done.stdout
    assert artifacts.read_training(folder / "data/training/b01.json").held_out is None
    assert file_digest(folder / checkpoint) == file_digest(campaign / checkpoint)
