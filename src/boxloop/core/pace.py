"""Estimate whether a person gets slower, the work being equal.

Images differ in what there is to do, and proposals get better as a campaign goes on. So the time of
an image is held against its edits, whose prices are the person's own:

    log(seconds) = log(prices . edits) + trend * t + noise,   t from 0, the first image, to 1

with prices of at least 0, by least squares; the interval holds whatever the noise differs between
images (White 1980, HC1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from boxloop.core.edits import Ledger
from boxloop.core.intervals import CONFIDENCE, Estimate
from boxloop.core.types import Floats

FEWEST = 20
"""Images that a trend is told from."""

_NEVER_FREE = 1e-3
"""Seconds that anything costs at least, as logarithms need."""


def pace(
    seconds: Sequence[float], edits: Sequence[Ledger], confidence: float = CONFIDENCE
) -> Estimate | None:
    """Estimate how many times as long the last image takes as the first, for equal work.

    Args:
        seconds: active seconds of each image, in the order in which they were done.
        edits: of the same images.
        confidence: of the interval.

    Returns:
        More than 1 where the person got slower; None for fewer than ``FEWEST`` images that took any
        time.
    """
    timed = [(s, e) for s, e in zip(seconds, edits, strict=True) if s > 0]
    n = len(timed)
    if n < FEWEST:
        return None
    from scipy.optimize import least_squares  # takes a second to import
    from scipy.special import stdtrit

    work = _design([ledger for _, ledger in timed])
    target = np.log([value for value, _ in timed])
    moment = np.linspace(0, 1, n)

    def residuals(x: Floats) -> Floats:
        return np.asarray(np.log(work @ x[:-1]) + x[-1] * moment - target)

    def jacobian(x: Floats) -> Floats:
        return np.column_stack([work / (work @ x[:-1])[:, None], moment])

    start = np.full(work.shape[1] + 1, math.exp(target.mean()) / work.sum(axis=1).mean())
    start[-1] = 0.0
    least = np.full(len(start), _NEVER_FREE)
    least[-1] = -math.inf
    start[:-1] = np.maximum(start[:-1], 2 * _NEVER_FREE)
    best = least_squares(residuals, start, jacobian, bounds=(least, math.inf), x_scale="jac")
    free = best.x > 2 * least  # of what costs nothing, nothing is to be learned
    free[-1] = True
    slopes, errors = jacobian(best.x)[:, free], residuals(best.x)
    inverse = np.linalg.pinv(slopes.T @ slopes)
    freedom = n - slopes.shape[1]
    spread = inverse @ (slopes.T * errors**2 @ slopes) @ inverse * n / freedom
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * math.sqrt(spread[-1, -1])
    trend = float(best.x[-1])
    low, middle, high = (math.exp(v) for v in (trend - half, trend, trend + half))
    return Estimate(middle, low, high, n, sum(value for value, _ in timed), n)


def _design(edits: Sequence[Ledger]) -> Floats:
    """Return (n, k) what an image costs: itself, and its edits of the kinds that occur."""
    table = np.array(
        [[1, e.kept, e.moved + e.relabeled, e.removed, e.added] for e in edits], dtype=np.float64
    )
    return np.asarray(table[:, table.any(axis=0)])
