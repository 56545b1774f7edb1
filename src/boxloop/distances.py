"""Euclidean distances from one image after another to all those that are still open.

The greedy orderings list N images and need, each time one is listed, its distances to the images
that are not: N(N-1)/2 distances of D terms. Taken one image at a time they cost a walk through the
whole table (memory-bound); taken as |x|^2 + |y|^2 - 2xy for a block of images they are a matrix
product (ten times the speed), but the next image is known only once the last one is listed. So the
rows of the images that are likely to come soon are computed together and held until they are asked
for; as listed images leave the table, half of the N x N products are never made.

Memory: the table in float64, 8ND bytes; held rows, at most ``_CACHE_BYTES``; one block of products.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from boxloop.types import Floats

Indices = NDArray[np.intp]

_CACHE_BYTES = 2**31
"""Of all rows that are held for later. With room for N rows nothing is computed twice."""

_BLOCK = 256
"""Most rows in one matrix product; more is hardly faster."""

_ROWS = 2048
"""Vectors that are converted, or compared directly, at a time."""

UNIT = float(np.finfo(np.float64).eps) / 2
"""Relative error of one float64 operation."""


class OpenDistances:
    """Rows of distances over a set of open images that shrinks by one at a time.

    Columns of closed images are given to others now and then, whenever rows are computed.

    Attributes:
        bound: how far an entry may be from the square of what SciPy's ``cdist`` gives for the two
            vectors in float64; with 0 both rank alike, ties included.
        radius: no distance is above twice this.
    """

    def __init__(self, vectors: NDArray[np.float32], rows: Indices, *, rooted: bool) -> None:
        """Opens all images.

        Args:
            vectors: (N, D), finite.
            rows: (N,) the row of each image in ``vectors``.
            rooted: whether rows hold distances; otherwise their squares, which rank alike.
        """
        n, d = vectors.shape
        self._vectors, self._rows, self._rooted = vectors, rows, rooted
        self._images = np.arange(n)
        self._count = n
        self._companions: list[NDArray[np.generic]] = [self._images]
        self._closed: list[int] = []
        self._table = np.empty((n, d))
        self._fill_table()
        self._direct = False
        exact = _products_are_exact(self._table)
        if not exact:
            # Distances stay what they are, and the products lose fewer digits.
            self._table -= self._table.mean(axis=0)
        self._squares: Floats = np.einsum("ij,ij->i", self._table, self._table)
        self.radius = math.sqrt(self._squares.max()) if n else 0.0
        # With unit u and norms up to R: the products and their sum are off by (D+3)u(2R)^2 at most
        # (Higham 2002, section 3.1, for any order of summation), the centred vectors by 2u(2R)^2,
        # SciPy's squared distance by (D+5)u(2R)^2. Rounded up to 2(D+8)u(2R)^2.
        self.bound = 0.0 if exact else 8 * (d + 8) * UNIT * self.radius**2
        self._companions += [self._table, self._squares]
        self._cache = np.empty((max(1, min(n, _CACHE_BYTES // (8 * max(n, 1)))), n))
        self._free = list(range(len(self._cache)))[::-1]
        self._slot = np.full(n, -1)
        self._block = min(64, len(self._cache))
        self._products = np.empty(0)
        self._labels: Indices | None = None

    @property
    def images(self) -> Indices:
        """(columns,) the image of each column, closed ones included until their columns go."""
        return self._images[: self._count]

    @property
    def closed(self) -> list[int]:
        """The columns of closed images."""
        return self._closed

    def accompany(self, values: Floats) -> None:
        """Lets (N,) ``values`` follow the images when these change columns."""
        self._companions.append(values)

    def close(self, column: int, preference: Callable[[], Floats]) -> tuple[int, Floats]:
        """Closes the image of a column.

        Args:
            column: of the image.
            preference: gives (columns,) how soon each open image may follow, the largest first;
                closed ones have -inf.

        Returns:
            The column that the image has now, and (columns,) the distances from it. The array is
            the caller's to change until the next call. Entries of closed images mean nothing.
        """
        image = self._images[column]
        if self._slot[image] < 0:
            self._drop_closed()
            column = int(np.flatnonzero(self.images == image)[0])
            self._compute(column, preference())
        slot = int(self._slot[image])
        self._slot[image] = -1
        self._free.append(slot)
        self._closed.append(column)
        return column, self._cache[slot, : self._count]

    def be_direct(self) -> None:
        """From here on rows hold exactly the distances that SciPy gives; slow, but not doubtful."""
        self._drop_closed()
        self._direct, self.bound = True, 0.0
        self._fill_table()
        self._slot.fill(-1)
        self._free = list(range(len(self._cache)))[::-1]

    def exact(self, images: Indices, members: Indices) -> Iterator[tuple[slice, Floats]]:
        """SciPy's distances, part by part: a slice of ``images`` (n,), and theirs to some members.

        The members of a slice come in the order of ``members`` (m,).
        """
        for start in range(0, len(images), _ROWS):
            part = slice(start, start + _ROWS)
            ours = self._vectors[self._rows[images[part]]].astype(np.float64)
            for first in range(0, len(members), _ROWS):
                theirs = self._vectors[self._rows[members[first : first + _ROWS]]]
                yield part, cdist(ours, theirs.astype(np.float64))

    def labels(self, images: Indices) -> Indices:
        """(n,) numbers that are equal where the vectors of (n,) ``images`` are."""
        if self._labels is None:
            numbers: dict[bytes, int] = {}
            self._labels = np.empty(len(self._rows), dtype=np.intp)
            for image, row in enumerate(self._rows):
                vector = self._vectors[row] + np.float32(0)  # -0 becomes 0
                digest = hashlib.blake2b(vector.tobytes(), digest_size=16).digest()
                self._labels[image] = numbers.setdefault(digest, len(numbers))
        return self._labels[images]

    def _fill_table(self) -> None:
        for start in range(0, self._count, _ROWS):
            stop = min(start + _ROWS, self._count)
            self._table[start:stop] = self._vectors[self._rows[self._images[start:stop]]]

    def _drop_closed(self) -> None:
        """Moves images of the last columns into those of closed ones."""
        n_left = self._count - len(self._closed)
        closed = np.array(self._closed, dtype=np.intp)
        last = np.ones(len(closed), dtype=bool)
        last[closed[closed >= n_left] - n_left] = False
        sources, targets = np.flatnonzero(last) + n_left, closed[closed < n_left]
        for companion in self._companions:
            companion[targets] = companion[sources]
        self._count = n_left
        self._closed.clear()
        slots = self._slot[self.images]
        for slot in slots[slots >= 0]:
            row = self._cache[slot]
            row[targets] = row[sources]

    def _compute(self, column: int, preference: Floats) -> None:
        """Computes and holds the row of a column and of those that are preferred."""
        slots = self._slot[self.images]
        wanted = np.where(slots < 0, preference, -np.inf)
        wanted[column] = np.inf
        size = min(self._block, int(np.count_nonzero(slots < 0)))
        columns = np.argpartition(wanted, self._count - size)[self._count - size :]
        lacking = size - len(self._free)
        if lacking > 0:
            held = np.flatnonzero(slots >= 0)
            given_up = held[np.argpartition(preference[held], lacking - 1)[:lacking]]
            self._slot[self._images[given_up]] = -1
            self._free += slots[given_up].tolist()
        # Rows given up were computed in vain: the less is foreseen, the less is computed ahead.
        if lacking > size / 2:
            self._block = max(1, self._block // 2)
        elif lacking < size / 4:
            self._block = min(2 * self._block, _BLOCK, len(self._cache))
        for image, row in zip(self._images[columns], self._block_of_rows(columns), strict=True):
            slot = self._free.pop()
            self._slot[image] = slot
            self._cache[slot, : self._count] = row

    def _block_of_rows(self, columns: Indices) -> Floats:
        """(n, count): from each of (n,) ``columns`` to all."""
        table = self._table[: self._count]
        if self._direct:
            direct: Floats = cdist(table[columns], table)
            return direct
        if len(self._products) < len(columns) * self._count:
            self._products = np.empty(len(columns) * self._count)
        block = self._products[: len(columns) * self._count].reshape(len(columns), self._count)
        np.matmul(table[columns] * -2.0, table.T, out=block)
        block += self._squares[: self._count]
        block += self._squares[columns][:, None]
        if self._rooted:
            np.sqrt(np.maximum(block, 0.0, out=block), out=block)
        return block


def _products_are_exact(table: Floats) -> bool:
    """Whether |x|^2 + |y|^2 - 2xy is exact in float64 for all rows of ``table`` (N, D).

    It is where all numbers are integers up to K times one power of two and D(2K)^2 <= 2^50. Then
    different squares also have different roots. Counts, grids, pixels and one-hot vectors are of
    this kind, and have ties without end, which thus need no second look.
    """
    if not table.size:
        return True
    largest = max(float(table.max()), -float(table.min()))
    bits = (48 - math.ceil(math.log2(table.shape[1]))) // 2
    shift = bits - math.frexp(largest)[1]
    for start in range(0, len(table), _ROWS):
        integers = np.ldexp(table[start : start + _ROWS], shift)
        if not np.array_equal(integers, np.rint(integers)):
            return False
    return True
