"""Sizes of batches, held against plain loops over all ways to cut."""

import csv
import math
from collections import defaultdict
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest

from boxloop.core.batch_plan import (
    FIRST,
    LEAST,
    START,
    Prices,
    expect,
    expected_share,
    follow,
    gain,
    plan,
)

PRICES = Prices(image=105.0, turn=240.0)
OWN = [(40, -1.0, 0.02), (80, -1.5, 0.02), (140, -1.9, 0.03)]


def cuts(total, first):
    """Yield all ways to cut so many images at tens, the last batch taking the rest."""
    tens = range(first // 10, total // 10 + 1)
    for size in [*(10 * k for k in tens if 10 * k <= total - LEAST), total]:
        if size == total:
            yield (total,)
        else:
            yield from ((size, *rest) for rest in cuts(total - size, LEAST))


def cost(sizes, prices, trend, labeled):
    """The sum of the module's docstring, batch by batch."""
    seconds, n = 0.0, labeled
    for size in sizes:
        if n:
            seconds += size * prices.image * expected_share(trend, [n])[0] + prices.turn
        else:
            seconds += size * prices.image
        n += size
    return seconds


@pytest.mark.parametrize("labeled", [0, 60])
@pytest.mark.parametrize("turn", [0.0, 300.0, 1e5])
def test_no_other_cut_is_expected_to_take_less(labeled, turn):
    trend = follow(OWN[:1] if labeled else ())
    prices, total = Prices(105.0, turn), 97 if labeled else 127
    found = plan(total, prices, trend, labeled)
    every = set(cuts(total, LEAST if labeled else FIRST))
    assert found in every
    least = min(cost(sizes, prices, trend, labeled) for sizes in every)
    assert cost(found, prices, trend, labeled) == pytest.approx(least, rel=1e-12)


@pytest.mark.parametrize("total", [1, 9, 29, 30, 39, 40, 41, 365, 1001, 20_003])
@pytest.mark.parametrize("labeled", [0, 55])
def test_sizes_sum_up_and_none_is_too_small(total, labeled):
    sizes = plan(total, PRICES, follow(), labeled)
    assert sum(sizes) == total
    assert len(sizes) == 1 or min(sizes) >= LEAST
    assert labeled or sizes[0] >= min(FIRST, total)


def test_the_dearer_waiting_is_the_fewer_batches_and_the_dearer_drawing_the_more():
    by_turn = [len(plan(1000, Prices(105.0, turn), follow())) for turn in (60, 200, 900, 5e3, 1e6)]
    assert by_turn == sorted(by_turn, reverse=True)
    assert by_turn[-1] == 1 < by_turn[0]
    by_image = [len(plan(1000, Prices(image, 300.0), follow())) for image in (0.1, 10, 100, 1000)]
    assert by_image == sorted(by_image)
    assert by_image[0] == 1 < by_image[-1]


def test_a_detector_that_learns_nothing_more_is_worth_no_turn():
    flat = follow([(30 * k, -1.0, 1e-4) for k in range(1, 30)])
    steep = follow([(30 * k, -1.0 + 1.3 * math.log(29 / k), 1e-4) for k in range(1, 30)])
    assert len(plan(2000, PRICES, flat, 900)) < len(plan(2000, PRICES, steep, 900))


def test_no_images_make_no_batch():
    with pytest.raises(ValueError, match="0 images make no batch"):
        plan(0, PRICES, follow())


@pytest.mark.parametrize("observations", [(), OWN], ids=["usual", "own"])
def test_the_expected_share_is_the_mean_of_draws(observations):
    trend, rng = follow(observations), np.random.default_rng(5)
    marks = [n for n in (30, 140, 200, 900) if not observations or n >= 140]
    levels = trend.draw(marks, rng)
    values = np.minimum(np.exp(levels + rng.normal(0, trend.usual.noise, levels.shape)), 1)
    error = 5 * values.std(axis=0) / math.sqrt(len(values))
    assert (abs(values.mean(axis=0) - expected_share(trend, marks)) < error).all()
    assert (expected_share(trend, marks) < 1).all()


def test_a_trend_without_a_start_has_no_mean():
    from boxloop.core.forecast import COST, Trend

    with pytest.raises(ValueError, match="without a start"):
        Trend(COST, ()).moments([30])


def test_what_is_expected_is_that_of_the_sum():
    """Where the course is known well, all draws are near one number."""
    known = follow([(30 * k, -1.0, 1e-6) for k in range(1, 40)])
    sizes, labeled = (50, 20), 1170
    told = expect(sizes, PRICES, known, labeled)
    assert told.sizes == sizes
    assert told.waiting == 2 * PRICES.turn
    work = told.seconds.median - told.waiting
    assert work == pytest.approx(70 * PRICES.image * math.exp(-1), rel=0.1)
    assert told.saved.median == pytest.approx(1 - work / (70 * PRICES.image))
    assert told.saved.low < told.saved.median < told.saved.high


def test_one_batch_from_nothing_is_drawn_by_hand():
    told = expect([70], PRICES, follow())
    assert (told.seconds.low, told.seconds.high) == (70 * PRICES.image,) * 2
    assert (told.waiting, told.saved.median) == (0.0, 0.0)


def test_a_gain_is_that_over_the_same_courses():
    """Two plans that differ by one wait alone differ by its price, whatever the course is."""
    flat = follow([(30 * k, -1.0, 1e-6) for k in range(1, 40)])
    same = gain([40, 60], [40, 60], PRICES, flat, 1170)
    assert (same.low, same.median, same.high) == (0, 0, 0)
    there, back = (gain(a, b, PRICES, follow()) for a, b in (([100], [40, 60]), ([40, 60], [100])))
    assert there.median == pytest.approx(-back.median)
    assert there.low == pytest.approx(-back.high)


def test_corrections_never_cost_more_than_drawing():
    """Whoever corrects may draw instead, however bad proposals are."""
    bad = follow([(30 * k, 1.0, 1e-6) for k in range(1, 40)])
    never = gain([100], [40, 60], Prices(105.0, 0.0), bad)
    assert never.low == never.median == 0 <= never.high
    told = expect([50, 20], Prices(105.0, 0.0), bad, 1170)
    assert (told.saved.low, told.saved.high) == pytest.approx((0, 0), abs=1e-9)
    assert (expected_share(bad, [40, 900]) <= 1).all()
    assert expected_share(bad, [900]) == pytest.approx([1], abs=1e-3)


def test_a_plan_from_nothing_is_no_worse_than_others_by_its_own_measure():
    sizes = plan(364, PRICES, follow())
    best = cost(sizes, PRICES, follow(), 0)
    for other in ([30, 40, 50, 60, 60, 60, 64], [100, 100, 100, 64], [182, 182], [364]):
        assert best <= cost(other, PRICES, follow(), 0)
    assert all(a < b for a, b in pairwise(accumulate(sizes)))


def test_what_is_usual_is_that_of_the_stored_sets():
    """A line through the costs of each campaign; each set counts alike."""
    campaigns, sets = defaultdict(list), defaultdict(list)
    with (Path(__file__).parent / "campaigns.csv").open() as file:
        for row in csv.DictReader(file):
            counts = [int(row[name]) for name in ("images", "objects", "added", "removed")]
            campaigns[row["campaign"], row["iou"]].append(counts)
    for (name, _), rows in campaigns.items():
        points, n = [], 0
        for k, (images, objects, added, removed) in enumerate(rows):
            if k:
                cost = math.log((added + removed / 2 + 0.5) / objects)
                points.append((math.log(n / FIRST), cost))
            n += images
        slope, level = np.polyfit(*zip(*points, strict=True), 1)
        sets[name.partition("-")[0]].append((level, -slope))
    means = np.array([np.mean(found, axis=0) for found in sets.values()])
    assert len(means) == 4
    usual = (START.level, START.slope)
    for (middle, spread), found in zip(usual, means.T, strict=True):
        assert middle == pytest.approx(found.mean(), abs=0.05)
        assert spread == pytest.approx(found.std(ddof=1), abs=0.1)
