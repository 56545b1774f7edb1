"""Euclidean distances between images: the ones that decide, and fast limits for them.

What decides is SciPy's ``cdist`` in float64. As |x|^2 + |y|^2 - 2xy many distances cost one matrix
product, at ten to a hundred times that speed, but lose digits where x and y are close together. So
products only tell what ``cdist`` is certain to keep within, and the rest is left to ``cdist``.

Memory: the table of the products, 4ND or 8ND bytes, and one block of at most ``_PRODUCT_BYTES``.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.spatial.distance import cdist

from boxloop.core.types import Floats

Indices = NDArray[np.intp]

_PRODUCT_BYTES = 2**28
_ROWS = 2048
"""Vectors that are converted, or compared directly, at a time."""

_CACHED = 64
"""Vectors that stay in the processor's cache while the table is made."""


class Vectors:
    """The features by image, and the distances that decide.

    Attributes:
        count: N.
        dimensions: D.
    """

    def __init__(self, vectors: NDArray[np.float32], rows: Indices) -> None:
        """Takes (N, D) finite ``vectors`` and the row of each image (N,)."""
        self._vectors, self._rows = vectors, rows
        self.count, self.dimensions = vectors.shape
        self._labels: Indices | None = None

    def of(self, images: Indices) -> Floats:
        """(n, D) the vectors of (n,) ``images``."""
        return self._vectors[self._rows[images]].astype(np.float64)

    def put(self, images: Indices, out: NDArray[Any]) -> None:
        """Writes the vectors of (n,) ``images`` to (n, D) ``out``."""
        out[:] = self._vectors[self._rows[images]]

    def exact(self, images: Indices, others: Indices) -> Floats:
        """(n, m) SciPy's float64 distances of (n,) ``images`` to (m,) ``others``."""
        ours = self.of(images)
        if len(others) <= _ROWS:
            return np.asarray(cdist(ours, self.of(others)))
        result = np.empty((len(images), len(others)))
        for start in range(0, len(others), _ROWS):
            part = slice(start, start + _ROWS)
            result[:, part] = cdist(ours, self.of(others[part]))
        return result

    def labels(self, images: Indices) -> Indices:
        """(n,) numbers that are equal where the vectors of (n,) ``images`` are."""
        if self._labels is None:
            numbers: dict[bytes, int] = {}
            self._labels = np.empty(self.count, dtype=np.intp)
            for image, row in enumerate(self._rows):
                vector = self._vectors[row] + np.float32(0)  # -0 becomes 0
                digest = hashlib.blake2b(vector.tobytes(), digest_size=16).digest()
                self._labels[image] = numbers.setdefault(digest, len(numbers))
        return self._labels[images]

    def centre(self) -> Floats:
        """(D,) about the mean, in numbers of float32: equal vectors become zero around it."""
        sample = self._vectors[:: max(1, self.count // _ROWS)]
        mean = sample.mean(axis=0, dtype=np.float64)
        return np.asarray(np.float32(mean), dtype=np.float64)

    def largest(self) -> float:
        """The largest absolute number."""
        return _largest(self._vectors)

    def integer_exponent(self, bits: int) -> int | None:
        """The power of two that makes integers of all numbers.

        None if there is none for which D(2K)^2 <= 2^bits, K being the largest integer. Counts,
        grids, pixels and one-hot vectors have one, and ties without end.
        """
        room = (bits - 2 - math.ceil(math.log2(max(self.dimensions, 1)))) // 2
        exponent = 0
        for part in (self._vectors[:1], self._vectors):  # the first row refuses most tables
            exponent = room - math.frexp(_largest(part))[1]
            for start in range(0, len(part), _ROWS):
                integers = np.ldexp(part[start : start + _ROWS].astype(np.float64), exponent)
                if not np.array_equal(integers, np.rint(integers)):
                    return None
        return exponent


def _largest(vectors: NDArray[np.float32]) -> float:
    return max(float(vectors.max(initial=0)), -float(vectors.min(initial=0)))


class OpenTable:
    """Products between images that are still open; closed ones leave the table now and then.

    Attributes:
        scale: all products are squared distances times the square of this power of two.
        relative: how far a product may be from the scaled square of SciPy's distance of x and y,
            relative to (|x| + |y|)^2 around the table's centre. With 0 products are exact, and
            different ones have different roots.
        radius: the largest norm around the centre; no distance is above twice this.
    """

    def __init__(self, vectors: Vectors, dtype: DTypeLike) -> None:
        """Opens all images. The products are made in ``dtype``, float32 or float64."""
        n, d = vectors.count, vectors.dimensions
        kind = np.finfo(dtype)
        # Exact sums stay below 2^(digits - 3): then roots that differ in theory differ in float64.
        exponent = vectors.integer_exponent(kind.nmant + 1 - 3)
        if exponent is not None:
            self.relative, centre = 0.0, np.zeros(d)
        else:
            # In units of dtype and of (|x| + |y|)^2: stored vectors are off by 2, products and sums
            # by D + 3 in any order of summation (Higham 2002, section 3.1), the margins by a few;
            # in units of float64 SciPy's square is off by D + 5.
            lost = (d + 16) * float(kind.eps) / 2
            self.relative = lost / (1 - lost) + (d + 8) * 2.0**-53
            centre = vectors.centre()
            exponent = -math.frexp(2 * vectors.largest() * math.sqrt(d))[1]  # no square overflows
        self.scale = 2.0 ** min(max(exponent, -126), 120)  # a factor that float32 knows
        self._table: NDArray[Any] = np.empty((n, d), dtype)
        self._squares = np.empty(n, dtype)
        for start in range(0, n, _CACHED):
            images = np.arange(start, min(start + _CACHED, n))
            part = self._table[images[0] : images[-1] + 1]
            vectors.put(images, part)
            part *= self.scale
            part -= centre * self.scale
            np.einsum("ij,ij->i", part, part, out=self._squares[images[0] : images[-1] + 1])
        self.radius = math.sqrt(self._squares.max(initial=0.0)) / self.scale
        self.is_open = np.ones(n, dtype=bool)
        self._images = np.arange(n)
        self._columns = np.arange(n)
        self._closed: list[int] = []
        self._block: NDArray[Any] = np.empty(0, dtype)

    def close(self, image: int) -> None:
        """Takes an image from what the next products are made with."""
        self.is_open[image] = False
        self._closed.append(image)

    def open_images(self) -> Indices:
        """(n,) the images that are open; as the columns of products until the next is closed."""
        n_left = len(self._images) - len(self._closed)
        if self._closed:
            # Those in the last columns take the columns of closed ones.
            columns = self._columns[self._closed]
            targets = columns[columns < n_left]
            moved = self._images[n_left:]
            moved = moved[self.is_open[moved]]
            sources = self._columns[moved]
            for start in range(0, len(targets), _ROWS):
                part = slice(start, start + _ROWS)
                self._table[targets[part]] = self._table[sources[part]]
            self._squares[targets] = self._squares[sources]
            self._images[targets] = moved
            self._columns[moved] = targets
            self._images = self._images[:n_left]
            self._closed.clear()
        return self._images

    def columns(self, images: Indices) -> Indices:
        """(n,) the columns of open ``images`` (n,), as ``open_images()`` left them."""
        return self._columns[images]

    def most_rows(self) -> int:
        """Of one block of products."""
        n = max(1, len(self._images))
        return max(1, _PRODUCT_BYTES // (self._table.itemsize * n))

    def products(self, images: Indices, margin: int) -> NDArray[Any]:
        """Scaled squared distances of ``images`` (n,) to all open ones.

        Args:
            images: open ones.
            margin: -1 for lower limits of SciPy's, 1 for upper limits, 0 for what lies between.

        Returns:
            (n, open), columns as in ``open_images()``; to be changed at will, until the next call.
        """
        n = len(self.open_images())
        table, columns = self._table[:n], self._columns[images]
        if len(self._block) < len(images) * n:
            self._block = np.empty(len(images) * n, self._table.dtype)
        block = self._block[: len(images) * n].reshape(len(images), n)
        if np.array_equal(columns, np.arange(n)):
            # NumPy makes only half of a symmetric product.
            np.matmul(table, table.T, out=block)
            block *= -2
        else:
            np.matmul(table[columns] * table.dtype.type(-2), table.T, out=block)
        # (|x| + |y|)^2 <= 2|x|^2 + 2|y|^2, so that the margin costs nothing.
        squares = self._squares[:n] * table.dtype.type(1 + 2 * margin * self.relative)
        block += squares
        block += squares[columns, None]
        return block
