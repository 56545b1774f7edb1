"""Forecast the batches to come from the edits of those that are done.

What the edits of a batch cost per object falls as more is labeled, fast or slowly, evenly or in
jumps. Its logarithm y is followed by a linear trend in the logarithm of n, the images labeled when
the batch was proposed for, with those whose labels were given:

    level(n') = level(n) - slope * log(n'/n) + step,   step ~ N(0, WANDERING^2 * log(n'/n))
    y = level + noise,                                 noise ~ N(0, NOISE^2 + 1/edits)

A Kalman filter (Kalman 1960) gives level and slope after the batches that are done, starting from
what is usual; paths drawn from there give the costs to come and their intervals. What is usual was
read off 34 campaigns (``tests/core/campaigns.csv``), on which the intervals hold what they say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from boxloop.core.existing import of_turns
from boxloop.core.types import Floats
from boxloop.core.workload import PAPER, BatchWorkload, CostModel

COVERAGE = 0.8
"""The share of outcomes that the intervals are to hold."""

_DRAWS = 2000
_OBJECTS_SPREAD = 0.08
"""Spread of the logarithm of a batch's objects per image around that of the batches before it."""

_PACE_SPREAD = 0.15
"""Spread of the logarithm of the time that people take for the same work, from batch to batch."""


@dataclass(frozen=True)
class Usual:
    """What a series is like before anything is known of it; natural logarithms.

    Attributes:
        level: of the first assisted batch, mean and spread.
        slope: mean and spread.
        wandering: spread of the level's steps, for n that grows by a factor of e.
        noise: spread of a value around the level, beside that of counting.
    """

    level: tuple[float, float]
    slope: tuple[float, float]
    wandering: float
    noise: float


COST = Usual((-0.7, 0.6), (0.7, 0.4), 0.6, 0.1)
"""WT of a batch in units of T, per object."""

ADDED = Usual((-0.9, 0.6), (0.7, 0.4), 0.6, 0.1)
"""Additions per object."""

REMOVED = Usual((-1.3, 0.6), (0.7, 0.4), 0.6, 0.4)
"""Removals per object."""

MISSED = Usual((-0.6, 0.6), (0.6, 0.5), 0.5, 0.1)
"""1 - AP of the proposals at IoU 0.5, plus ``_NEVER_RIGHT``."""

_NEVER_RIGHT = 0.05
"""Keeps the logarithm from making much of the last hundredths of AP."""


