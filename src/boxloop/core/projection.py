"""Project feature vectors to the plane, for people to look at: principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxloop.core.types import Floats

_SMALL = 300
"""Up to this many images or numbers all components are computed, which takes no iterations."""


_TOLERANCE = 1e-4
"""Of the iterations: far less than what a dot on the screen covers."""


def principal_plane(vectors: NDArray[Any]) -> Floats:
    """Project vectors to their two principal components.

    The same vectors give the same points: the sign of an axis is such that the number that weighs
    most in it has a positive weight.

    Args:
        vectors: (N, D), finite.

    Returns:
        (N, 2) coordinates around (0, 0); 0 along an axis that there is not.
    """
    values = np.asarray(vectors, dtype=np.float64)
    if (values == values[:1]).all():  # no axis at all, which the iterations could not begin with
        return np.zeros((len(values), 2))
    centred = values - values.mean(axis=0, keepdims=True)
    least = min(centred.shape)
    if least <= _SMALL:
        axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    else:
        from scipy.sparse.linalg import svds

        # The iterations begin at the same place every time.
        start = np.random.default_rng(0).normal(size=least)
        axes = svds(centred, k=2, v0=start, tol=_TOLERANCE)[2][::-1]
    heaviest = np.take_along_axis(axes, np.abs(axes).argmax(axis=1)[:, None], axis=1)
    points = centred @ (axes * np.where(heaviest < 0, -1.0, 1.0)).T
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
