"""From features to the order in which all images are labeled (paper, section 3.2).

``similar`` and ``dissimilar`` start from a few random images, the query list, and append one
image at a time: the one whose Euclidean distance to the list is least, or largest. The paper does
not say how the distance to a list is taken; three readings are offered under the names that
hierarchical clustering gives them:

- ``single`` (default): the distance to the nearest image of the list. ``dissimilar`` is then the
  farthest-first traversal (Gonzalez 1985; the k-centre greedy of Sener and Savarese 2018), whose
  every prefix covers the set within twice the best possible radius, and ``similar`` grows along
  nearest neighbours (Prim's order), so that each image resembles one that is already labeled.
- ``average``: the mean distance to the images of the list. It goes to the rim of the set and stays
  there, between a few extremes: it covers less, which is why it is not the default.
- ``complete``: the distance to the farthest image of the list.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist, squareform

from boxloop.types import FeatureTable, Floats, Ordering

_MATRIX_BYTES = 2**30
"""Up to here the N x N distances are held in memory; above it each row is computed when needed."""

Progress = Callable[[int, int], None]


def order(
    features: FeatureTable,
    strategy: str,
    *,
    seed: int = 0,
    query_size: int = 3,
    linkage: str = "single",
    progress: Progress | None = None,
) -> Ordering:
    """Orders all images.

    Args:
        features: N vectors; their row order is the temporal order, and matters to nothing else.
        strategy: "similar", "dissimilar", "random" or "temporal".
        seed: of the query list, or of the random order.
        query_size: images of the query list; more than N is N.
        linkage: how the distance to the list is taken: "single", "average" or "complete".
        progress: called with (images ordered, N).

    Returns:
        An order that depends on the ids, the vectors and the seed alone. Equal distances go to
        the image whose id sorts first.

    Raises:
        ValueError: unknown strategy or linkage, or a query list without images.
    """
    ids = np.array(features.image_ids)
    if strategy == "temporal":
        chosen = list(features.image_ids)
    elif strategy == "random":
        chosen = np.random.default_rng(seed).permutation(np.sort(ids)).tolist()
    elif strategy in ("similar", "dissimilar"):
        if query_size < 1:
            raise ValueError(f"the query list needs at least one image, got {query_size}")
        # Sorted by id, the first of equal candidates is the one with the smallest id.
        rows = np.argsort(ids)
        query = np.random.default_rng(seed).choice(len(ids), min(query_size, len(ids)), False)
        picks = _greedy(
            features.vectors[rows].astype(np.float64),
            query.tolist(),
            farthest=strategy == "dissimilar",
            linkage=linkage,
            progress=progress,
        )
        chosen = ids[rows][picks].tolist()
    else:
        raise ValueError(f"unknown strategy '{strategy}'")
    return Ordering(tuple(chosen), strategy, seed, query_size, linkage)


def _greedy(
    vectors: Floats,
    query: list[int],
    *,
    farthest: bool,
    linkage: str,
    progress: Progress | None,
) -> NDArray[np.intp]:
    """Appends to ``query`` until all rows of ``vectors`` (N, D) are listed; (N,) row numbers."""
    if linkage not in ("single", "average", "complete"):
        raise ValueError(f"unknown linkage '{linkage}'")
    n = len(vectors)
    distances_from = _distance_rows(vectors)
    # To the list so far: the least, the sum or the largest distance. Every candidate is compared
    # with the same list, so the sum ranks as the mean does.
    to_list = np.full(n, np.inf) if linkage == "single" else np.zeros(n)
    combine = {"single": np.minimum, "average": np.add, "complete": np.maximum}[linkage]
    taken = -np.inf if farthest else np.inf
    closed = np.zeros(n, dtype=bool)
    picks = np.empty(n, dtype=np.intp)
    for position in range(n):
        if position < len(query):
            pick = query[position]
        else:
            candidates = np.where(closed, taken, to_list)
            pick = int(np.argmax(candidates) if farthest else np.argmin(candidates))
        picks[position] = pick
        closed[pick] = True
        combine(to_list, distances_from(pick), out=to_list)
        if progress is not None:
            progress(position + 1, n)
    return picks


def _distance_rows(vectors: Floats) -> Callable[[int], Floats]:
    """A function from a row number to the (N,) Euclidean distances from that row."""
    n = len(vectors)
    if n > 1 and n * n * 8 <= _MATRIX_BYTES:
        matrix = squareform(pdist(vectors))
        return lambda row: matrix[row]
    return lambda row: cdist(vectors[row : row + 1], vectors)[0]
