"""The distance of every image to a growing list, by linkage.

The next image is known only once the last one is listed, and the distances from one image to all
others, taken alone, cost a walk through the whole table. So the images that are likely to follow
soon are computed together, as one matrix product, and what is needed of them is held until they are
listed. As listed images leave the table, half of the N x N products are never made.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from boxloop.core.distances import Indices, OpenTable, Vectors
from boxloop.core.types import Floats

_SMALL = 1536
"""So few images are compared by whole rows, all made by one product at the start."""

_AT_ONCE = 512
"""The last rows, that are made together."""

_AHEAD = 8
"""A block has rows for one in so many of the open images: its columns will be closed soon."""

_BLOCK = 2048
"""Most rows in one block; more is hardly faster."""

_HELD = 2**27
"""Most numbers that are held of rows computed ahead: about 1 GiB."""

_FEW = 32
"""Up to so many members most distances to the list still change."""

_UNIT = 2.0**-53
"""Relative error of one float64 operation."""


_Singles = NDArray[np.float32]
_Changes = tuple[Indices, _Singles, Floats | None]
"""Of a row: images, limits of their distances, and the distances where these are known."""


class Growing(Protocol):
    """A list of images, and how far all others are from it."""

    def add(self, image: int) -> None:
        """Lists an open image."""

    def best(self) -> int:
        """The open image that is nearest or farthest; of equal ones the lowest."""


def growing(vectors: Vectors, linkage: str, query: Indices, *, farthest: bool) -> Growing:
    """An empty list.

    Args:
        vectors: of all images.
        linkage: "single", "average" or "complete".
        query: the images that will be listed first.
        farthest: whether the best is the farthest from the list, else the nearest.

    Raises:
        ValueError: unknown linkage.
    """
    if linkage not in ("single", "average", "complete"):
        raise ValueError(f"unknown linkage '{linkage}'")
    if linkage == "average" or vectors.count <= _SMALL:
        return WholeRows(vectors, linkage, query, farthest=farthest)
    return Extremes(vectors, query, nearest=linkage == "single", farthest=farthest)


class _List:
    """What both linkages know of the list, and whom they compute ahead."""

    def __init__(self, vectors: Vectors, table: OpenTable, query: Indices, farthest: bool) -> None:
        self._vectors, self._table, self._query = vectors, table, query
        self._farthest = farthest
        self._taken = -np.inf if farthest else np.inf
        self._listed = np.empty(vectors.count, dtype=np.intp)
        self._size = 0
        self._to_list = np.zeros(vectors.count)
        self._is_held = np.zeros(vectors.count, dtype=bool)
        self._room = _BLOCK

    def _close(self, image: int) -> None:
        self._listed[self._size] = image
        self._size += 1
        self._is_held[image] = False
        self._table.close(image)

    def _rank(self, images: Indices) -> Floats:
        """(n,) how soon each of (n,) ``images`` is likely to be listed, the highest first."""
        return self._to_list[images] if self._farthest else -self._to_list[images]

    def _soon(self, image: int, most: int) -> Indices:
        """``image`` and those whose rows are to be computed with its own, ``most`` at most."""
        candidates = self._table.open_images()
        n = len(candidates)
        candidates = candidates[~self._is_held[candidates]]
        if n <= (_AT_ONCE if self._size else _SMALL):
            wanted = n
        elif self._size < len(self._query):
            candidates = self._query[~self._is_held[self._query]]
            candidates = candidates[self._table.is_open[candidates]]
            wanted = len(candidates)
        else:
            wanted = min(most, n // _AHEAD)
        wanted = min(wanted, self._room, self._table.most_rows())
        if wanted >= len(candidates):
            return candidates
        if wanted < 2:
            return np.array([image])
        others = candidates[candidates != image]
        left_out = len(candidates) - wanted
        others = others[np.argpartition(self._rank(others), left_out)[left_out:]]
        return np.append(others, image)


class Extremes(_List):
    """Single or complete linkage, of many images: only changes are looked at.

    Whether a new member changes the distance of an image is told by limits from float32 products,
    for all but few: of i members in no special order the last is the nearest once in i times. These
    few are left to SciPy, so that every distance to the list is exact, and ties are ties.
    """

    def __init__(self, vectors: Vectors, query: Indices, *, nearest: bool, farthest: bool) -> None:
        """Single linkage if ``nearest``, else complete; see :func:`growing`."""
        super().__init__(vectors, OpenTable(vectors, np.float32), query, farthest)
        self._nearest, self._margin = nearest, -1 if nearest else 1
        if nearest:
            self._to_list.fill(np.inf)
        # What a limit must pass for a distance to the list to change, in the scale of products.
        self._threshold = np.full(vectors.count, np.inf if nearest else -np.inf, dtype=np.float32)
        self._held: dict[int, _Changes] = {}
        self._stored = 0
        # The whole symmetric product costs half, and needs no foresight.
        everything = np.arange(vectors.count)
        fits = vectors.count**2 <= _HELD
        self._matrix = self._table.products(everything, self._margin) if fits else None

    def best(self) -> int:
        """The open image that is nearest or farthest; of equal ones the lowest."""
        return int(self._to_list.argmax() if self._farthest else self._to_list.argmin())

    def add(self, image: int) -> None:
        """Lists an open image."""
        others, distances = self._changes(image)
        self._close(image)
        self._to_list[image] = self._taken
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
        to_list = combine(self._to_list[others], distances)
        self._to_list[others] = to_list
        self._threshold[others] = self._as_threshold(to_list)

    def _changes(self, image: int) -> tuple[Indices, Floats | None]:
        """The open images whose distance to the list an open image may change, and to these."""
        if self._matrix is not None:
            may = self._passes(self._matrix[image], self._threshold)
            n_open = len(self._to_list) - self._size
            if self._size <= _FEW or np.count_nonzero(may) <= max(n_open / 4, _AT_ONCE):
                return np.flatnonzero(may), None
            # Nearly all is tied, and better compared in blocks.
            self._matrix = None
        if not self._is_held[image]:
            self._look_ahead(image)
        others, limits, distances = self._held.pop(image)
        self._stored -= len(others)
        may = self._passes(limits, self._threshold[others])
        return others[may], None if distances is None else distances[may]

    def _passes(self, limits: _Singles, thresholds: _Singles) -> NDArray[np.bool_]:
        return limits < thresholds if self._nearest else limits > thresholds

    def _as_threshold(self, distances: Floats) -> _Singles:
        squares = (distances * self._table.scale) ** 2
        if self._table.relative:
            # More than the rounding to float32, and than is lost where numbers become too small.
            away = 1 if self._nearest else -1
            squares = squares * (1 + away * 2.0**-20) + away * 2.0**-100
        if self._nearest:
            squares[distances == 0] = -np.inf  # nothing is nearer
        return squares.astype(np.float32)

    def _look_ahead(self, image: int) -> None:
        """Holds, for an image and those that may follow it, what their listing may change."""
        chosen, images = self._soon(image, self._size), self._table.open_images()
        limits = self._table.products(chosen, self._margin)
        changes = self._passes(limits, self._threshold[images])
        exact = None
        if self._size > _FEW and np.count_nonzero(changes) > changes.size / 4:
            # Limits that exclude nothing: all is tied, or closer together than they can tell.
            exact = self._vectors.exact(chosen, images)
            to_list = self._to_list[images]
            changes = exact < to_list if self._nearest else exact > to_list
        left_out = 0
        for position, row in enumerate(changes):
            columns = np.flatnonzero(row)
            if chosen[position] != image and self._stored + len(columns) > _HELD:
                left_out += 1
                continue
            self._held[int(chosen[position])] = (
                images[columns],
                limits[position, columns],
                None if exact is None else exact[position, columns],
            )
            self._is_held[chosen[position]] = True
            self._stored += len(columns)
        self._room = max(1, len(chosen) - left_out) if left_out else min(2 * self._room, _BLOCK)


class WholeRows(_List):
    """Any linkage, with all distances of each image that is listed.

    Average linkage needs them all: the sum of the distances to the images of the list ranks as
    their mean. For few images it is also the fastest way to the other linkages. The distances are
    from float64 products and known to within an error. Candidates that lie closer together than
    that are compared again by SciPy's distances.
    """

    def __init__(self, vectors: Vectors, linkage: str, query: Indices, *, farthest: bool) -> None:
        """See :func:`growing`."""
        table = OpenTable(vectors, np.float64)
        super().__init__(vectors, table, query, farthest)
        n = vectors.count
        self._combine = {"single": np.minimum, "average": np.add, "complete": np.maximum}[linkage]
        self._start, self._extreme = np.inf if linkage == "single" else 0.0, linkage != "average"
        self._to_list.fill(self._start)
        # Rows go on to have entries for closed images, out of date, which this outweighs.
        self._closed = np.zeros(n)
        self._rows = np.zeros((max(1, min(n, _HELD // max(n, 1))), n))
        self._free = list(range(len(self._rows)))[::-1]
        self._slots = np.zeros(n, dtype=np.intp)
        self._least = np.zeros(n)
        self._room = min(_BLOCK, len(self._rows))
        # Of a squared distance; 0 where all are exact.
        self._bound = table.relative * (2 * table.radius) ** 2
        self._error = 0.0
        self._compared = 0
        self._direct = False

    def add(self, image: int) -> None:
        """Lists an open image."""
        if not self._is_held[image]:
            self._look_ahead(image)
        self._close(image)
        slot = int(self._slots[image])
        self._free.append(slot)
        self._combine(self._to_list, self._rows[slot], out=self._to_list)
        self._closed[image] = self._taken
        if self._bound:
            # |a - b| = |a^2 - b^2| / (a + b), and no root is off by more than the bound's root,
            # nor by more than its rounding; a sum adds one rounding here and one in SciPy's sum.
            error = self._bound / max(float(self._least[image]), self._bound**0.5)
            error += 8 * _UNIT * (self._size + 1) * self._table.radius
            self._error = max(self._error, error) if self._extreme else self._error + error

    def best(self) -> int:
        """The open image that is nearest or farthest; of equal ones the lowest."""
        to_list = self._to_list + self._closed
        if self._farthest:
            image = int(to_list.argmax())
            near = to_list >= to_list[image] - 2 * self._error
        else:
            image = int(to_list.argmin())
            near = to_list <= to_list[image] + 2 * self._error
        if not self._bound or np.count_nonzero(near) == 1:
            return image
        return self._settle(np.flatnonzero(near))

    def _look_ahead(self, image: int) -> None:
        """Computes and holds the rows of an image and of those that may follow it."""
        chosen = self._soon(image, _BLOCK)
        images = self._table.open_images()
        lacking = len(chosen) - len(self._free)
        if lacking > 0:
            held = images[self._is_held[images]]
            given_up = held[np.argpartition(self._rank(held), lacking - 1)[:lacking]]
            self._is_held[given_up] = False
            self._free += self._slots[given_up].tolist()
        # Rows given up were computed in vain: the less is foreseen, the less is computed ahead.
        if lacking > len(chosen) / 2:
            self._room = max(1, len(chosen) // 2)
        elif lacking < len(chosen) / 4:
            self._room = min(2 * self._room, _BLOCK, len(self._rows))
        if self._direct:
            block = self._vectors.exact(chosen, images)
        else:
            block = self._table.products(chosen, 0)
            np.sqrt(np.maximum(block, 0.0, out=block), out=block)
            block /= self._table.scale
            own = np.arange(len(chosen)), self._table.columns(chosen)
            block[own] = np.inf
            self._least[chosen] = block.min(axis=1)
            block[own] = 0.0
        self._is_held[chosen] = True
        if len(chosen) == len(self._rows) == len(self._to_list):
            self._rows, self._slots, self._free = block, chosen.copy(), []  # all, in their order
            return
        for member, distances in zip(chosen, block, strict=True):
            slot = self._free.pop()
            self._rows[slot][images] = distances
            self._slots[member] = slot

    def _settle(self, images: Indices) -> int:
        """The best of ``images`` (n,), ascending, which the products cannot tell apart."""
        # Images with the same vector have the same distance; of those the lowest is wanted.
        first = np.unique(self._vectors.labels(images), return_index=True)[1]
        images = images[np.sort(first)]
        if len(images) == 1:
            return int(images[0])
        self._compared += len(images) * self._size
        n_open = self._vectors.count - self._size
        if self._compared > n_open * self._size + n_open**2 / 2:
            # Doubt is the rule here: from now on SciPy's distances alone cost less than checks.
            open_images = self._table.open_images()
            self._to_list[open_images] = self._exact(open_images)
            self._is_held.fill(False)
            self._free = list(range(len(self._rows)))[::-1]
            self._direct, self._bound, self._error = True, 0.0, 0.0
            return self.best()
        exact = self._exact(images)
        return int(images[exact.argmax() if self._farthest else exact.argmin()])

    def _exact(self, images: Indices) -> Floats:
        """(n,) SciPy's distances of (n,) ``images`` to the list, combined in its order."""
        result = np.full(len(images), self._start)
        for start in range(0, len(images), _BLOCK):
            part = result[start : start + _BLOCK]
            for first in range(0, self._size, _BLOCK):
                members = self._listed[first : min(first + _BLOCK, self._size)]
                for distances in self._vectors.exact(members, images[start : start + _BLOCK]):
                    self._combine(part, distances, out=part)
        return result
