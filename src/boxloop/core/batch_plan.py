"""Choose sizes of batches by what they are expected to cost people.

An image of the first batch costs what drawing its boxes costs; one of a later batch the share s(n)
of that which corrections cost after n labeled images, never more than drawing, as proposals that
would cost more are not shown. Before each batch but the first people wait:

    seconds = image * (size_1 + sum_k size_k * s(n_k)) + turn * (batches - 1)

What s(n) is expected to be follows from the trend of :mod:`boxloop.core.forecast`, so that the sum
falls apart into batches, and the best cuts among the places that are looked at are found exactly,
from the last image back (Bellman 1957).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from boxloop.core.forecast import COST, Interval, Observation, Trend
from boxloop.core.types import Floats

FIRST = 30
"""Images of a first batch at least: nothing is known of smaller ones."""

LEAST = 10
"""Images of a later batch at least."""

KNOWN = 1300
"""Labeled images beyond which no stored campaign tells what corrections cost."""

TURN_SECONDS = 60.0
"""What people take to submit a batch and have the next one opened; assumed, not measured."""

START = replace(COST, level=(-0.15, 0.7), slope=(0.4, 0.35))
"""Cost per object after ``FIRST`` labeled images, in units of drawing.

Read off the campaigns of ``tests/core/campaigns.csv`` so that each of their four sets counts alike.
"""


@dataclass(frozen=True)
class Prices:
    """What people's time goes into, in seconds.

    Attributes:
        image: to draw all boxes of one image by hand.
        turn: of waiting, and to go on, before each batch but the first.
    """

    image: float
    turn: float


@dataclass(frozen=True)
class Expected:
    """What batches of some sizes are expected to take.

    Attributes:
        sizes: images of each batch.
        seconds: of people, with ``waiting``.
        waiting: seconds of it before batches that are proposed for.
        saved: fraction saved of the time that drawing takes, waiting left out, as in WT.
    """

    sizes: tuple[int, ...]
    seconds: Interval
    waiting: float
    saved: Interval


def follow(observations: Sequence[Observation] = ()) -> Trend:
    """Return the trend of costs: that of stored campaigns, or the campaign's own.

    Args:
        observations: of the campaign's batches that were proposed for, of rising n.
    """
    return Trend(COST, observations) if observations else Trend(START, (), FIRST)


def expected_share(trend: Trend, labeled: Sequence[int]) -> Floats:
    """Return the mean of min(1, cost) after so many labeled images, by the normal distribution."""
    mean, variance = trend.moments(labeled)
    spread = np.sqrt(variance)
    below = np.exp(mean + variance / 2) * _normal(-mean / spread - spread)
    return np.asarray(below + _normal(mean / spread), np.float64)


def plan(total: int, prices: Prices, trend: Trend, labeled: int = 0) -> tuple[int, ...]:
    """Return the sizes of batches that are expected to take people least time.

    Args:
        total: images to be cut into batches.
        prices: what time goes into.
        trend: of costs, see :func:`follow`.
        labeled: images that are labeled before; 0 begins with a batch that is drawn by hand.

    Raises:
        ValueError: there are no images.
    """
    if total < 1:
        raise ValueError(f"{total} images make no batch")
    places = _places(labeled, labeled + total)
    end = len(places) - 1
    at = np.array(places, np.float64)
    least = np.array([float(LEAST)] * len(places))
    share, turn = np.ones(len(places)), np.full(len(places), prices.turn)
    if labeled:
        share = expected_share(trend, places)
    else:
        share[1:] = expected_share(trend, places[1:])
        least[0], turn[0] = FIRST, 0.0
    left, following = np.full(len(places), math.inf), np.full(len(places), end)
    left[end] = 0.0
    for here in range(end - 1, -1, -1):
        sizes = at[here + 1 :] - at[here]
        costs = sizes * prices.image * share[here] + turn[here] + left[here + 1 :]
        costs[sizes < least[here]] = math.inf
        if here == 0 and np.isinf(costs).all():  # fewer images than a batch has at least
            costs[-1] = 0.0
        best = int(np.argmin(costs))
        left[here], following[here] = costs[best], here + 1 + best
    found, here = [], 0
    while here != end:
        found.append(places[following[here]] - places[here])
        here = int(following[here])
    return tuple(found)


def expect(sizes: Sequence[int], prices: Prices, trend: Trend, labeled: int = 0) -> Expected:
    """Return what batches of these sizes are expected to take."""
    (worked,) = _draw([sizes], prices, trend, labeled)
    waiting = prices.turn * (len(sizes) - (0 if labeled else 1))
    by_hand = prices.image * sum(sizes)
    return Expected(
        tuple(sizes), Interval.of(worked + waiting), waiting, Interval.of(1 - worked / by_hand)
    )


def gain(
    old: Sequence[int], new: Sequence[int], prices: Prices, trend: Trend, labeled: int = 0
) -> Interval:
    """Return how many seconds fewer batches of ``new`` sizes are expected to take than ``old``."""
    before, after = _draw([old, new], prices, trend, labeled)
    return Interval.of(before - after + prices.turn * (len(old) - len(new)))


def _draw(
    plans: Sequence[Sequence[int]], prices: Prices, trend: Trend, labeled: int
) -> list[Floats]:
    """Draw the seconds of work by several plans, all on the same courses of a campaign."""
    starts = [[labeled + n for n in accumulate([0, *sizes[:-1]])] for sizes in plans]
    marks = sorted({n for ns in starts for n in ns if n})
    rng = np.random.default_rng(0)
    share: dict[int, Floats] = {0: np.ones(1)}
    if marks:
        levels = trend.draw(marks, rng)
        levels += rng.normal(0, trend.usual.noise, levels.shape)
        share |= dict(zip(marks, np.exp(np.minimum(levels, 0.0)).T, strict=True))
    return [
        np.sum(
            np.broadcast_arrays(
                *(prices.image * size * share[n] for size, n in zip(sizes, ns, strict=True))
            ),
            axis=0,
        )
        for sizes, ns in zip(plans, starts, strict=True)
    ]


def _places(labeled: int, end: int) -> list[int]:
    """Return where batches may end: round numbers, tens at first, then of two digits."""
    places, here, step = [labeled], (labeled // LEAST + 1) * LEAST, LEAST
    while here < end:
        while here >= 100 * step:
            step *= 10
        here = -(-here // step) * step
        if here < end:
            places.append(here)
        here += step
    return [*places, end]


def _normal(values: Floats) -> Floats:
    """Return the share of a standard normal distribution below each value."""
    return np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in values])
