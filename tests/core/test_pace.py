"""Whether somebody gets slower, held against times that were made."""

from __future__ import annotations

import numpy as np
import pytest

from boxloop.core.edits import Ledger
from boxloop.core.pace import FEWEST, pace


def work(n: int, seed: int, factor: float, noise: float = 0.0) -> tuple[list[float], list[Ledger]]:
    """Times of a person whose proposals get better: less to do at the end."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, n)
    added = rng.poisson(4 - 3 * t)
    kept = rng.poisson(1 + 3 * t)
    moved = rng.poisson(1, n)
    edits = [Ledger(kept=a, moved=b, added=c) for a, b, c in zip(kept, moved, added, strict=True)]
    seconds = (3 + kept + 6 * moved + 9 * added) * factor**t * np.exp(rng.normal(0, noise, n))
    return seconds.tolist(), edits


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_a_trend_is_found_to_the_last_digit_without_noise(factor: float) -> None:
    found = pace(*work(60, 0, factor))
    assert found is not None
    assert found.value == pytest.approx(factor, rel=1e-4)
    assert found.low <= found.value <= found.high
    assert found.images == 60


def test_less_work_at_the_end_is_no_higher_pace() -> None:
    seconds, edits = work(400, 2, 1.0, 0.2)
    assert np.mean(seconds[:100]) > 1.5 * np.mean(seconds[-100:])
    found = pace(seconds, edits)
    assert found is not None
    assert found.low < 1 < found.high
    assert found.high - found.low < 0.4


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_interval_holds_its_promise(factor: float) -> None:
    found = [pace(*work(40, seed, factor, 0.3)) for seed in range(40)]
    inside = sum(f is not None and f.low <= factor <= f.high for f in found)
    assert 34 <= inside <= 40


def test_work_of_one_kind_alone_is_enough() -> None:
    seconds = [10 * 2 ** (i / 49) for i in range(50)]
    found = pace(seconds, [Ledger(added=1)] * 50)
    assert found is not None
    assert found.value == pytest.approx(2, rel=1e-3)


def test_too_few_images_tell_nothing() -> None:
    seconds, edits = work(FEWEST - 1, 0, 1.0)
    assert pace(seconds, edits) is None
    assert pace([*seconds, 0.0], [*edits, Ledger()]) is None
