"""Validate boxes and clip them to their image.

The same defects are found everywhere; a policy says how much is tolerated and what is still usable:
:data:`REPAIR` clips and drops, :data:`REFUSE` leaves every defect to the person to put right.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from boxloop.core.types import Floats


class Defect(Enum):
    """Defects of a box; of several, the first in this order counts."""

    NOT_FINITE = auto()
    INVERTED = auto()
    TOO_SMALL = auto()
    OUTSIDE = auto()
    ON_RIM = auto()  # too little of it lies inside the image
    OVERHANG = auto()


@dataclass(frozen=True)
class Policy:
    """How much is tolerated of a box.

    Attributes:
        least_side: pixels that each side must have, also after clipping.
        slack: pixels by which a box may reach beyond the image; it is clipped, without a defect.
        clips: whether a box that reaches farther is usable, clipped.
    """

    least_side: float
    slack: float
    clips: bool


REPAIR = Policy(least_side=0.01, slack=1.0, clips=True)
"""For datasets: clip every box, and drop those too thin to have an area."""

_JITTER = 1e-3  # pixels: sides that the App stores as fractions do not come back exactly

REFUSE = Policy(least_side=1.0 - _JITTER, slack=1.0 + _JITTER, clips=False)
"""For people's boxes: overshooting by a pixel is fine, a smaller box a slip."""


@dataclass(frozen=True)
class Inspection:
    """The findings of :func:`inspect`, box by box.

    Attributes:
        clipped: (n, 4) pixels, inside the image; valid where ``usable``.
        overhang: (n, 4) pixels beyond the left, top, right and bottom edge of the image.
        defects: n defects, None where there is none.
        usable: (n,) whether the policy takes the clipped box.
    """

    clipped: Floats
    overhang: Floats
    defects: tuple[Defect | None, ...]
    usable: NDArray[np.bool_]


def inspect(
    xyxy: ArrayLike,
    width: ArrayLike,
    height: ArrayLike,
    policy: Policy,
    *,
    first_pixel: ArrayLike = 0,
) -> Inspection:
    """Find the defects of boxes (n, 4), which are any numbers, and clip them.

    Where ``first_pixel`` is 1, pixels are counted from 1 and a box includes its last pixel, so that
    ``1, 10`` become the exclusive edges ``0, 10``. It, ``width`` and ``height`` are those of the
    image, or, for boxes of several images, (n,) those of each box's image.
    """
    given = np.asarray(xyxy, np.float64).reshape(-1, 4)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(given).all(axis=1))
    given = np.where(finite[:, None], given, 0.0)
    moved = given.copy()
    moved[:, :2] -= np.reshape(first_pixel, (-1, 1))
    clipped = clip(moved, width, height)
    overhang = np.concatenate([-moved[:, :2], moved[:, 2:] - _pairs(width, height)], axis=1)
    # Measured before the edges are made exclusive: ``5, 5`` would pass as one pixel.
    side, inside = _least_side(given), _least_side(clipped)
    conditions: dict[Defect | None, NDArray[np.bool_]] = {
        Defect.NOT_FINITE: ~finite,
        Defect.INVERTED: side < 0,
        Defect.TOO_SMALL: side < policy.least_side,
        Defect.OUTSIDE: inside <= 0,
        Defect.ON_RIM: inside < policy.least_side,
        Defect.OVERHANG: overhang.max(axis=1, initial=-np.inf) > policy.slack,
        None: np.ones(len(given), bool),
    }
    first = np.argmax(list(conditions.values()), axis=0)
    kinds = list(conditions)
    tolerated = (None, Defect.OVERHANG) if policy.clips else (None,)
    usable = np.array([kind in tolerated for kind in kinds])[first]
    return Inspection(clipped, overhang, tuple(kinds[i] for i in first.tolist()), usable)


def clip(xyxy: NDArray[Any], width: ArrayLike, height: ArrayLike) -> Floats:
    """Clip boxes (n, 4) to an image, or each to its own; NaN stays NaN."""
    clipped: Floats = np.clip(xyxy, 0.0, np.tile(_pairs(width, height), 2))
    return clipped + 0.0  # turns -0.0 into 0.0


def _pairs(width: ArrayLike, height: ArrayLike) -> Floats:
    """Return width and height as (2,), or those of n boxes as (n, 2)."""
    return np.stack([np.asarray(width, np.float64), np.asarray(height, np.float64)], axis=-1)


def _least_side(xyxy: Floats) -> Floats:
    with np.errstate(over="ignore"):  # of huge numbers; infinity compares as it should
        return np.asarray((xyxy[:, 2:] - xyxy[:, :2]).min(axis=1, initial=np.inf))
