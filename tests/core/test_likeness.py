import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.core.evidence import sweep
from boxloop.core.likeness import ALIKE, Likeness, Z, likeness
from boxloop.core.threshold import fit
from boxloop.core.types import NOTHING, FittedThreshold
from boxloop.core.workload import PAPER, CostModel
from builders import boxes, proposed


def offered(*scores):
    """An image's proposals of these scores, side by side."""
    return proposed(*[("cat", 20 * i, 0, 20 * i + 10, 10, s) for i, s in enumerate(scores)])


def images(*scores, copies=1):
    """Images with one proposal each."""
    return {f"{n}-{copy}": offered(s) for n, s in enumerate(scores) for copy in range(copies)}


# 40 images with one object each, which the detector found, of half of them with a high score.
HELD = images(0.8, 0.4, copies=20)
FINAL = {image_id: boxes(("cat", 0, 0, 10, 10)) for image_id in HELD}
JUDGED = sweep("held-out part of b00", HELD, FINAL, (0.5,), 0.05)
UNSURE = images(0.4, copies=300)
PARTLY = images(0.8, *[0.4] * 5, copies=50)


def plain_spread(counts):
    """Variance over mean, at least 1, in a loop."""
    mean = sum(counts) / len(counts)
    variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
    return max(1.0, variance / mean if mean else 0.0)


def plain_share(judged, coming, scores):
    """The smallest upper end of the ratios, in loops."""
    least = 1.0
    middle = min(scores, key=lambda score: abs(score - 0.5))
    usual = sum(s >= middle for found in judged.values() for s in found.scores)
    for score in scores:
        before = [sum(s >= score for s in found.scores) for found in judged.values()]
        after = [sum(s >= score for s in found.scores) for found in coming.values()]
        if score >= NOTHING or not sum(before) or sum(before) < usual / 2:
            continue
        spread = max(plain_spread(before), plain_spread(after))
        error = math.sqrt(spread * (1 / sum(before) + 1 / (sum(after) + 0.5)))
        ratio = (sum(after) + 0.5) / len(after) / (sum(before) / len(before))
        least = min(least, ratio * math.exp(Z * error))
    return least


def test_a_batch_with_the_same_scores_is_all_alike():
    same = images(0.8, 0.4, copies=150)
    assert likeness(JUDGED, HELD, same).share == 1
    assert not likeness(JUDGED, HELD, same).beyond.any()
    assert fit([JUDGED], 0.5, like=likeness(JUDGED, HELD, same)) == fit([JUDGED], 0.5)


def test_more_confident_scores_are_no_sign_of_anything():
    assert likeness(JUDGED, HELD, images(0.9, copies=300)).share == 1


def test_a_batch_without_high_scores_is_like_little_of_what_was_judged():
    found = likeness(JUDGED, HELD, UNSURE)
    # Half a box above 0.4 in 300 images, beside 20 in 40, and the error of such a small count.
    wanted = 0.5 / 300 / (20 / 40) * math.exp(Z * math.sqrt(1 / 0.5 + 1 / 20))
    assert found.share == pytest.approx(wanted)
    assert found.alike == 0
    at = JUDGED.scores.index(0.3)
    assert found.beyond[at] == pytest.approx(40)
    assert found.beyond[JUDGED.scores.index(0.8)] == found.beyond[-1] == 0


def test_the_highest_scores_alone_are_no_sign_of_anything():
    held = images(0.9, 0.7, 0.7, copies=20)
    judged = sweep("b00", held, dict.fromkeys(held, boxes(("cat", 0, 0, 10, 10))), (0.5,), 0.05)
    assert likeness(judged, held, images(0.7, copies=300)).share == 1
    assert likeness(judged, held, images(0.9, 0.5, 0.5, copies=100)).share < 0.6


def test_scores_count_from_half_of_what_is_usual_on():
    held = images(0.7, 0.6, copies=20)
    judged = sweep("b00", held, dict.fromkeys(held, boxes(("cat", 0, 0, 10, 10))), (0.5,), 0.05)
    assert likeness(judged, held, images(0.6, copies=300)).share < 0.1
    more = held | {"more": offered(0.6)}  # a little less than half has 0.7
    assert likeness(judged, more, images(0.6, copies=300)).share == 1


