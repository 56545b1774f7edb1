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

The order is the one that plain loops over SciPy's float64 distances give. The distances used are
faster ones with a known bound on their error (distances.py); where the best candidates lie closer
together than that, those few are compared again by SciPy's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from boxloop.distances import UNIT, Indices, OpenDistances
from boxloop.types import FeatureTable, Floats, Ordering

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
        if linkage not in ("single", "average", "complete"):
            raise ValueError(f"unknown linkage '{linkage}'")
        distances = OpenDistances(features.vectors, rows, rooted=linkage == "average")
        growing = _GrowingList(distances, linkage, farthest=strategy == "dissimilar")
        picks = growing.run(query, progress)
        chosen = ids[rows][picks].tolist()
    else:
        raise ValueError(f"unknown strategy '{strategy}'")
    return Ordering(tuple(chosen), strategy, seed, query_size, linkage)


class _GrowingList:
    """The list of section 3.2, and the distance of every open image to it."""

    def __init__(self, distances: OpenDistances, linkage: str, *, farthest: bool) -> None:
        self._distances, self._linkage, self._farthest = distances, linkage, farthest
        n = len(distances.images)
        self._listed = np.empty(n, dtype=np.intp)
        self._size = 0
        # The least, the sum or the largest. Every candidate is compared with the same list, so the
        # sum ranks as the mean does.
        self._combine = {"single": np.minimum, "average": np.add, "complete": np.maximum}[linkage]
        self._nothing = np.inf if linkage == "single" else 0.0
        self._all_to_list = np.full(n, self._nothing)
        distances.accompany(self._all_to_list)
        self._taken = -np.inf if farthest else np.inf
        self._error = 0.0 if linkage == "average" else distances.bound
        self._compared = 0

    def run(self, query: Indices, progress: Progress | None) -> Indices:
        """Lists ``query``, then all others; (N,) images in the order of the list."""
        n = len(self._listed)
        for position in range(n):
            if position < len(query):
                images = self._distances.images
                column = int(np.flatnonzero(images == query[position])[0])
                self._append(column, lambda: np.isin(self._distances.images, query).astype(float))
            else:
                self._append(self._best(), self._preference)
            if progress is not None:
                progress(position + 1, n)
        return self._listed

    def _to_list(self) -> Floats:
        """(columns,) the distance of each image to the list."""
        return self._all_to_list[: len(self._distances.images)]

    def _append(self, column: int, preference: Callable[[], Floats]) -> None:
        distances = self._distances
        column, row = distances.close(column, preference)
        self._listed[self._size] = distances.images[column]
        self._size += 1
        to_list = self._to_list()
        to_list[column] = self._taken
        if self._linkage == "average" and distances.bound:
            row[distances.closed] = np.inf
            # |a - b| = |a^2 - b^2| / (a + b), and no root is off by more than the bound's root;
            # then one rounding of the root and one of each of the two sums.
            self._error += distances.bound / max(float(row.min()), distances.bound**0.5)
            self._error += 8 * UNIT * (self._size + 1) * distances.radius
        row[distances.closed] = self._taken
        self._combine(to_list, row, out=to_list)

    def _preference(self) -> Floats:
        return self._to_list() if self._farthest else -self._to_list()

    def _best(self) -> int:
        """The column of the image to be listed next."""
        to_list = self._to_list()
        if self._farthest:
            column = int(to_list.argmax())
            near = to_list >= to_list[column] - 2 * self._error
        else:
            column = int(to_list.argmin())
            near = to_list <= to_list[column] + 2 * self._error
        if np.count_nonzero(near) == 1:
            return column
        return self._settle(np.flatnonzero(near))

    def _settle(self, columns: Indices) -> int:
        """The best of ``columns``, which are too close together for the fast distances.

        Equal ones go to the lowest image.
        """
        distances = self._distances
        images = distances.images[columns]
        by_image = np.argsort(images)
        if not distances.bound:
            return int(columns[by_image[0]])
        # Images with the same vector have the same distance; of those the lowest is wanted.
        first = by_image[np.unique(distances.labels(images[by_image]), return_index=True)[1]]
        columns, images = columns[first], images[first]
        if len(images) == 1:
            return int(columns[0])
        self._compared += len(images) * self._size
        n_open = len(self._listed) - self._size
        if self._compared > n_open * self._size + n_open**2 / 2:
            # Doubt is the rule in this table: from here on exact distances cost less than checks.
            distances.be_direct()
            self._to_list()[:] = self._exact(distances.images)
            self._error = 0.0
            return self._best()
        exact = self._exact(images)
        equal = exact == (exact.max() if self._farthest else exact.min())
        return int(columns[equal][images[equal].argmin()])

    def _exact(self, images: Indices) -> Floats:
        """(n,) SciPy's distances of (n,) ``images`` to the list."""
        result = (
            np.full(len(images), np.inf) if self._linkage == "single" else np.zeros(len(images))
        )
        for part, block in self._distances.exact(images, self._listed[: self._size]):
            for from_member in block.T:
                self._combine(result[part], from_member, out=result[part])
        return result
