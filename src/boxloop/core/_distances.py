"""Euclidean distances between images: exact ones, and fast bounds on them.

The exact distances are SciPy's ``cdist`` in float64; they decide every order. As
|x|^2 + |y|^2 - 2xy, many distances cost one matrix product and are 10 to 100 times faster, but
inaccurate where x and y are close. So products only give bounds on what ``cdist`` computes.

Memory: the table of vectors, 4ND or 8ND bytes, and one block of at most ``_BLOCK_BYTES``.
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

_BLOCK_BYTES = 2**28
_ROWS = 2048
"""Vectors that are converted, or compared exactly, at a time."""

_CPU_CACHED = 64
"""Vectors that fit in the processor's cache while the table is filled."""


class FeatureVectors:
    """The feature vectors by image (N = ``count``, D = ``dimensions``), and exact distances."""

    def __init__(self, vectors: NDArray[np.float32], rows: Indices) -> None:
        """Wrap (N, D) finite ``vectors`` and the row of each image (N,), without a copy."""
        self._vectors, self._rows = vectors, rows
        self.count, self.dimensions = vectors.shape
        self._groups: Indices | None = None

    def of(self, images: Indices) -> Floats:
        """Return (n, D) the vectors of (n,) ``images``."""
        return self._vectors[self._rows[images]].astype(np.float64)

    def exact(self, images: Indices, others: Indices) -> Floats:
        """Return (n, m) SciPy's float64 distances of (n,) ``images`` to (m,) ``others``."""
        vectors = self.of(images)
        if len(others) <= _ROWS:
            return np.asarray(cdist(vectors, self.of(others)))
        result = np.empty((len(images), len(others)))
        for start in range(0, len(others), _ROWS):
            part = slice(start, start + _ROWS)
            result[:, part] = cdist(vectors, self.of(others[part]))
        return result

    def groups(self, images: Indices) -> Indices:
        """Return (n,) numbers that are equal where the vectors of (n,) ``images`` are equal."""
        if self._groups is None:
            numbers: dict[bytes, int] = {}
            self._groups = np.empty(self.count, dtype=np.intp)
            for image, row in enumerate(self._rows):
                vector = self._vectors[row] + np.float32(0)  # -0 becomes 0
                digest = hashlib.blake2b(vector.tobytes(), digest_size=16).digest()
                self._groups[image] = numbers.setdefault(digest, len(numbers))
        return self._groups[images]

    def centre(self) -> Floats:
        """Return (D,) about the mean, rounded to float32, so that equal vectors become zero."""
        sample = self._vectors[:: max(1, self.count // _ROWS)]
        mean = sample.mean(axis=0, dtype=np.float64)
        return np.asarray(np.float32(mean), dtype=np.float64)

    def largest(self) -> float:
        """Return the largest absolute number."""
        return _largest(self._vectors)

    def integer_exponent(self, bits: int) -> int | None:
        """Return the power of two that makes integers of all numbers.

        Counts, grids, pixels and one-hot vectors have one, and many ties.

        Returns:
            None if there is none for which D(2K)^2 <= 2^bits, K being the largest integer.
        """
        room = (bits - 2 - math.ceil(math.log2(max(self.dimensions, 1)))) // 2
        exponent = 0
        for part in (self._vectors[:1], self._vectors):  # the first row rules out most tables
            exponent = room - math.frexp(_largest(part))[1]
            for start in range(0, len(part), _ROWS):
                integers = np.ldexp(part[start : start + _ROWS].astype(np.float64), exponent)
                if not np.array_equal(integers, np.rint(integers)):
                    return None
        return exponent


def _largest(vectors: NDArray[np.float32]) -> float:
    return max(float(vectors.max(initial=0)), -float(vectors.min(initial=0)))


class CandidateTable:
    """Bounds on the distances between candidates, the images that are not selected yet.

    Attributes:
        scale: bounds are squared distances times the square of this power of two.
        relative: how far a product may be from the scaled square of SciPy's distance of x and y,
            relative to (|x| + |y|)^2 around the table's centre. With 0 products are exact, and
            different ones have different roots.
        radius: the largest norm around the centre; no distance exceeds twice this.
        is_candidate: (N,) whether each image is a candidate.
    """

    def __init__(self, vectors: FeatureVectors, dtype: DTypeLike) -> None:
        """Make candidates of all images. Products are computed in ``dtype``, float32 or float64."""
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
        self.scale = 2.0 ** min(max(exponent, -126), 120)  # a normal float32
        self._table: NDArray[Any] = np.empty((n, d), dtype)
        self._squares = np.empty(n, dtype)
        for start in range(0, n, _CPU_CACHED):
            images = np.arange(start, min(start + _CPU_CACHED, n))
            part = self._table[images[0] : images[-1] + 1]
            part[:] = vectors.of(images)
            part *= self.scale
            part -= centre * self.scale
            np.einsum("ij,ij->i", part, part, out=self._squares[images[0] : images[-1] + 1])
        self.radius = math.sqrt(self._squares.max(initial=0.0)) / self.scale
        self.is_candidate = np.ones(n, dtype=bool)
        self._images = np.arange(n)
        self._columns = np.arange(n)
        self._removed: list[int] = []
        self._block: NDArray[Any] = np.empty(0, dtype)

    def remove(self, image: int) -> None:
        """Make an image no candidate; the table shrinks when it is used next."""
        self.is_candidate[image] = False
        self._removed.append(image)

    def candidates(self) -> Indices:
        """Return (n,) the candidates, in the order of the columns of ``squared_distances``."""
        n_left = len(self._images) - len(self._removed)
        if self._removed:
            # Candidates of the last columns take the columns of removed images.
            columns = self._columns[self._removed]
            targets = columns[columns < n_left]
            moved = self._images[n_left:]
            moved = moved[self.is_candidate[moved]]
            sources = self._columns[moved]
            for start in range(0, len(targets), _ROWS):
                part = slice(start, start + _ROWS)
                self._table[targets[part]] = self._table[sources[part]]
            self._squares[targets] = self._squares[sources]
            self._images[targets] = moved
            self._columns[moved] = targets
            self._images = self._images[:n_left]
            self._removed.clear()
        return self._images

    def columns(self, images: Indices) -> Indices:
        """Return (n,) the columns of the candidates ``images`` (n,)."""
        return self._columns[images]

    def max_rows(self) -> int:
        """Return how many rows of ``squared_distances`` fit in a block."""
        n = max(1, len(self._images))
        return max(1, _BLOCK_BYTES // (self._table.itemsize * n))

    def squared_distances(self, images: Indices, margin: int) -> NDArray[Any]:
        """Return scaled squared distances of ``images`` (n,) to all candidates.

        Args:
            images: candidates.
            margin: -1 for lower bounds on SciPy's, 1 for upper bounds, 0 for what lies between.

        Returns:
            (n, candidates), columns as in ``candidates()``. The next call overwrites it.
        """
        n = len(self.candidates())
        table, columns = self._table[:n], self._columns[images]
        if len(self._block) < len(images) * n:
            self._block = np.empty(len(images) * n, self._table.dtype)
        block = self._block[: len(images) * n].reshape(len(images), n)
        if np.array_equal(columns, np.arange(n)):
            # NumPy computes only half of a symmetric product.
            np.matmul(table, table.T, out=block)
            block *= -2
        else:
            np.matmul(table[columns] * table.dtype.type(-2), table.T, out=block)
        # (|x| + |y|)^2 <= 2|x|^2 + 2|y|^2, so that the margin costs nothing.
        squares = self._squares[:n] * table.dtype.type(1 + 2 * margin * self.relative)
        block += squares
        block += squares[columns, None]
        return block
