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
    xyxy: ArrayLike, width: int, height: int, policy: Policy, *, first_pixel: int = 0
) -> Inspection:
    """Find the defects of an image's boxes (n, 4), which are any numbers, and clip them.

    Where ``first_pixel`` is 1, pixels are counted from 1 and a box includes its last pixel, so that
    ``1, 10`` become the exclusive edges ``0, 10``.
    """
    given = np.asarray(xyxy, np.float64).reshape(-1, 4)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(given).all(axis=1))
    given = np.where(finite[:, None], given, 0.0)
    moved = given - (first_pixel, first_pixel, 0, 0)
    clipped = clip(moved, width, height)
    overhang = np.concatenate([-moved[:, :2], moved[:, 2:] - (width, height)], axis=1)
    # Measured before the edges are made exclusive: ``5, 5`` would pass as one pixel.
    side, inside = _least_side(given), _least_side(clipped)
    conditions: dict[Defect, NDArray[np.bool_]] = {
        Defect.NOT_FINITE: ~finite,
        Defect.INVERTED: side < 0,
        Defect.TOO_SMALL: side < policy.least_side,
        Defect.OUTSIDE: inside <= 0,
        Defect.ON_RIM: inside < policy.least_side,
        Defect.OVERHANG: overhang.max(axis=1, initial=-np.inf) > policy.slack,
    }
    defects = tuple(
        next((defect for defect, found in conditions.items() if found[i]), None)
        for i in range(len(given))
    )
    tolerated = (None, Defect.OVERHANG) if policy.clips else (None,)
    usable = np.array([defect in tolerated for defect in defects], bool)
    return Inspection(clipped, overhang, defects, usable)


def clip(xyxy: NDArray[Any], width: int, height: int) -> Floats:
    """Clip boxes (n, 4) to an image; NaN stays NaN."""
    clipped: Floats = np.clip(xyxy, 0.0, np.array([width, height, width, height], np.float64))
    return clipped + 0.0  # turns -0.0 into 0.0


def _least_side(xyxy: Floats) -> Floats:
    with np.errstate(over="ignore"):  # of huge numbers; infinity compares as it should
        return np.asarray((xyxy[:, 2:] - xyxy[:, :2]).min(axis=1, initial=np.inf))
