"""The losses of a training as the rows of a log that stays short."""

from __future__ import annotations

import math
from collections.abc import Mapping


class LossRows:
    """Rows of ``step`` (1-based), the losses by name, ``learning_rate`` and ``time``.

    A row is the mean over the steps since the row before it; there is one per step where they are
    not more than ``most``.
    """

    def __init__(self, steps: int, most: int = 1000) -> None:
        """No rows yet.

        Args:
            steps: of the whole training.
            most: rows to make at most.
        """
        self.rows: list[dict[str, float]] = []
        self._steps, self._every = steps, math.ceil(steps / most)
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(
        self, step: int, losses: Mapping[str, float], *, learning_rate: float, seconds: float
    ) -> None:
        """Takes in one step.

        Args:
            step: 1 is the first one.
            losses: by name.
            learning_rate: of this step.
            seconds: since the first step began.
        """
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if step % self._every == 0 or step == self._steps:
            means = {name: round(value / self._count, 6) for name, value in self._sums.items()}
            row = {"step": step, **means, "learning_rate": learning_rate, "time": round(seconds, 3)}
            self.rows.append(row)
            self._sums, self._count = {}, 0
