"""Means, confidence intervals and paired tests over seeds.

A seed is one independent run, and n the number of seeds. Intervals are Student's
(mean +- t * sd / sqrt(n), n - 1 degrees of freedom), by scipy.stats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

CONFIDENCE = 0.95

_DIGITS = 9
"""Decimals of a percentage that are no rounding error."""

FEW = 3
"""With fewer seeds, intervals are too wide to be useful (t is 12.7 for two seeds)."""


@dataclass(frozen=True)
class Mean:
    """A mean over the seeds.

    Attributes:
        n: number of seeds.
        mean: of their values.
        low: lower end of the interval; None for a single seed.
        high: upper end of the interval; None for a single seed.
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
    """The mean difference to a baseline on the same seeds.

    Attributes:
        p: two-sided, of the paired t-test; None for a single seed, or where all differences are
            equal, which tells nothing of the spread.
    """

    p: float | None

    @property
    def decided(self) -> bool:
        """Whether the interval excludes zero, and seeds differ, so that it means something."""
        if self.p is None or self.low is None or self.high is None:
            return False
        return not self.low <= 0 <= self.high


def mean(values: Sequence[float]) -> Mean:
    """Return the mean of at least one value, with its interval."""
    n, middle = len(values), math.fsum(values) / len(values)
    if n < 2:
        return Mean(n, middle, None, None)
    if max(values) == min(values):
        return Mean(n, middle, middle, middle)
    interval = stats.ttest_1samp(values, 0.0).confidence_interval(CONFIDENCE)
    return Mean(n, middle, float(interval.low), float(interval.high))


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Paired | None:
    """Return the mean difference to a baseline on the same seeds.

    Args:
        values: by seed.
        baseline: by seed.

    Returns:
        None where no seed has both.
    """
    seeds = [seed for seed in values if seed in baseline]
    if not seeds:
        return None
    # Rounded, or differences that are equal would differ by their last digit and decide everything.
    differences = [round(values[seed] - baseline[seed], _DIGITS) for seed in seeds]
    result = mean(differences)
    p = None
    if len(set(differences)) > 1:
        p = float(stats.ttest_1samp(differences, 0.0).pvalue)
    return Paired(result.n, result.mean, result.low, result.high, p)
