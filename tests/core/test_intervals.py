"""Intervals of shares and means by image, against scipy, plain loops, and their promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from boxloop.core.intervals import (
    design_effect,
    mean,
    mean_difference,
    share,
    share_difference,
    wilson,
)

SHARES = [(3, 4), (0, 2), (5, 5), (1, 6), (2, 2)]


@pytest.mark.parametrize(("count", "total"), [(0, 7), (7, 7), (3, 11), (400, 1000)])
def test_wilson_is_scipys(count: int, total: int) -> None:
    theirs = stats.binomtest(count, total).proportion_ci(0.95, method="wilson")
    assert wilson(count / total, total) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_a_difference_is_newcombes() -> None:
    """56 of 70 less 48 of 80: the first example of Newcombe (1998), method 10."""
    a = [(1, 1)] * 56 + [(0, 1)] * 14
    b = [(1, 1)] * 48 + [(0, 1)] * 32
    found = share_difference(a, b)
    assert found is not None
    assert found[2].value == pytest.approx(0.2)
    assert (found[2].low, found[2].high) == pytest.approx((0.0524, 0.3339), abs=3e-4)


def test_the_design_effect_is_a_plain_loops() -> None:
    count, total = sum(a for a, _ in SHARES), sum(b for _, b in SHARES)
    p, n = count / total, len(SHARES)
    found = sum((a - p * b) ** 2 for a, b in SHARES) * n / (n - 1)
    expected = found / (total * p * (1 - p) * total / (total - 1))
    assert expected > 1
    assert design_effect(np.array(SHARES, float)) == pytest.approx(expected)
    value = share(SHARES)
    assert value is not None
    assert (value.low, value.high) == pytest.approx(wilson(p, total / expected))
    assert (value.images, value.count, value.total) == (n, count, total)


def test_images_without_anything_say_nothing() -> None:
    assert share([*SHARES, (0, 0)]) == share(SHARES)
    assert share([(0, 0)]) is None
    assert mean([(0.0, 0), (3.0, 1)]) is None
    assert share_difference(SHARES, []) is None
    assert mean_difference([(1, 1), (2, 1)], [(1, 1)]) is None


def test_means_of_one_per_image_are_students_and_welchs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(5, 1, 9), rng.normal(4, 3, 14)
    pairs = [[(float(v), 1) for v in values] for values in (a, b)]
    own = mean(pairs[0])
    theirs = stats.ttest_1samp(a, 0).confidence_interval(0.95)
    assert own is not None
    assert (own.low, own.high) == pytest.approx((theirs.low, theirs.high))
    difference = mean_difference(*pairs)
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert difference is not None
    assert (difference.low, difference.high) == pytest.approx((theirs.low, theirs.high))


def test_a_weighted_difference_is_that_of_the_weighted_values() -> None:
    a, b = [(1.0, 1), (4.0, 2), (2.0, 1)], [(3.0, 1), (5.0, 1), (7.0, 2)]
    weighted = mean_difference(a, b, weight=0.8)
    other = mean_difference(a, [(0.8 * v, n) for v, n in b])
    assert weighted is not None
    assert other is not None
    assert (weighted.value, weighted.low, weighted.high) == pytest.approx(
        (other.value, other.low, other.high)
    )


def test_counts_that_are_zero_everywhere_leave_room() -> None:
    nothing = mean([(0, 1)] * 20, counts=True)
    assert nothing is not None
    assert nothing.value == 0
    assert nothing.high == pytest.approx(stats.t.ppf(0.975, 19) / 20)


@pytest.mark.parametrize(("p", "alike"), [(0.9, 0.0), (0.97, 0.0), (0.8, 0.3), (0.95, 0.3)])
def test_shares_hold_their_promise(p: float, alike: float) -> None:
    """20 images of about four boxes, which are as alike as that within an image: 95 %."""
    rng, inside = np.random.default_rng(1), 0
    for _ in range(400):
        n = rng.integers(1, 8, 20)
        own = p if not alike else rng.beta(*(np.array([p, 1 - p]) * (1 / alike - 1)), 20)
        found = share(list(zip(rng.binomial(n, own).tolist(), n.tolist(), strict=True)))
        assert found is not None
        inside += found.low <= p <= found.high
    assert 0.90 <= inside / 400 <= 0.995


@pytest.mark.parametrize("few", [8, 40])
def test_differences_hold_their_promise(few: int) -> None:
    rng, inside = np.random.default_rng(2), 0
    for _ in range(400):
        pairs = []
        for images, p in ((few, 0.85), (150, 0.95)):
            n = rng.integers(1, 6, images)
            own = rng.beta(p * 9, (1 - p) * 9, images)
            pairs.append(list(zip(rng.binomial(n, own).tolist(), n.tolist(), strict=True)))
        found = share_difference(pairs[1], pairs[0])
        assert found is not None
        inside += found[2].low <= 0.1 <= found[2].high
    assert 0.90 <= inside / 400 <= 0.99


def test_ratios_hold_their_promise() -> None:
    """Seconds per box: a base of 3 and 9 a box make 12 on images of three boxes, on average."""
    rng, inside = np.random.default_rng(3), 0
    true = (3 + 9 * 3) / 3
    for _ in range(400):
        n = rng.integers(1, 6, 15)
        seconds = (3 + 9 * n) * np.exp(rng.normal(0, 0.2, 15) - 0.02)
        found = mean(list(zip(seconds.tolist(), n.tolist(), strict=True)))
        assert found is not None
        inside += found.low <= true <= found.high
    assert 0.90 <= inside / 400 <= 0.99
    assert math.isclose(true, 10)