@dataclass(frozen=True)
class Interval:
    """A forecast: its median, and the interval that holds ``COVERAGE`` of what is expected."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, draws: Floats) -> Interval:
        """Return the interval of draws of one number."""
        tail = (1 - COVERAGE) / 2
        return cls(*(float(q) for q in np.quantile(draws, [tail, 0.5, 1 - tail])))


@dataclass(frozen=True)
class BatchForecast:
    """What one coming batch is expected to take.

    Attributes:
        images: of the batch.
        objects: in it.
        added: boxes to be drawn.
        removed: boxes to be removed.
        wt: WT of the batch, in units of T.
    """

    images: int
    objects: Interval
    added: Interval
    removed: Interval
    wt: Interval


@dataclass(frozen=True)
class Forecast:
    """What is left of a campaign.

    Attributes:
        batches: those to come, in order.
        wt: WT left, in units of T.
        seconds: the time left: as people worked so far where that was measured, else T * WT.
        measured: whether ``seconds`` comes from measured time.
        saved: fraction of the time (WT) saved in the whole campaign, when it is done.
    """

    batches: tuple[BatchForecast, ...]
    wt: Interval
    seconds: Interval
    measured: bool
    saved: Interval


@dataclass(frozen=True)
class PrecisionForecast:
    """How good the next batch's proposals are expected to be.

    Attributes:
        batch: the last batch whose proposals were judged.
        last: AP at IoU 0.5 of its proposals.
        next: that of the next batch's proposals.
        gain: by how much the detector's AP is expected to have risen since.
    """

    batch: str
    last: float
    next: Interval
    gain: float


Observation = tuple[int, float, float]
"""n, the logarithm of the value, and the variance that counting gives it."""


class Trend:
    """Level and slope of a series, and how well they are known."""

    def __init__(
        self, usual: Usual, observations: Sequence[Observation], start: int | None = None
    ) -> None:
        """Start from what is usual, and learn from what was observed, in the order of n.

        Args:
            usual: what is known before; its level is that at ``start``.
            observations: of rising n.
            start: an n; that of the first observation unless given.
        """
        self.usual = usual
        self.n = start
        self._mean = np.array([usual.level[0], usual.slope[0]])
        self._covariance = np.diag([usual.level[1] ** 2, usual.slope[1] ** 2])
        for n, value, variance in observations:
            self._move(n)
            self._learn(value, usual.noise**2 + variance)

    def _move(self, n: int) -> None:
        if self.n is not None:
            distance = math.log(n / self.n)
            step = np.array([[1.0, -distance], [0.0, 1.0]])
            self._mean = step @ self._mean
            self._covariance = step @ self._covariance @ step.T
            self._covariance[0, 0] += self.usual.wandering**2 * abs(distance)
        self.n = n

    def _learn(self, value: float, variance: float) -> None:
        gain = self._covariance[:, 0] / (self._covariance[0, 0] + variance)
        self._mean = self._mean + gain * (value - self._mean[0])
        self._covariance = self._covariance - np.outer(gain, self._covariance[0])

    def draw(self, coming: Sequence[int], rng: np.random.Generator) -> Floats:
        """Draw the logarithm of the level, (draws, len(coming)), at rising ``coming`` n."""
        usual = self.usual
        start = rng.multivariate_normal(self._mean, self._covariance, _DRAWS)
        level, slope = start[:, 0], start[:, 1]
        before, columns = self.n or coming[0], []
        for n in coming:
            distance = math.log(n / before)
            wandering = rng.normal(0, usual.wandering * math.sqrt(abs(distance)), _DRAWS)
            level, before = level - slope * distance + wandering, n
            columns.append(level)
        return np.stack(columns, axis=1)

    def moments(self, coming: Sequence[int]) -> tuple[Floats, Floats]:
        """Return mean and variance of the logarithm of a value at each of ``coming`` n.

        Raises:
            ValueError: neither a start nor an observation is known.
        """
        if self.n is None:
            raise ValueError("a trend without a start has no mean at another n")
        distance = np.log(np.asarray(coming, np.float64) / self.n)
        covariance, usual = self._covariance, self.usual
        mean = self._mean[0] - self._mean[1] * distance
        variance = covariance[0, 0] - 2 * covariance[0, 1] * distance
        variance += covariance[1, 1] * distance**2 + usual.wandering**2 * np.abs(distance)
        return mean, variance + usual.noise**2


def forecast(
    done: Sequence[BatchWorkload],
    coming: Sequence[int],
    iou_threshold: float,
    *,
    seconds_per_box: float,
    cost_model: CostModel = PAPER,
    before: int = 0,
    submitted: Sequence[int] = (),
) -> Forecast | None:
    """Forecast the batches to come.

    Args:
        done: the batches that are accounted, oldest first.
        coming: images of each batch to come.
        iou_threshold: at which edits are counted.
        seconds_per_box: T, for campaigns whose time was not measured.
        cost_model: what edits cost.
        before: images that came with labels, which the first detector learned from.
        submitted: images of each batch to come whose labels are there already: they are no work
            that is left, and count as the others in what is saved; none of any unless given.

    Returns:
        None where nothing can be said: no batch is done or none to come, or no object was found.
    """
    objects, images = sum(b.objects for b in done), sum(b.images for b in done)
    if not objects or not coming:
        return None
    rng = np.random.default_rng(0)
    labeled = list(accumulate([_labeled(done, before)[-1], *coming[:-1]]))
    density = objects / images * np.exp(rng.normal(0, _OBJECTS_SPREAD, (_DRAWS, len(coming))))
    found = rng.poisson(density * coming).astype(np.float64)

    def counts(usual: Usual, per_batch: Sequence[float]) -> Floats:
        level = Trend(usual, observe(done, per_batch, before)).draw(labeled, rng)
        expected = found * np.exp(level + rng.normal(0, usual.noise, level.shape))
        return rng.poisson(np.minimum(expected, 1e9)).astype(np.float64)

    ledgers = [b.ledger(iou_threshold) for b in done]
    spent = [cost_model.cost(ledger) for ledger in ledgers]
    added = counts(ADDED, [ledger.additions for ledger in ledgers])
    removed = counts(REMOVED, [ledger.removals for ledger in ledgers])
    cost = counts(COST, spent)
    past = done[0].objects + sum(spent[1:])
    waiting = np.array(coming, np.float64) - np.array(submitted or 0.0)
    cost_left = cost * (waiting / coming)
    left = cost_left.sum(axis=1)
    seconds, measured = _seconds(done, [done[0].objects, *spent[1:]], cost_left, waiting, rng)
    return Forecast(
        tuple(
            BatchForecast(
                size, *(Interval.of(draws[:, k]) for draws in (found, added, removed, cost))
            )
            for k, size in enumerate(coming)
        ),
        Interval.of(left),
        Interval.of(seconds if measured else left * seconds_per_box),
        measured,
        Interval.of(1 - (past + cost.sum(axis=1)) / (objects + found.sum(axis=1))),
    )


def forecast_precision(done: Sequence[BatchWorkload], before: int = 0) -> PrecisionForecast | None:
    """Forecast the AP of the next batch's proposals, which the labels of the last batch improve.

    Each batch's proposals are judged by its final labels, which their detector had not seen.

    Args:
        done: the batches that are accounted, oldest first.
        before: images that came with labels, which the first detector learned from.

    Returns:
        None with fewer than two batches that were proposed for.
    """
    labeled = _labeled(done, before)
    observed: list[Observation] = []
    judged: tuple[str, float] = ("", 0.0)
    for place, (batch, n) in enumerate(zip(done, labeled, strict=False)):
        precision = batch.average_precision.get("map_50")
        if precision is not None and batch.objects and _is_proposed_for(place, batch, n):
            missed = 1 - precision + _NEVER_RIGHT
            observed.append((n, math.log(missed), 1 / batch.objects))
            judged = (batch.batch, precision)
    if len(observed) < 2:
        return None
    rng = np.random.default_rng(0)
    levels = Trend(MISSED, observed).draw([observed[-1][0], labeled[-1]], rng)
    noise = rng.normal(0, MISSED.noise, len(levels))
    precision_draws = np.clip(1 + _NEVER_RIGHT - np.exp(levels[:, 1] + noise), 0, 1)
    missed_levels = np.exp(levels)
    gain = float(np.median(missed_levels[:, 0] - missed_levels[:, 1]))
    return PrecisionForecast(*judged, Interval.of(precision_draws), gain)


def observe(
    done: Sequence[BatchWorkload], values: Sequence[float], before: int = 0
) -> list[Observation]:
    """Return the values of the batches that were proposed for, per object.

    Half a unit is added to each, so that a batch without any edit has a logarithm, too.

    Args:
        done: the batches that are accounted, oldest first.
        values: one per batch; that of the first counts where labels came before it.
        before: images that came with labels, which the first detector learned from.
    """
    rows = enumerate(zip(done, values, _labeled(done, before), strict=False))
    return [
        (n, math.log((value + 0.5) / batch.objects), 1 / (value + 0.5))
        for place, (batch, value, n) in rows
        if batch.objects and _is_proposed_for(place, batch, n)
    ]


def _is_proposed_for(place: int, batch: BatchWorkload, n: int) -> bool:
    """Return whether what was learned from n images proposed for a batch; ``place`` is its own.

    The first batch's proposals may be a foundation model's, or another program's.
    """
    return n > 0 and (place > 0 or of_turns(batch.detector))


def _labeled(done: Sequence[BatchWorkload], before: int) -> list[int]:
    """Return the images labeled before the first batch, the second, ..., and after the last."""
    return list(accumulate((batch.labeled_images for batch in done), initial=before))


def _seconds(
    done: Sequence[BatchWorkload],
    spent: Sequence[float],
    cost: Floats,
    images: Floats,
    rng: np.random.Generator,
) -> tuple[Floats, bool]:
    """Draw the seconds left, by seconds per image and per unit of WT as measured so far.

    Returns:
        The draws, and whether every batch that has images to review was measured.
    """
    from scipy.optimize import nnls  # takes long to import

    reviewed = [(b, wt) for b, wt in zip(done, spent, strict=True) if b.images]
    measured = [batch.measured_seconds for batch, _ in reviewed]
    if not all(measured):
        return np.zeros(_DRAWS), False
    # Each row divided by its seconds: it is relative errors that are alike.
    rows = np.array([[batch.images, wt] for batch, wt in reviewed], np.float64)
    rows /= np.array(measured, np.float64)[:, None]
    if len(reviewed) == 1:  # one batch cannot tell looking from drawing
        rows[:, 0] = 0.0
    per_image, per_unit = nnls(rows, np.ones(len(rows)))[0]
    pace = np.exp(rng.normal(0, _PACE_SPREAD, cost.shape))
    return ((per_image * images + per_unit * cost) * pace).sum(axis=1), True
