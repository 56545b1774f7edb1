"""Tell how far each image was from the list when the ordering appended it, after the fact.

The order file has the images in their order and not the distances that led to it. They follow from
the features: what an image was compared with are the images before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxloop.core.ordering import require_linkage
from boxloop.core.types import Floats

_BLOCK = 512
"""Images whose distances to all before them are computed together: 100 MB of 50,000."""


def list_distances(vectors: NDArray[Any], query_size: int, linkage: str) -> Floats:
    """Compute each image's Euclidean distance to the list of those before it.

    The nearest (or farthest) image of the list is found in float32, and its distance computed in
    float64, so that near-duplicates get their true distance.

    Args:
        vectors: (N, D) in the order of the images, finite.
        query_size: images that the list began with.
        linkage: how the distance to a list is taken: "single", "average" or "complete".

    Returns:
        (N,) distances; NaN for the images of the query list, which were not chosen by one.

    Raises:
        ValueError: unknown linkage.
    """
    require_linkage(linkage)
    n, first = len(vectors), max(query_size, 1)
    found = np.full(n, np.nan)
    # Products of centred vectors lose less: what is near is a difference of smaller numbers.
    exact = np.asarray(vectors, dtype=np.float64)
    table = (exact - exact.mean(axis=0, keepdims=True)).astype(np.float32) if n else exact
    squares = np.einsum("ij,ij->i", table, table)
    for start in range(first, n, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, n))
        block = table[rows] @ table[: rows[-1]].T
        block *= -2
        block += squares[: rows[-1]]
        block += squares[rows, None]
        np.maximum(block, 0, out=block)
        later = np.arange(rows[-1]) >= rows[:, None]
        if linkage == "average":
            np.sqrt(block, out=block)
            block[later] = 0
            found[rows] = block.sum(axis=1, dtype=np.float64) / rows
            continue
        block[later] = np.inf if linkage == "single" else -np.inf
        chosen = block.argmin(axis=1) if linkage == "single" else block.argmax(axis=1)
        found[rows] = np.linalg.norm(vectors[rows].astype(np.float64) - exact[chosen], axis=1)
    return found
