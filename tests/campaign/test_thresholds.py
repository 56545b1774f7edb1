import re
from dataclasses import replace
from pathlib import Path

import pytest

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.thresholds import (
    fit_to_files,
    in_words,
    read_known,
    refit,
    shown_from,
    with_batch,
    with_thresholds,
)
from boxloop.core.evidence import sweep
from boxloop.core.threshold import fit
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import FittedThreshold, LabeledSet
from boxloop.core.workload import CostModel
from boxloop.errors import ArtifactError
from boxloop.params import AccountParams, Params, ReviewParams, chain
from boxloop.params.registry import COST_MODELS
from builders import boxes, corrections, proposals, proposed

FITTED = Params(iterations=chain(3))
FIXED = Params(review=ReviewParams(score_threshold=0.3), iterations=chain(3))

# Nine objects, found at 0.2; at 0.1 as many boxes lie on nothing.
ROWS = [("cat", 20 * i, 0, 20 * i + 10, 10) for i in range(9)]
WRONG = [("cat", 20 * i, 50, 20 * i + 10, 60, 0.1) for i in range(9)]
SHOWN = {"a": proposed(*[(*row, 0.2) for row in ROWS], *WRONG)}
FINAL = {"a": boxes(*ROWS)}
IOUS = (0.5, 0.7)
JUDGED = sweep("b01", SHOWN, FINAL, IOUS, 0.05)
NEXT = proposals({"z": proposed()}, batch="b02")


def files(root: Path, *, held_out=None, evidence=(JUDGED,)):
    paths = CampaignPaths(root)
    artifacts.write_evidence(paths.evidence("b01"), evidence)
    artifacts.write_labeled(paths.labeled("b01"), LabeledSet(("cat",), ("b00", "b01"), FINAL))
    log = replace(TrainingLog.of_nothing(), held_out=held_out)
    artifacts.write_training(paths.training("b02"), log)
    artifacts.write_proposals(paths.proposals("b02"), NEXT)
    return paths


def fitted(paths, params=FITTED, found=NEXT):
    places = (paths.evidence("b01"), paths.labeled("b01"), paths.training("b02"))
    return fit_to_files(params, found, *places).thresholds


def test_a_threshold_is_fitted_per_iou_by_the_batches_before(tmp_path):
    # A step below 0.2, in case that the next scores are lower. From 0.225 on no box would be shown,
    # and 0.1 shows wrong ones: they count e^-2, e^-4.5, ... beside 1 + 2 e^-0.5 + ...
    found = fitted(files(tmp_path))
    assert [(f.iou_threshold, f.score, f.found) for f in found] == [
        (iou, 0.175, "b01") for iou in IOUS
    ]
    # A step lower would have saved the most; the prior keeps the choice from following it.
    assert [f.expected_saving for f in found] == pytest.approx([0.9662] * 2, abs=1e-4)


LABELS = LabeledSet(("cat",), ("b00",), {f"h{n}": FINAL["a"] for n in range(12)})


def fit_to_unlike(strategy, *, labels="ignored", score=0.6):
    """Fit to twelve images held out, all sure, for a batch whose proposals score this."""
    sure = proposed(*[(*row, 0.9) for row in ROWS])
    held = proposals(dict.fromkeys(LABELS.boxes, sure), batch="held-out part of b00")
    rows = proposed(*[(*row, score) for row in ROWS])
    coming = proposals({f"n{n}": rows for n in range(12)}, batch="b01")
    params = FITTED.model_copy(
        update={
            "order": FITTED.order.model_copy(update={"strategy": strategy}),
            "dataset": FITTED.dataset.model_copy(update={"labels": labels}),
        }
    )
    return with_thresholds(params, coming, (), held, LABELS).thresholds[0]


@pytest.mark.parametrize(
    ("strategy", "labels"), [("similar", "ignored"), ("temporal", "ignored"), ("random", "trusted")]
)
def test_a_batch_that_is_unlike_what_was_held_out_is_shown_next_to_nothing(strategy, labels):
    alike = fit_to_unlike(strategy, labels=labels, score=0.9)
    assert (alike.found, alike.expected_saving) == ("held-out part of b00", 1)
    unlike = fit_to_unlike(strategy, labels=labels)
    assert unlike.score > 0.6
    assert unlike.expected_saving < 0.1
    words = r"judged by the held-out part of b00 \(at most \d % of this batch is like it\)"
    assert re.search(words, in_words(unlike))


@pytest.mark.parametrize("strategy", ["random", "dissimilar"])
def test_an_order_that_spreads_each_batch_over_the_set_is_not_compared(strategy):
    assert fit_to_unlike(strategy) == fit_to_unlike(strategy, score=0.9)
    assert fit_to_unlike(strategy).found == "held-out part of b00"


def test_what_was_held_out_is_older_than_all_batches(tmp_path):
    held = proposals({"a": proposed(*[(*row, 0.9) for row in ROWS])}, batch="held-out part of b00")
    alone = fitted(files(tmp_path / "alone", held_out=held, evidence=()))
    assert [item.found for item in alone] == ["held-out part of b00"] * 2
    assert alone[0].score == 0.5
    both = fitted(files(tmp_path / "both", held_out=held))
    old = sweep(held.batch, held.boxes, FINAL, (0.5, 0.7), 0.05)
    wanted = [fit([old, JUDGED], iou, floor=0.05, held_out=held.batch) for iou in (0.5, 0.7)]
    assert both == tuple(wanted)
    assert both[0].found == "held-out part of b00, b01"


