import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.core.evidence import CANDIDATES, Evidence, SweptEdits, sweep
from boxloop.core.threshold import (
    DECAY,
    FIRMNESS,
    FIRMNESS_ABOVE,
    FIRMNESS_HELD_OUT,
    PRIOR,
    SHIFT,
    STRENGTH,
    fit,
    fit_all,
    no_proposals,
)
from boxloop.core.types import NOTHING, FittedThreshold
from boxloop.core.workload import CostModel
from builders import boxes, proposed

SCORES = (0.3, 0.5, 0.7, NOTHING)


def evidence(added, removed, batch="b01", iou=0.5, scores=SCORES):
    """Evidence of one class, of boxes that are added and removed at each score."""
    none = (0,) * len(scores)
    objects = added[-1]
    kept = tuple(objects - count for count in added)
    row = SweptEdits(iou, "cat", kept, none, none, tuple(removed), tuple(added))
    return Evidence(batch, 10, objects, scores, (row,))


# 100 objects: at 0.3 it costs 10 + 100/2, at 0.5 20 + 20/2, at 0.7 40 + 2/2
CLEAR = evidence((10, 20, 40, 100), (100, 20, 2, 0))
STRICT = evidence((10, 50, 40, 100), (300, 20, 2, 0), "b02")


def chosen(found):
    """A threshold in plain values, the saving in whole thousandths."""
    return found.iou_threshold, found.score, round(found.expected_saving, 3), found.found


def test_the_cheapest_threshold_is_chosen_with_what_it_would_have_saved():
    assert chosen(fit([CLEAR], 0.5)) == (0.5, 0.5, 0.7, "b01")
    assert chosen(fit([STRICT], 0.5)) == (0.5, 0.7, 0.59, "b02")


def test_the_newest_batch_counts_most():
    # at 0.5 they cost 30 and 60, at 0.7 both 41
    assert fit([STRICT, CLEAR], 0.5).score == 0.5  # 30 + 60/2 < 41 + 41/2
    assert fit([CLEAR, STRICT], 0.5).score == 0.7  # 60 + 30/2 > 41 + 41/2


def test_the_expected_saving_is_weighted_like_the_cost():
    found = fit([CLEAR, STRICT], 0.5)
    assert found.expected_saving == pytest.approx(1 - (41 + 20.5) / 150)
    assert found.found == "b01, b02"


def test_little_evidence_stays_near_the_prior_and_much_does_not():
    # one box fewer to draw at 0.3 is worth more than (20 + 9/2) * 0.2**2 = 0.98 boxes, half is not
    assert fit([evidence((1, 2, 2, 9), (0, 0, 0, 0))], 0.5).score == 0.3
    assert fit([evidence((1, 2, 2, 9), (1, 0, 0, 0))], 0.5).score == 0.5


def test_the_prior_holds_beside_a_large_batch_and_fades_with_their_number():
    # (20 + 180/2) * 0.2**2 = 4.4 boxes: five fewer to draw are worth more, four are not
    assert fit([evidence((1, 6, 6, 180), (0, 0, 0, 0))], 0.5).score == 0.3
    four = evidence((1, 5, 5, 180), (0, 0, 0, 0))
    assert fit([four], 0.5).score == 0.5
    # (20 + (180 + 90)/4) * 0.2**2 = 3.5 boxes, where six fewer are to be drawn
    assert fit([four, four], 0.5).score == 0.3


def test_the_prior_holds_more_firmly_beside_a_held_out_part():
    # (20 + 3 * 180) * 0.2**2 = 22.4 boxes, against 4.4: five fewer to draw are not worth that
    part = evidence((1, 6, 6, 180), (0, 0, 0, 0), "held-out part of b00")
    assert fit([part], 0.5).score == 0.3
    assert fit([part], 0.5, held_out="b00").score == 0.3  # names another one
    assert fit([part], 0.5, held_out=part.batch).score == 0.5
    many = evidence((1, 24, 24, 180), (0, 0, 0, 0), "held-out part of b00")
    assert fit([many], 0.5, held_out=many.batch).score == 0.3
    # beside a batch: (20 + (3 * 180/2 + 180/2) / 2) * 0.2**2 = 8.0 boxes, for five and 2.5 fewer
    both = [part, evidence((1, 6, 6, 180), (0, 0, 0, 0))]
    assert fit(both, 0.5).score == 0.3
    assert fit(both, 0.5, held_out=part.batch).score == 0.5


