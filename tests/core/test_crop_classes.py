"""Whose classes are shown: what right ones could save, the choice, and both kinds kept."""

from dataclasses import replace

import numpy as np
import pytest

from boxloop.core.crop_classes import (
    NOT_ASKED,
    Choice,
    by_crops,
    choose,
    could_save,
    crop_boxes,
    own_boxes,
    with_choice,
)
from boxloop.core.evidence import sweep
from boxloop.core.threshold import fit
from boxloop.core.types import Boxes, CropUse, Proposals
from boxloop.core.workload import PAPER, CostModel, compare_all
from boxloop.core.workload import compare as compare_image
from builders import boxes, proposals, proposed

IOUS = (0.5, 0.7)


def judged(batch, final, own, crops=None):
    """The evidence of a batch, by the detector's classes and by those of crops."""
    made = sweep(batch, own, final, IOUS, 0.05)
    return (
        made if crops is None else replace(made, crops=sweep(batch, crops, final, IOUS, 0.05).edits)
    )


def scene(count, wrong, *, label="cat", other="dog", score=0.8, first=0):
    """Images with one cat each: the truth, and boxes of which every ``wrong``-th is a dog."""
    place = (10, 10, 40, 40)
    ids = [f"img{first + k}" for k in range(count)]
    final = {i: boxes((label, *place)) for i in ids}
    named = {i: proposed((other if k < wrong else label, *place, score)) for k, i in enumerate(ids)}
    return final, named


def test_what_right_classes_could_save_is_what_relabeling_costs():
    final, own = scene(10, 4)
    made = judged("b01", final, own)
    # At any threshold up to 0.8 four are relabeled, for 1.5 each; of ten drawn boxes.
    assert could_save(made, 0.5, PAPER) == pytest.approx(4 * 1.5 / 10)
    assert could_save(made, 0.5, CostModel(relabeled=0.25)) == pytest.approx(4 * 0.25 / 10)
    assert could_save(judged("b01", *scene(10, 0)), 0.5, PAPER) == 0.0


def test_what_right_classes_could_save_by_plain_counting():
    rng = np.random.default_rng(3)
    final, own = {}, {}
    for k in range(30):
        xyxy = [rng.uniform(0, 60, 2).tolist() for _ in range(3)]
        xyxy = [(x, y, x + 20, y + 20) for x, y in xyxy]
        final[f"i{k}"] = Boxes.build(xyxy, rng.choice(["a", "b", "c"], 3).tolist())
        moved = [tuple(v + rng.normal(0, 2) for v in box) for box in xyxy]
        own[f"i{k}"] = Boxes.build(
            moved, rng.choice(["a", "b", "c"], 3).tolist(), rng.uniform(0.1, 1, 3), prefix="p"
        )
    made, drawn = judged("b01", final, own), 90
    costs, right = [], []
    for score in made.scores:
        shown = {i: b.above(score) for i, b in own.items()}
        ledger = compare_all(shown, final, lambda a, b: compare_image(a, b, 0.5))
        costs.append(PAPER.cost(ledger))
        right.append(PAPER.cost(ledger) - 1.5 * ledger.relabeled)
    assert could_save(made, 0.5, PAPER) == pytest.approx((min(costs) - min(right)) / drawn)


def test_nothing_could_be_saved_of_nothing():
    empty = {"i": boxes()}
    assert could_save(judged("b01", empty, {"i": proposed()}), 0.5, PAPER) == 0.0


def test_crops_are_used_where_they_save_more():
    final, own = scene(40, 20)
    made = [judged("b01", final, own, crops=scene(40, 4)[1])]
    choice = choose(made, IOUS, PAPER)
    fitted = [fit(items, 0.5).expected_saving for items in (made, by_crops(made))]
    assert choice.used
    assert choice.expected_saving == pytest.approx(fitted[1] - fitted[0])
    assert choice.found == "b01"


def test_crops_are_not_used_where_they_save_less():
    final, own = scene(40, 4)
    choice = choose([judged("b01", final, own, crops=scene(40, 20)[1])], IOUS, PAPER)
    assert not choice.used
    assert choice.expected_saving < 0


def test_crops_are_not_used_for_next_to_nothing():
    final, own = scene(400, 41)
    choice = choose([judged("b01", final, own, crops=scene(400, 40)[1])], IOUS, PAPER)
    assert 0 < choice.expected_saving < 0.005
    assert not choice.used


def test_crops_are_not_used_where_they_cost_at_another_iou():
    final, own = scene(40, 20)
    made = judged("b01", final, own, crops=scene(40, 4)[1])
    worse = judged("b01", final, own, crops=scene(40, 40)[1])
    rows = [row for row in made.crops if row.iou_threshold == 0.5]
    rows += [row for row in worse.crops if row.iou_threshold == 0.7]
    assert not choose([replace(made, crops=tuple(rows))], IOUS, PAPER).used
    assert choose([replace(made, crops=tuple(rows))], IOUS[:1], PAPER).used


def test_only_batches_with_crops_are_judged_and_the_newest_counts_most():
    final, own = scene(40, 20)
    good = judged("b01", final, own, crops=scene(40, 4)[1])
    bad = judged("b02", final, own, crops=scene(40, 36)[1])
    assert choose([judged("b00", final, own)], IOUS, PAPER) == NOT_ASKED
    assert not choose([good, bad], IOUS, PAPER).used
    both = choose([bad, judged("b03", final, own), good], IOUS, PAPER)
    assert both.used
    assert both.found == "b02, b01"
    assert [item.batch for item in by_crops([good, judged("b03", final, own)])] == ["b01"]


def test_both_kinds_of_boxes_are_kept_whichever_are_shown():
    _, own = scene(3, 0)
    other = {"img0": proposed(("dog", 10, 10, 40, 40, 0.7)), "img1": proposed()}
    made = replace(proposals(own), crops=CropUse(False, None, "prior", other))
    assert own_boxes(made) == own
    assert crop_boxes(made) == {**own, **other}
    used = with_choice(made, Choice(True, 0.1, "b01"))
    assert used.boxes == {**own, **other}
    assert used.crops == CropUse(True, 0.1, "b01", {i: own[i] for i in other})
    assert (own_boxes(used), crop_boxes(used)) == (own, {**own, **other})
    assert with_choice(used, Choice(True, 0.1, "b01")) == used
    assert with_choice(used, Choice(False, None, "prior")) == made
    assert crop_boxes(Proposals("b", "ssd", "", 0.05, own)) is None
