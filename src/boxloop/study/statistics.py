"""What the seeds say: means with their intervals, and differences on the same seeds.

A seed is one independent run; the number of them, not of images, is n. Intervals are Student's
(mean +- t * sd / sqrt(n), n - 1 degrees of freedom), by scipy.stats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

CONFIDENCE = 0.95

FEW = 3
"""Below so many seeds, an interval is so wide that it says next to nothing (t is 12.7 for two)."""


@dataclass(frozen=True)
class Mean:
    """A mean over the seeds.

    Attributes:
        n: number of seeds.
        mean: of their values.
        low: lower end of the interval; None for a single seed.
        high: upper end.
    """

    n: int
    mean: float
    low: float | None
    high: float | None

    @property
    def half(self) -> float | None:
        """Half the length of the interval."""
        return None if self.high is None else self.high - self.mean


@dataclass(frozen=True)
class Paired(Mean):
    """The mean of the differences to a baseline on the same seeds.

    Attributes:
        p: two-sided, of the paired t-test; None for a single seed, or where all differences are
            equal.
    """

    p: float | None

    @property
    def decided(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


def mean(values: Sequence[float]) -> Mean:
    """The mean of at least one value, with its interval."""
    n, middle = len(values), math.fsum(values) / len(values)
    if n < 2:
        return Mean(n, middle, None, None)
    if max(values) == min(values):
        return Mean(n, middle, middle, middle)
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(CONFIDENCE)
    return Mean(n, middle, float(interval.low), float(interval.high))


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Paired | None:
    """How far values lie above those of a baseline, seed by seed.

    Args:
        values: by seed.
        baseline: by seed.

    Returns:
        None where no seed has both.
    """
    seeds = [seed for seed in values if seed in baseline]
    if not seeds:
        return None
    differences = [values[seed] - baseline[seed] for seed in seeds]
    result = mean(differences)
    p = None
    if result.low is not None and result.low != result.high:
        p = float(stats.ttest_rel([values[s] for s in seeds], [baseline[s] for s in seeds]).pvalue)
    return Paired(result.n, result.mean, result.low, result.high, p)
