"""The boxes of one image.

:mod:`boxloop.core.types` says what a box and a label are, and offers what is here with the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Strings = NDArray[np.str_]

NOTHING = 1.0
"""The score threshold at which no proposal is shown."""

LATER = "later:"
"""What the ids of proposals begin with that were made for an image that was reviewed before, for a
class that could not be chosen then: later:b03:0, of the detector of b03. Only those that were
shown are stored, so they reach every threshold of the others."""


def require(condition: bool, message: str) -> None:
    """Raise a ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class Boxes:
    """The boxes of one image.

    Attributes:
        xyxy: (n, 4) float64, pixels.
        labels: (n,) class names.
        ids: (n,) strings, unique within the image; they survive a move and a relabel.
        scores: (n,) float64 in [0, 1] for a detector's boxes, None for a person's.

    Raises:
        ValueError: a shape does not fit, a coordinate is not finite, a box has no area, an id
            occurs twice, or a score lies outside [0, 1].
    """

    xyxy: Floats
    labels: Strings
    ids: Strings
    scores: Floats | None = None

    def __post_init__(self) -> None:
        xyxy = np.asarray(self.xyxy, dtype=np.float64)
        xyxy = xyxy.reshape(0, 4) if xyxy.size == 0 else xyxy
        require(xyxy.ndim == 2 and xyxy.shape[1] == 4, f"xyxy must be (n, 4), got {xyxy.shape}")
        n = len(xyxy)
        labels = np.asarray(self.labels, dtype=np.str_)
        ids = np.asarray(self.ids, dtype=np.str_)
        require(labels.shape == (n,), f"labels must be ({n},), got {labels.shape}")
        require(ids.shape == (n,), f"ids must be ({n},), got {ids.shape}")
        require(len(set(ids.tolist())) == n, "ids must be unique within an image")
        require(bool(np.isfinite(xyxy).all()), "coordinates must be finite")
        require(
            bool((xyxy[:, 2:] > xyxy[:, :2]).all()), "a box needs x2 > x1 and y2 > y1 (real area)"
        )
        scores = self.scores
        if scores is not None:
            scores = np.asarray(scores, dtype=np.float64)
            require(scores.shape == (n,), f"scores must be ({n},), got {scores.shape}")
            require(bool(((scores >= 0) & (scores <= 1)).all()), "scores must lie in [0, 1]")
        for name, value in (("xyxy", xyxy), ("labels", labels), ("ids", ids), ("scores", scores)):
            if value is not None:
                value = value.copy()
                value.setflags(write=False)
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.xyxy)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Boxes) and all(
            np.array_equal(own, vars(other)[name]) for name, own in vars(self).items()
        )

    __hash__ = None  # type: ignore[assignment]

    def select(self, chosen: NDArray[Any]) -> Boxes:
        """Return the boxes at ``chosen``: a boolean mask (n,) or indices (k,)."""
        scores = None if self.scores is None else self.scores[chosen]
        values = (self.xyxy[chosen], self.labels[chosen], self.ids[chosen], scores)
        if np.asarray(chosen).dtype != np.bool_:
            return Boxes(*values)
        # What a mask leaves of valid boxes is valid: to check it anew takes longer than the rest.
        found = object.__new__(Boxes)
        for name, value in zip(("xyxy", "labels", "ids", "scores"), values, strict=True):
            if value is not None:
                value.setflags(write=False)
            object.__setattr__(found, name, value)
        return found

    def reach(self, threshold: float) -> NDArray[np.bool_]:
        """Return (n,) whether each box scores at least ``threshold``.

        From a threshold of 1.0 (``NOTHING``) on none does, not even a box of that score: who asks
        for nothing to be shown gets nothing. All do where there are no scores, and those that came
        later (:data:`LATER`).
        """
        if self.scores is None:
            return np.ones(len(self), dtype=bool)
        return np.asarray((self.scores >= threshold) & (threshold < NOTHING)) | self.later()

    def later(self) -> NDArray[np.bool_]:
        """Return (n,) whether each box was proposed later than the others; see :data:`LATER`."""
        if LATER not in "".join(self.ids.tolist()):  # as in nearly all sets
            return np.zeros(len(self), dtype=bool)
        return np.char.startswith(self.ids, LATER)

    def above(self, threshold: float) -> Boxes:
        """Return the boxes that :meth:`reach` ``threshold``: at 1.0 none, whatever they score.

        Raises:
            ValueError: ``threshold`` is no number in [0, 1].
        """
        number = isinstance(threshold, Real) and not isinstance(threshold, bool)
        fits = number and 0 <= threshold <= NOTHING
        require(fits, f"threshold must be a number in [0, 1], got {threshold!r:.100}")
        return self if self.scores is None else self.select(self.reach(threshold))

    @classmethod
    def empty(cls, *, scored: bool = False) -> Boxes:
        """Build a set without boxes."""
        return cls.build((), (), () if scored else None)

    @classmethod
    def build(
        cls,
        xyxy: Sequence[Sequence[float]] | NDArray[Any],
        labels: Sequence[str],
        scores: Sequence[float] | NDArray[Any] | None = None,
        *,
        prefix: str = "t",
    ) -> Boxes:
        """Build boxes with ids made from ``prefix`` and the position: t0, t1, ..."""
        return cls(
            np.asarray(xyxy, np.float64).reshape(-1, 4),
            np.array(labels, np.str_),
            np.array([f"{prefix}{i}" for i in range(len(labels))], np.str_),
            None if scores is None else np.asarray(scores, np.float64),
        )
