import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from boxloop.study.statistics import Paired, mean, paired

VALUES = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=2, max_size=7)


def by_hand(values):
    """Student's interval by its formula, plain loops."""
    n = len(values)
    middle = sum(values) / n
    spread = math.sqrt(sum((v - middle) ** 2 for v in values) / (n - 1))
    half = stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n)
    return middle, middle - half, middle + half


@settings(max_examples=50, deadline=None)
@given(VALUES)
def test_the_interval_is_students(values):
    found = mean(values)
    middle, low, high = by_hand(values)
    assert found.n == len(values)
    assert found.mean == pytest.approx(middle, abs=1e-9)
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-6), pytest.approx(high, abs=1e-6))
    assert found.half == pytest.approx(high - middle, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(VALUES, VALUES)
def test_differences_are_taken_seed_by_seed(first, second):
    ours, theirs = dict(enumerate(first)), dict(enumerate(second, start=1))
    common = [seed for seed in ours if seed in theirs]
    found = paired(ours, theirs)
    if not common:
        assert found is None
        return
    differences = [round(ours[s] - theirs[s], 6) for s in common]
    assert found.n == len(common)
    assert found.mean == pytest.approx(sum(differences) / len(common), abs=1e-9)
    if len(common) < 2:
        assert (found.low, found.high, found.p) == (None, None, None)
    elif len(set(differences)) > 1:
        _, low, high = by_hand(differences)
        assert (found.low, found.high) == (
            pytest.approx(low, abs=1e-6),
            pytest.approx(high, abs=1e-6),
        )
        test = stats.ttest_rel([ours[s] for s in common], [theirs[s] for s in common])
        assert found.p == pytest.approx(test.pvalue)
        if abs(found.p - 0.05) > 1e-6:
            assert found.decided == (found.p < 0.05)


def test_one_seed_says_nothing_of_the_spread():
    assert (mean([4.0]).low, mean([4.0]).half) == (None, None)
    assert not paired({0: 5.0}, {0: 1.0}).decided


def test_equal_values_have_an_interval_without_length():
    found = mean([2.5, 2.5, 2.5])
    assert (found.mean, found.low, found.high) == (2.5, 2.5, 2.5)
    same = paired({0: 3.0, 1: 4.0}, {0: 1.0, 1: 2.0})
    assert (same.mean, same.low, same.p, same.decided) == (2.0, 2.0, None, False)


def test_differences_that_are_equal_but_for_rounding_decide_nothing():
    ours = {0: 100 * (1 - 70 / 100), 1: 100 * (1 - 60 / 100), 2: 100 * (1 - 50 / 100)}
    theirs = {0: 100 * (1 - 80 / 100), 1: 100 * (1 - 70 / 100), 2: 100 * (1 - 60 / 100)}
    assert len({ours[seed] - theirs[seed] for seed in ours}) > 1
    found = paired(ours, theirs)
    assert (found.mean, found.low, found.high, found.p) == (10.0, 10.0, 10.0, None)
    assert not found.decided


def test_an_interval_that_touches_zero_decides_nothing():
    found = [Paired(3, 1.0, low, 2.0, 0.05).decided for low in (-0.1, 0.0, 0.1)]
    assert found == [False, False, True]


def test_no_common_seed():
    assert paired({0: 1.0}, {1: 1.0}) is None