def test_the_prior_holds_more_firmly_above_itself():
    # (20 + 2 * 100) * 0.2**2 = 8.8 boxes to 0.7, against (20 + 100/2) * 0.2**2 = 2.8 to 0.3
    higher = evidence((60, 60, 60, 100), (60, 40, 20, 0))
    assert fit([higher], 0.5).score == 0.7  # saves ten more
    assert fit([evidence((60, 60, 60, 100), (60, 40, 24, 0))], 0.5).score == 0.5  # eight
    assert fit([evidence((54, 60, 60, 100), (40, 40, 40, 0))], 0.5).score == 0.3  # six


def test_what_one_threshold_would_have_saved_is_worth_showing_from_a_lower_one():
    """The next detector errs less than the one that only its surest boxes paid of."""
    weak = evidence((60, 70, 96, 100), (300, 70, 2, 0))
    found = fit([weak], 0.5)
    assert found.score == 0.5  # 70 + 70/2 = 105, against 96 + 2/2 = 97 and 8.8 boxes
    assert found.expected_saving == pytest.approx(0.03)


def test_a_threshold_is_judged_together_with_those_beside_it():
    scores = (0.45, 0.475, 0.5, 0.525, 0.55, NOTHING)
    # 0.5 itself would have cost least, but a detector whose scores are a little lower loses much.
    edge = evidence((10, 10, 10, 60, 90, 100), (8, 4, 0, 0, 0, 0), scores=scores)
    assert fit([edge], 0.5).score == 0.45
    even = evidence((30, 20, 10, 20, 30, 100), (0,) * 6, scores=scores)
    assert chosen(fit([even], 0.5)) == (0.5, 0.5, 0.829, "b01")


COUNTS = st.lists(st.integers(0, 40), min_size=len(CANDIDATES), max_size=len(CANDIDATES))


def plain_fit(items, held_out=None):
    """The score and the saving of the evidence, in loops over plain numbers."""
    best, drawing = None, sum(DECAY**age * item.objects for age, item in enumerate(items[::-1]))
    saved = -math.inf
    for score in CANDIDATES:
        mean = total = 0.0
        for place, other in enumerate(CANDIDATES):
            weight = math.exp(-(((other - score) / SHIFT) ** 2) / 2)
            cost = sum(
                DECAY**age * (item.edits[0].added[place] + item.edits[0].removed[place] / 2)
                for age, item in enumerate(items[::-1])
            )
            mean, total = mean + weight * cost, total + weight
        firm = STRENGTH
        for age, item in enumerate(items[::-1]):
            share = FIRMNESS_ABOVE if score > PRIOR else FIRMNESS
            share = FIRMNESS_HELD_OUT if item.batch == held_out else share
            firm += share * DECAY**age * item.objects / len(items)
        found = mean / total + firm * (score - PRIOR) ** 2
        if best is None or found <= best[0] + 1e-9:
            best = found, score
        saved = max(saved, drawing - mean / total)
    return (NOTHING, 0.0) if saved <= 0.01 * drawing + 1e-9 else (best[1], saved / drawing)


@given(st.lists(st.tuples(COUNTS, COUNTS), min_size=1, max_size=3), st.booleans())
def test_the_choice_is_that_of_plain_loops(batches, first_is_held_out):
    items = [
        evidence(
            (*sorted(added), 41),
            (*sorted(removed)[::-1], 0),
            f"b{number:02d}",
            scores=(*CANDIDATES, NOTHING),
        )
        for number, (added, removed) in enumerate(batches)
    ]
    held_out = "b00" if first_is_held_out else None
    found = fit(items, 0.5, held_out=held_out)
    score, saving = plain_fit(items, held_out)
    assert found.score == score
    assert found.expected_saving == pytest.approx(saving)


def test_of_thresholds_that_cost_the_same_the_one_near_the_prior_is_chosen():
    scores = (0.1, 0.3, 0.7, 0.9, NOTHING)
    same = evidence((2, 2, 2, 2, 9), (0,) * 5, scores=scores)
    assert fit([same], 0.5, held_out="b01").score == 0.7  # as near as 0.3, and shows less
    assert fit([same], 0.5).score == 0.3  # beside a batch it is nearer


