"""Make the boxes of many images together, which is a tenth of the work of making each by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxloop.core.types import Boxes

_WIDEST = 64
"""Characters of the longest string of a large array, in which all take the room of the longest."""


def split_boxes(
    counts: Sequence[int],
    xyxy: NDArray[Any],
    labels: Sequence[str],
    ids: Sequence[str],
    scores: NDArray[Any] | None = None,
) -> list[Boxes]:
    """Make the boxes of several images from all of their rows, one image after the other.

    What :class:`~boxloop.core.types.Boxes` checks is checked for all of them at once. They are
    views of arrays in common, so that one of them keeps the memory of all.

    Args:
        counts: of the rows of each image; they sum up to n.
        xyxy: (n, 4) numbers, pixels.
        labels: n class names.
        ids: n strings, unique within each image.
        scores: (n,) numbers in [0, 1] for a detector's boxes, None for a person's.

    Returns:
        One for each of ``counts``.

    Raises:
        ValueError: a box that cannot be, of whichever image.
    """
    n = sum(counts)
    if not n == len(xyxy) == len(labels) == len(ids):
        raise ValueError(f"{n} boxes need as many coordinates, labels and ids")
    ends = np.cumsum(counts, dtype=np.intp).tolist()
    parts = [slice(end - count, end) for count, end in zip(counts, ends, strict=True)]
    for count, part in zip(counts, parts, strict=True):
        if count > 1 and len(set(ids[part])) < count:
            raise ValueError("ids must be unique within an image")
    # With ids of its own, which are unique in the whole.
    whole = Boxes(xyxy, np.zeros(n, np.str_), np.arange(n).astype(np.str_), scores)
    names, own_ids = _strings(labels), _strings(ids)
    result = []
    for part in parts:
        boxes = object.__new__(Boxes)
        vars(boxes).update(
            xyxy=whole.xyxy[part],
            labels=_array(labels[part]) if names is None else names[part],
            ids=_array(ids[part]) if own_ids is None else own_ids[part],
            scores=None if whole.scores is None else whole.scores[part],
        )
        result.append(boxes)
    return result


def _strings(values: Sequence[str]) -> NDArray[np.str_] | None:
    """Return all strings as one array; None where a long one would make it large."""
    return _array(values) if max(map(len, values), default=0) <= _WIDEST else None


def _array(values: Sequence[str]) -> NDArray[np.str_]:
    result = np.array(values, dtype=np.str_)
    result.setflags(write=False)
    return result
