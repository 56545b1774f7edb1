"""Greedy selection by distance: order images by nearest or farthest first, under a linkage.

The next image is known only after the last one is selected, and the distances of a single image to
all others cost a pass over the whole table. So the rows of images that are likely to follow soon
are computed together, as one matrix product, and cached until their images are selected. As
selected images leave the table, half of the N x N products are never computed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from boxloop.core._distances import CandidateTable, FeatureVectors, Indices
from boxloop.core.types import Floats

_SMALL = 1536
"""Up to this many images, use the full distance matrix."""

_LAST_ROWS = 512
"""From this many candidates down, compute all their rows at once."""

_LOOKAHEAD = 8
"""A block has rows for one in this many candidates, as its columns are removed soon."""

_MAX_BLOCK = 2048
"""Most rows in one block; more is hardly faster."""

_MAX_CACHED = 2**27
"""Most numbers in cached rows: about 1 GiB."""

_FEW = 32
"""Up to this many selected images, most distances to the selection still change."""

_UNIT = 2.0**-53
"""Relative error of one float64 operation."""


_Singles = NDArray[np.float32]
_Changes = tuple[Indices, _Singles, Floats | None]
"""Of a row: images, bounds on their distances, and the distances where these are known."""


def greedy_order(
    vectors: NDArray[np.float32],
    query: Indices,
    linkage: str,
    *,
    farthest: bool,
    tie_order: Indices | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Indices:
    """Select all images one by one, each nearest to (or farthest from) those before it.

    Args:
        vectors: (N, D), finite.
        query: (q,) rows of the images that come first.
        linkage: how the distance to a set is taken: "single", "average" or "complete".
        farthest: whether the farthest image is selected, else the nearest.
        tie_order: (N,) all rows; of equally distant images the first in it is selected. By default
            the order of the rows.
        progress: called with (images selected, N).

    Returns:
        (N,) rows in the order of selection.
    """
    n = len(vectors)
    # Below, an image is numbered by its place in the tie order: of equals the lowest wins.
    rows = np.arange(n) if tie_order is None else tie_order
    images = np.empty(n, dtype=np.intp)
    images[rows] = np.arange(n)
    first, table = images[query], FeatureVectors(vectors, rows)
    selection: _Selection
    if linkage == "average" or n <= _SMALL:
        selection = _FullRowSelection(table, linkage, first, farthest=farthest)
    else:
        selection = _MinMaxSelection(table, first, nearest=linkage == "single", farthest=farthest)
    for position in range(n):
        selection.add(int(first[position]) if position < len(first) else selection.best())
        if progress is not None:
            progress(position + 1, n)
    return rows[selection.selected]


class _Selection(ABC):
    """The images ``selected`` so far, and how far all candidates are from them."""

    def __init__(
        self, vectors: FeatureVectors, table: CandidateTable, query: Indices, farthest: bool
    ) -> None:
        self._vectors, self._table, self._query = vectors, table, query
        self._farthest = farthest
        self._never = -np.inf if farthest else np.inf
        self.selected = np.empty(vectors.count, dtype=np.intp)
        self._size = 0
        self._distances = np.zeros(vectors.count)
        self._is_cached = np.zeros(vectors.count, dtype=bool)
        self._max_rows = _MAX_BLOCK

    @abstractmethod
    def add(self, image: int) -> None:
        """Select a candidate."""

    @abstractmethod
    def best(self) -> int:
        """Return the nearest or farthest candidate; of equal ones the lowest."""

    def _remove_candidate(self, image: int) -> None:
        self.selected[self._size] = image
        self._size += 1
        self._is_cached[image] = False
        self._table.remove(image)

    def _priority(self, images: Indices) -> Floats:
        """Return (n,) how soon (n,) ``images`` are likely to be selected, the highest first."""
        return self._distances[images] if self._farthest else -self._distances[images]

    def _choose_block(self, image: int, most: int) -> Indices:
        """Return ``image`` and up to ``most`` others to compute the rows of together."""
        candidates = self._table.candidates()
        n = len(candidates)
        candidates = candidates[~self._is_cached[candidates]]
        if n <= (_LAST_ROWS if self._size else _SMALL):
            wanted = n
        elif self._size < len(self._query):
            candidates = self._query[~self._is_cached[self._query]]
            candidates = candidates[self._table.is_candidate[candidates]]
            wanted = len(candidates)
        else:
            wanted = min(most, n // _LOOKAHEAD)
        wanted = min(wanted, self._max_rows, self._table.max_rows())
        if wanted >= len(candidates):
            return candidates
        if wanted < 2:
            return np.array([image])
        others = candidates[candidates != image]
        left_out = len(candidates) - wanted
        others = others[np.argpartition(self._priority(others), left_out)[left_out:]]
        return np.append(others, image)


class _MinMaxSelection(_Selection):
    """Single or complete linkage of many images, updating only the distances that change.

    Bounds from float32 products exclude nearly all changes: of i images selected in no special
    order the last is the nearest to a candidate once in i times. The few others are computed by
    SciPy, so that every distance to the selection is exact, and ties are ties.
    """

    def __init__(
        self, vectors: FeatureVectors, query: Indices, *, nearest: bool, farthest: bool
    ) -> None:
        """Select nothing yet; single linkage if ``nearest``, else complete."""
        super().__init__(vectors, CandidateTable(vectors, np.float32), query, farthest)
        self._nearest, self._margin = nearest, -1 if nearest else 1
        if nearest:
            self._distances.fill(np.inf)
        # A bound beyond this may change a distance to the selection; in the scale of the table.
        self._threshold = np.full(vectors.count, np.inf if nearest else -np.inf, dtype=np.float32)
        self._cache: dict[int, _Changes] = {}
        self._n_cached = 0
        # The full symmetric product costs half, and needs no lookahead.
        everything = np.arange(vectors.count)
        fits = vectors.count**2 <= _MAX_CACHED
        self._matrix = self._table.squared_distances(everything, self._margin) if fits else None

    def best(self) -> int:
        """Return the nearest or farthest candidate; of equal ones the lowest."""
        return int(self._distances.argmax() if self._farthest else self._distances.argmin())

    def add(self, image: int) -> None:
        """Select a candidate."""
        others, distances = self._changes(image)
        self._remove_candidate(image)
        self._distances[image] = self._never
        self._threshold[image] = -np.inf if self._nearest else np.inf  # nothing passes
        is_other = others != image
        others = others[is_other]
        if not others.size:
            return
        if distances is None:
            distances = self._vectors.exact(np.array([image]), others)[0]
        else:
            distances = distances[is_other]
        combine = np.minimum if self._nearest else np.maximum
        combined = combine(self._distances[others], distances)
        self._distances[others] = combined
        self._threshold[others] = self._as_threshold(combined)

    def _changes(self, image: int) -> tuple[Indices, Floats | None]:
        """Return the candidates whose distance ``image`` may change, and its distances to them."""
        if self._matrix is not None:
            may = self._passes(self._matrix[image], self._threshold)
            n_candidates = len(self._distances) - self._size
            if self._size <= _FEW or np.count_nonzero(may) <= max(n_candidates / 4, _LAST_ROWS):
                return np.flatnonzero(may), None
            # Nearly all is tied, and exact distances in blocks are faster.
            self._matrix = None
        if not self._is_cached[image]:
            self._fill_cache(image)
        others, bounds, distances = self._cache.pop(image)
        self._n_cached -= len(others)
        may = self._passes(bounds, self._threshold[others])
        return others[may], None if distances is None else distances[may]

    def _passes(self, bounds: _Singles, thresholds: _Singles) -> NDArray[np.bool_]:
        return bounds < thresholds if self._nearest else bounds > thresholds

    def _as_threshold(self, distances: Floats) -> _Singles:
        squares = (distances * self._table.scale) ** 2
        if self._table.relative:
            # More than the rounding to float32, and than is lost where numbers become too small.
            away = 1 if self._nearest else -1
            squares = squares * (1 + away * 2.0**-20) + away * 2.0**-100
        if self._nearest:
            squares[distances == 0] = -np.inf  # nothing is nearer
        return squares.astype(np.float32)

    def _fill_cache(self, image: int) -> None:
        """Cache the possible changes by an image and by those that may follow it."""
        chosen, images = self._choose_block(image, self._size), self._table.candidates()
        bounds = self._table.squared_distances(chosen, self._margin)
        changes = self._passes(bounds, self._threshold[images])
        exact = None
        if self._size > _FEW and np.count_nonzero(changes) > changes.size / 4:
            # The bounds exclude little: all is tied, or closer together than float32 resolves.
            exact = self._vectors.exact(chosen, images)
            current = self._distances[images]
            changes = exact < current if self._nearest else exact > current
        left_out = 0
        for position, row in enumerate(changes):
            columns = np.flatnonzero(row)
            if chosen[position] != image and self._n_cached + len(columns) > _MAX_CACHED:
                left_out += 1
                continue
            self._cache[int(chosen[position])] = (
                images[columns],
                bounds[position, columns],
                None if exact is None else exact[position, columns],
            )
            self._is_cached[chosen[position]] = True
            self._n_cached += len(columns)
        fitted = len(chosen) - left_out
        self._max_rows = max(1, fitted) if left_out else min(2 * self._max_rows, _MAX_BLOCK)


class _FullRowSelection(_Selection):
    """Any linkage, from all distances of each selected image.

    Average linkage needs them all: the sum of the distances to the selection ranks as their mean.
    For few images it is also the fastest way to the other linkages. The distances come from float64
    products with a known error; candidates that are closer than that are compared by SciPy.
    """

    def __init__(
        self, vectors: FeatureVectors, linkage: str, query: Indices, *, farthest: bool
    ) -> None:
        """Select nothing yet; see :func:`greedy_order`."""
        table = CandidateTable(vectors, np.float64)
        super().__init__(vectors, table, query, farthest)
        n = vectors.count
        self._combine = {"single": np.minimum, "average": np.add, "complete": np.maximum}[linkage]
        self._start, self._is_sum = np.inf if linkage == "single" else 0.0, linkage == "average"
        self._distances.fill(self._start)
        # Rows have outdated entries for selected images; adding this outweighs them.
        self._exclusion = np.zeros(n)
        self._rows = np.zeros((max(1, min(n, _MAX_CACHED // max(n, 1))), n))
        self._free = list(range(len(self._rows)))[::-1]
        self._slots = np.zeros(n, dtype=np.intp)
        self._least = np.zeros(n)
        self._max_rows = min(_MAX_BLOCK, len(self._rows))
        # Of a squared distance; 0 where all are exact.
        self._bound = table.relative * (2 * table.radius) ** 2
        self._error = 0.0
        self._compared = 0
        self._use_exact = False

    def add(self, image: int) -> None:
        """Select a candidate."""
        if not self._is_cached[image]:
            self._fill_cache(image)
        self._remove_candidate(image)
        slot = int(self._slots[image])
        self._free.append(slot)
        self._combine(self._distances, self._rows[slot], out=self._distances)
        self._exclusion[image] = self._never
        if self._bound:
            # |a - b| = |a^2 - b^2| / (a + b), and no root is off by more than the bound's root,
            # nor by more than its rounding; a sum adds one rounding here and one in SciPy's sum.
            error = self._bound / max(float(self._least[image]), self._bound**0.5)
            error += 8 * _UNIT * (self._size + 1) * self._table.radius
            self._error = self._error + error if self._is_sum else max(self._error, error)

    def best(self) -> int:
        """Return the nearest or farthest candidate; of equal ones the lowest."""
        distances = self._distances + self._exclusion
        if self._farthest:
            image = int(distances.argmax())
            near = distances >= distances[image] - 2 * self._error
        else:
            image = int(distances.argmin())
            near = distances <= distances[image] + 2 * self._error
        if not self._bound or np.count_nonzero(near) == 1:
            return image
        return self._settle(np.flatnonzero(near))

    def _fill_cache(self, image: int) -> None:
        """Compute and cache the rows of an image and of those that may follow it."""
        chosen = self._choose_block(image, _MAX_BLOCK)
        images = self._table.candidates()
        lacking = len(chosen) - len(self._free)
        if lacking > 0:
            cached = images[self._is_cached[images]]
            evicted = cached[np.argpartition(self._priority(cached), lacking - 1)[:lacking]]
            self._is_cached[evicted] = False
            self._free += self._slots[evicted].tolist()
        # Evicted rows were computed in vain: compute fewer ahead.
        if lacking > len(chosen) / 2:
            self._max_rows = max(1, len(chosen) // 2)
        elif lacking < len(chosen) / 4:
            self._max_rows = min(2 * self._max_rows, _MAX_BLOCK, len(self._rows))
        if self._use_exact:
            block = self._vectors.exact(chosen, images)
        else:
            block = self._table.squared_distances(chosen, 0)
            np.sqrt(np.maximum(block, 0.0, out=block), out=block)
            block /= self._table.scale
            own = np.arange(len(chosen)), self._table.columns(chosen)
            block[own] = np.inf
            self._least[chosen] = block.min(axis=1)
            block[own] = 0.0
        self._is_cached[chosen] = True
        if len(chosen) == len(self._rows) == len(self._distances):
            self._rows, self._slots, self._free = block, chosen.copy(), []  # all, in their order
            return
        for row_image, row in zip(chosen, block, strict=True):
            slot = self._free.pop()
            self._rows[slot][images] = row
            self._slots[row_image] = slot

    def _settle(self, images: Indices) -> int:
        """Return the best of ``images`` (n,), ascending, which differ by less than the error."""
        # Of equal vectors, which have equal distances, keep the lowest image.
        first = np.unique(self._vectors.groups(images), return_index=True)[1]
        images = images[np.sort(first)]
        if len(images) == 1:
            return int(images[0])
        self._compared += len(images) * self._size
        n_candidates = self._vectors.count - self._size
        if self._compared > n_candidates * self._size + n_candidates**2 / 2:
            # Most steps need this check: from now on SciPy's distances alone are cheaper.
            candidates = self._table.candidates()
            self._distances[candidates] = self._exact(candidates)
            self._is_cached.fill(False)
            self._free = list(range(len(self._rows)))[::-1]
            self._use_exact, self._bound, self._error = True, 0.0, 0.0
            return self.best()
        exact = self._exact(images)
        return int(images[exact.argmax() if self._farthest else exact.argmin()])

    def _exact(self, images: Indices) -> Floats:
        """Return (n,) the exact distances of (n,) ``images`` to the selection, in its order."""
        result = np.full(len(images), self._start)
        for start in range(0, len(images), _MAX_BLOCK):
            part = result[start : start + _MAX_BLOCK]
            for first in range(0, self._size, _MAX_BLOCK):
                members = self.selected[first : min(first + _MAX_BLOCK, self._size)]
                for row in self._vectors.exact(members, images[start : start + _MAX_BLOCK]):
                    self._combine(part, row, out=part)
        return result