def test_nothing_is_shown_where_that_is_expected_to_save_next_to_nothing_or_lose():
    bad = evidence((95, 98, 99, 100), (100, 20, 4, 0))
    assert fit([bad], 0.5) == FittedThreshold(0.5, NOTHING, 0.0, "b01")
    even = evidence((98, 98, 98, 100), (100, 20, 4, 0))
    assert fit([even], 0.5).score == NOTHING
    little = evidence((98, 98, 98, 100), (100, 20, 2, 0))  # one percent
    assert fit([little], 0.5) == FittedThreshold(0.5, NOTHING, 0.0, "b01")
    enough = evidence((98, 98, 98, 100), (100, 20, 1, 0))
    assert chosen(fit([enough], 0.5)) == (0.5, 0.7, 0.015, "b01")


def test_the_cost_model_prices_the_edits():
    free = CostModel(removed=0.0)
    assert fit([CLEAR], 0.5, free).score == 0.3
    assert fit([CLEAR], 0.5, free).expected_saving == pytest.approx(0.9)
    assert fit([CLEAR], 0.5, CostModel(removed=9.0)).score == 0.7
    assert fit([CLEAR], 0.5, CostModel(removed=0.5, added=0.0)).score == NOTHING


def test_what_is_expected_is_against_drawing_from_scratch_and_the_choice_against_additions():
    # At 0.5 it costs 20 * 0.5 + 20 / 2; drawing in the batch costs 50, from scratch 100.
    assert chosen(fit([CLEAR], 0.5, CostModel(added=0.5))) == (0.5, 0.5, 0.8, "b01")
    dear = CostModel(kept=0.5, added=0.5)  # at 0.7 it would cost 30 + 20 + 1
    assert fit([CLEAR], 0.5, dear) == FittedThreshold(0.5, NOTHING, 0.5, "b01")


def test_without_evidence_it_is_the_prior():
    assert fit([], 0.5) == FittedThreshold(0.5, PRIOR, None, "prior")
    assert fit([CLEAR], 0.7) == FittedThreshold(0.7, PRIOR, None, "prior")
    assert fit([], 0.5, floor=0.6).score == 0.6
    assert fit([CLEAR], 0.5, floor=0.8) == FittedThreshold(0.5, 0.8, None, "prior")


def test_what_was_not_stored_cannot_be_chosen():
    free = CostModel(removed=0.0)
    assert fit([CLEAR], 0.5, free, floor=0.31).score == 0.5
    short = evidence((20, 40, 100), (20, 2, 0), "b02", scores=SCORES[1:])
    assert fit([CLEAR, short], 0.5, free).score == 0.5


def test_each_iou_has_a_threshold_of_its_own():
    shown = proposed(*[("cat", 20 * i, 0, 20 * i + 10, 6, 0.2) for i in range(9)])
    final = boxes(*[("cat", 20 * i, 0, 20 * i + 10, 10) for i in range(9)])
    judged = sweep("b01", {"a": shown}, {"a": final}, (0.5, 0.7), 0.05)
    half, strict = fit_all([judged], (0.5, 0.7, 0.5))
    # All score 0.2; the next ones may score a little less.
    assert (half.score, half.expected_saving) == (0.15, pytest.approx(plain_fit([judged])[1]))
    assert strict == FittedThreshold(0.7, NOTHING, 0.0, "b01")


def test_many_batches_are_named_by_the_first_and_the_last():
    names = ["held-out part of b00", "b01", "b02", "b03", "b04"]
    items = [evidence((10, 20, 40, 100), (100, 20, 2, 0), name) for name in names]
    assert fit(items[:4], 0.5).found == "held-out part of b00, b01, b02, b03"
    assert fit(items, 0.5).found == "held-out part of b00 to b04"


def test_a_detector_that_proposes_nothing_has_nothing_to_show():
    assert no_proposals((0.5, 0.7, 0.5)) == (
        FittedThreshold(0.5, PRIOR, None, "nothing to show"),
        FittedThreshold(0.7, PRIOR, None, "nothing to show"),
    )
    assert no_proposals((0.5,), floor=0.6)[0].score == 0.6


def test_the_candidates_are_what_the_documents_say():
    assert (CANDIDATES[0], CANDIDATES[1], CANDIDATES[-1], len(CANDIDATES)) == (
        0.05,
        0.075,
        0.95,
        37,
    )