def test_what_chance_explains_changes_nothing():
    few = images(0.8, 0.4, 0.4, copies=2)  # 2 of 6 are sure, of 40 it were 20
    assert likeness(JUDGED, HELD, few).share == 1


def test_nothing_is_shown_of_a_batch_that_is_unlike_what_was_judged():
    assert fit([JUDGED], 0.5).score < 0.5
    like = likeness(JUDGED, HELD, UNSURE)
    most = f"{100 * like.share:.0f} %"
    words = f"held-out part of b00 (at most {most} of this batch is like it)"
    assert fit([JUDGED], 0.5, like=like) == FittedThreshold(0.5, NOTHING, 0.0, words)


def test_less_is_shown_of_a_batch_that_is_like_it_in_part():
    like = likeness(JUDGED, HELD, PARTLY)
    assert ALIKE < like.share < 0.7
    found = fit([JUDGED], 0.5, like=like)
    assert fit([JUDGED], 0.5).score < found.score < NOTHING
    assert 0 < found.expected_saving < fit([JUDGED], 0.5).expected_saving / 2


def test_a_share_below_a_quarter_counts_as_none():
    none = np.zeros(len(JUDGED.scores))
    costs = JUDGED.costs(0.5, PAPER)
    assert Likeness("b00", ALIKE, none).costs(costs, PAPER)[0] == 30  # of 40
    assert set(Likeness("b00", 0.2499, none).costs(costs, PAPER)) == {40}


@pytest.mark.parametrize(("coming", "share"), [(UNSURE, 0.0), (PARTLY, None)])
def test_the_costs_are_those_of_the_share_and_of_drawing_the_rest(coming, share):
    found = likeness(JUDGED, HELD, coming)
    share = found.share if share is None else share
    costs = found.costs(JUDGED.costs(0.5, PAPER), PAPER)
    for score, cost, beyond in zip(JUDGED.scores, costs, found.beyond, strict=True):
        drawn = 0 if score <= 0.4 else 20 if score <= 0.8 else 40  # of those judged
        shown = sum(s >= score for p in coming.values() for s in p.scores) / len(coming)
        wrong = 40 * max(shown - share * (40 - drawn) / 40, 0) if score < NOTHING else 0
        assert beyond == pytest.approx(wrong)
        assert cost == pytest.approx(share * drawn + (1 - share) * 40 + 0.5 * wrong)
    assert found.costs(JUDGED.costs(0.5, PAPER), CostModel(removed=0))[0] < costs[0]


def test_it_is_told_of_the_evidence_it_was_compared_with_alone():
    other = sweep("b01", HELD, FINAL, (0.5,), 0.05)
    like = likeness(JUDGED, HELD, UNSURE)
    both = fit([JUDGED, other], 0.5, like=like)
    assert both.score == fit([other], 0.5).score
    assert both.expected_saving < fit([other], 0.5).expected_saving / 1.5
    assert "held-out part of b00, b01 (at most" in both.found
    assert fit([other], 0.5, like=like) == fit([other], 0.5)


def test_one_image_tells_nothing():
    one = dict(list(UNSURE.items())[:1])
    assert likeness(JUDGED, HELD, one).share == likeness(JUDGED, one, UNSURE).share == 1
    assert likeness(JUDGED, {}, UNSURE).share == likeness(JUDGED, HELD, {}).share == 1


SOME = st.lists(st.lists(st.sampled_from((0.1, 0.4, 0.7, 0.9)), max_size=4), min_size=2, max_size=9)


@given(SOME, SOME)
def test_the_share_is_that_of_plain_loops(before, after):
    judged = {f"a{n}": offered(*scores) for n, scores in enumerate(before)}
    coming = {f"b{n}": offered(*scores) for n, scores in enumerate(after)}
    none = {image_id: boxes() for image_id in judged}
    evidence = sweep("b00", judged, none, (0.5,), 0.05)
    found = likeness(evidence, judged, coming)
    assert found.share == pytest.approx(plain_share(judged, coming, evidence.scores))
    assert np.all(found.beyond >= 0)