def test_the_prior_holds_more_firmly_beside_what_was_held_out():
    # Each box has its proposal at 0.45, but one in twelve scores 0.3.
    rows = {n: proposed(*[(*row, 0.45 if n else 0.3) for row in ROWS]) for n in range(12)}
    held = proposals({f"h{n}": boxes for n, boxes in rows.items()}, batch="held-out part of b00")
    found = with_thresholds(FITTED, NEXT, (), held, LABELS).thresholds[0]
    old = sweep(held.batch, held.boxes, LABELS.boxes, (0.5, 0.7), 0.05)
    assert found.score == fit([old], 0.5, floor=0.05, held_out=held.batch).score
    assert found.score > fit([old], 0.5, floor=0.05).score


def test_a_number_needs_no_file_and_takes_fitted_thresholds_back(tmp_path):
    paths = CampaignPaths(tmp_path / "nowhere")
    was = replace(NEXT, thresholds=(FittedThreshold(0.5, 0.2, None, "prior"),))
    assert fitted(paths, FIXED, was) == ()
    with pytest.raises(ArtifactError, match="b02.json does not exist"):
        fitted(paths)


def test_the_empty_detector_has_nothing_to_show(tmp_path):
    found = fitted(CampaignPaths(tmp_path), found=replace(NEXT, detector="empty"))
    assert [(item.score, item.found) for item in found] == [(0.5, "nothing to show")] * 2


def test_held_out_images_without_labels_are_named(tmp_path):
    held = proposals({"gone": proposed()}, batch="held-out part of b00")
    with pytest.raises(ArtifactError, match="image gone, which was held out, has none"):
        fitted(files(tmp_path, held_out=held))


def test_fitting_anew_keeps_the_boxes_and_an_unchanged_file(tmp_path):
    paths = files(tmp_path)
    refit(paths, FITTED, "b02")
    made = artifacts.read_proposals(paths.proposals("b02"))
    assert made == replace(NEXT, thresholds=fitted(paths))
    before = paths.proposals("b02").stat().st_mtime_ns
    refit(paths, FITTED, "b02")
    assert paths.proposals("b02").stat().st_mtime_ns == before
    refit(paths, FIXED, "b02")
    assert artifacts.read_proposals(paths.proposals("b02")) == NEXT


def test_evidence_grows_by_each_batch_that_a_detector_proposed_for():
    made = corrections(SHOWN, FINAL)
    assert with_batch(FITTED, (), made) == (JUDGED,)
    assert with_batch(FITTED, (JUDGED,), made) == (JUDGED, JUDGED)
    assert with_batch(FITTED, (), corrections(SHOWN, FINAL, detector="empty")) == ()


def test_evidence_may_be_missing_where_the_threshold_is_a_number(tmp_path):
    assert read_known(FIXED, tmp_path / "b01.json") == ()
    with pytest.raises(ArtifactError, match="does not exist"):
        read_known(FITTED, tmp_path / "b01.json")
    artifacts.write_evidence(tmp_path / "b01.json", (JUDGED,))
    assert read_known(FIXED, tmp_path / "b01.json") == (JUDGED,)


def test_the_threshold_in_force():
    path = Path("p.json")
    thresholds = (FittedThreshold(0.7, 0.9, 0.1, "b01"), FittedThreshold(0.5, 0.2, 0.1, "b01"))
    found = replace(NEXT, thresholds=thresholds)
    assert shown_from(FITTED.review, found, path) == 0.2
    assert shown_from(FIXED.review, found, path) == 0.3
    with pytest.raises(ArtifactError, match="p.json has no score threshold fitted at IoU 0.5"):
        shown_from(FITTED.review, NEXT, path)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (
            (0.5, 0.45, 0.321, "b01"),
            "from a score of 0.45, which should save 32.1 % of the time, judged by b01",
        ),
        (
            (0.5, 1.0, 0.0, "b01"),
            "nothing is shown: judged by b01, it would save next to nothing, or lose",
        ),
        ((0.5, 0.5, None, "prior"), "from a score of 0.5, because nothing is known of it yet"),
        ((0.5, 0.5, None, "nothing to show"), "nothing is proposed yet"),
    ],
)
def test_in_words(item, words):
    assert re.search(words, in_words(FittedThreshold(*item)))


def test_the_cost_model_of_the_params_prices_the_edits():
    COST_MODELS.register("a look costs as much as a box", CostModel(kept=1.0))
    try:
        dear = FITTED.model_copy(
            update={"account": AccountParams(cost_model="a look costs as much as a box")}
        )
        assert with_thresholds(dear, NEXT, (JUDGED,)).thresholds[0].score == 1.0
    finally:
        COST_MODELS.unregister("a look costs as much as a box")
    assert with_thresholds(FITTED, NEXT, (JUDGED,)).thresholds[0].score == 0.175


def test_no_threshold_is_below_the_floor_of_the_proposals():
    made = with_thresholds(FITTED, replace(NEXT, score_floor=0.3), (JUDGED,))
    assert made.thresholds[0] == FittedThreshold(0.5, 1.0, 0.0, "b01")
