"""The vectors by which images are ordered; offered by :mod:`boxloop.core.types` with the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boxloop.core.box_set import require as _require


@dataclass(frozen=True)
class FeatureTable:
    """One feature vector per image.

    Attributes:
        image_ids: N ids, in the image set's (temporal) order.
        vectors: (N, D) float32, finite.
    """

    image_ids: tuple[str, ...]
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        n = len(self.image_ids)
        _require(
            self.vectors.ndim == 2 and len(self.vectors) == n,
            f"vectors must be ({n}, D), got {self.vectors.shape}",
        )
        _require(len(set(self.image_ids)) == n, "image ids must be unique")
        # Of a part at a time: the answers for a million vectors are half a gigabyte.
        parts = (self.vectors[start : start + 10_000] for start in range(0, n, 10_000))
        _require(all(np.isfinite(p).all() for p in parts), "feature vectors must be finite")

    def subset(self, image_ids: Sequence[str]) -> FeatureTable:
        """Select the vectors of some images, in the order of ``image_ids``.

        Raises:
            ValueError: an image has no vector.
        """
        rows = {image_id: row for row, image_id in enumerate(self.image_ids)}
        for image_id in image_ids:
            _require(image_id in rows, f"image {image_id} has no feature vector")
        return FeatureTable(tuple(image_ids), self.vectors[[rows[i] for i in image_ids]])

    @classmethod
    def without_vectors(cls, image_ids: Sequence[str]) -> FeatureTable:
        """Make a table for the orderings that need no features: vectors of length 0."""
        return cls(tuple(image_ids), np.zeros((len(image_ids), 0), dtype=np.float32))
