"""Estimate shares and means, with intervals, from sums by image.

The boxes of one image are alike: they share a person's attention, a scene, a detector's mood. So an
image is the unit that was drawn by chance, and what is given is a pair per image: (what was
counted, out of how many).

- A share gets Wilson's interval (1927) at the number of boxes that are worth as much as these
  (Korn and Graubard 1998): their number over the design effect, which is how much more the images
  differ than boxes drawn one by one would. The difference of two shares gets Newcombe's interval
  (1998, method 10) from the two. Both hold their promise at 0 and at 1, where the usual ones have
  no width.
- A mean is the ratio of two sums; its variance is the linearized one (Cochran 1977, section 6.4),
  with Student's quantile. The difference of two gets Welch's degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from boxloop.core.types import Floats

CONFIDENCE = 0.95

Pairs = Sequence[tuple[float, float]]
"""By image: (what was counted, out of how many)."""


@dataclass(frozen=True)
class Estimate:
    """A number and its interval.

    Attributes:
        value: the number.
        low: lower end of the interval.
        high: upper end of the interval.
        images: number of images that it is of.
        count: what was counted on them.
        total: out of how many.
    """

    value: float
    low: float
    high: float
    images: int
    count: float
    total: float


@dataclass(frozen=True)
class Difference:
    """The difference of two estimates, and its interval; see :class:`Estimate`."""

    value: float
    low: float
    high: float


def share(pairs: Pairs, confidence: float = CONFIDENCE, *, effect: float = 1.0) -> Estimate | None:
    """Estimate a share, such as the objects that were found.

    Args:
        pairs: by image, (boxes with a trait, boxes).
        confidence: of the interval.
        effect: the least design effect to reckon with.

    Returns:
        None where there is no box.
    """
    table = _table(pairs)
    count, total = (float(v) for v in table.sum(axis=0))
    if not total:
        return None
    p = count / total
    low, high = wilson(p, total / max(effect, design_effect(table)), confidence)
    return Estimate(p, low, high, len(table), count, total)


def share_difference(
    a: Pairs, b: Pairs, confidence: float = CONFIDENCE
) -> tuple[Estimate, Estimate, Difference] | None:
    """Estimate two shares and the first less the second.

    The images of both together say how alike boxes of one image are, where one share has too few.

    Returns:
        None where either has no box.
    """
    effect = design_effect(_table(a), _table(b))
    one, two = share(a, confidence, effect=effect), share(b, confidence, effect=effect)
    if one is None or two is None:
        return None
    value = one.value - two.value
    low = value - math.hypot(one.value - one.low, two.high - two.value)
    high = value + math.hypot(one.high - one.value, two.value - two.low)
    return one, two, Difference(value, low, high)


def mean(pairs: Pairs, confidence: float = CONFIDENCE, *, counts: bool = False) -> Estimate | None:
    """Estimate a mean, such as seconds per box.

    Args:
        pairs: by image, (sum, number of things summed).
        confidence: of the interval.
        counts: whether the sums are counts of rare things, which may be 0 on every image: their
            variance is taken to be at least that of Poisson counts with one more.

    Returns:
        None where fewer than two images have anything.
    """
    table = _table(pairs)
    if len(table) < 2:
        return None
    value, variance = _ratio(table, counts)
    half = _student(confidence, len(table) - 1) * math.sqrt(variance)
    count, total = (float(v) for v in table.sum(axis=0))
    return Estimate(value, value - half, value + half, len(table), count, total)


def mean_difference(
    a: Pairs,
    b: Pairs,
    confidence: float = CONFIDENCE,
    *,
    weight: float = 1.0,
    counts: bool = False,
) -> Difference | None:
    """Estimate the mean of ``a`` less ``weight`` times that of ``b``; see :func:`mean`.

    Returns:
        None where either has fewer than two images.
    """
    tables = _table(a), _table(b)
    if min(map(len, tables)) < 2:
        return None
    (one, own), (two, other) = (_ratio(table, counts) for table in tables)
    other *= weight**2
    value = one - weight * two
    parts = own**2 / (len(tables[0]) - 1) + other**2 / (len(tables[1]) - 1)
    freedom = (own + other) ** 2 / parts if parts else math.inf
    half = _student(confidence, freedom) * math.sqrt(own + other)
    return Difference(value, value - half, value + half)


def wilson(p: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return Wilson's interval for a share ``p`` of ``n``, which need not be whole."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (0.0 if p == 0 else middle - half), (1.0 if p == 1 else middle + half)


def design_effect(*tables: Floats) -> float:
    """Return how much more shares of images differ than those of boxes drawn one by one; from 1.

    Args:
        tables: of one share each, (n, 2) as :data:`Pairs`; their own shares may differ.
    """
    found = expected = 0.0
    for table in tables:
        total, n = float(table[:, 1].sum()), len(table)
        if total and n > 1:
            p = float(table[:, 0].sum()) / total
            found += float(((table[:, 0] - p * table[:, 1]) ** 2).sum()) * n / (n - 1)
            expected += p * (1 - p) * total * total / (total - 1)
    return max(1.0, found / expected) if expected else 1.0


def _table(pairs: Pairs) -> Floats:
    """Return (n, 2) the images that have anything to count."""
    table = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return np.asarray(table[table[:, 1] > 0])


def _ratio(table: Floats, counts: bool) -> tuple[float, float]:
    count, total = (float(v) for v in table.sum(axis=0))
    value, n = count / total, len(table)
    residuals = table[:, 0] - value * table[:, 1]
    variance = float((residuals**2).sum()) * n / (n - 1) / total**2
    return value, max(variance, (count + 1) / total**2) if counts else variance


def _student(confidence: float, freedom: float) -> float:
    from scipy.special import stdtrit  # takes a while to import, and few commands need it

    if math.isinf(freedom):
        return NormalDist().inv_cdf((1 + confidence) / 2)
    return float(stdtrit(freedom, (1 + confidence) / 2))
