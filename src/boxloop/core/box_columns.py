"""Build the boxes of many images at once, from columns that hold those of all.

A box of its own is validated on construction; that costs more than reading it where there are
hundreds of thousands. Here all are validated together.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxloop.core.types import Boxes, Floats, Strings

_WIDEST = 64
"""Characters of the longest string of a large array, in which all take the room of the longest."""


def split_boxes(
    image_ids: Sequence[str],
    counts: Sequence[int],
    xyxy: Floats,
    labels: Sequence[str] | Strings,
    ids: Sequence[str] | Strings | None = None,
    scores: Floats | None = None,
) -> dict[str, Boxes]:
    """Split the boxes of all images into those of each.

    Args:
        image_ids: K different ids.
        counts: K numbers of boxes, which sum up to n.
        xyxy: (n, 4) pixels, image after image.
        labels: (n,) class names.
        ids: (n,) ids of the boxes; t0, t1, ... in each image unless given.
        scores: (n,) scores; None for boxes of people.

    Returns:
        Boxes by image id, in the order of ``image_ids``, which share the memory of the columns.

    Raises:
        ValueError: a box cannot be; names its image.
    """
    xyxy = _frozen(np.asarray(xyxy, np.float64).reshape(-1, 4))
    labels = _strings(labels)
    ids = None if ids is None else _strings(ids)
    scores = None if scores is None else _frozen(np.asarray(scores, np.float64))
    sound = _are_sound(xyxy, scores)
    result, start = {}, 0
    for image_id, count in zip(image_ids, counts, strict=True):
        rows = slice(start, start + count)
        start += count
        own = _numbered(count) if ids is None else _frozen(np.asarray(ids[rows], np.str_))
        names = _frozen(np.asarray(labels[rows], np.str_))
        offered = None if scores is None else scores[rows]
        if sound and (ids is None or len(set(own.tolist())) == count):
            boxes = object.__new__(Boxes)
            vars(boxes).update(xyxy=xyxy[rows], labels=names, ids=own, scores=offered)
        else:
            try:
                boxes = Boxes(xyxy[rows], names, own, offered)
            except ValueError as error:
                raise ValueError(f"image {image_id}: {error}") from None
        result[image_id] = boxes
    return result


def _strings(values: Sequence[str] | Strings) -> Sequence[str] | Strings:
    """Return all strings as one array; as they are where a long one would make it large."""
    if isinstance(values, np.ndarray) or max(map(len, values), default=0) > _WIDEST:
        return values
    return np.array(values, np.str_)


def _frozen(column: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view, so that boxes are as good as frozen."""
    view = column.view()
    view.setflags(write=False)
    return view


def _are_sound(xyxy: Floats, scores: Floats | None) -> bool:
    """Tell whether all boxes can be, their ids aside."""
    sound = np.isfinite(xyxy).all() and (xyxy[:, 2:] > xyxy[:, :2]).all()
    return bool(sound and (scores is None or ((scores >= 0) & (scores <= 1)).all()))


@cache
def _numbered(count: int) -> NDArray[np.str_]:
    """Return (count,) the ids t0, t1, ..., which all images with that many boxes share."""
    ids = np.array([f"t{i}" for i in range(count)], np.str_)
    ids.setflags(write=False)
    return ids
