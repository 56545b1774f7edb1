"""Read the boxes of a JSON file all at once, where every one of them is as it should be."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np

from boxloop.core.box_tables import split_boxes
from boxloop.core.types import Boxes


def boxes_of_rows(table: Any, *, scored: bool = False) -> dict[str, Boxes]:
    """Make boxes of ``{image_id: [box, ...]}`` as JSON has it, whatever it may be.

    Raises:
        ValueError: something in it is not as ``docs/formats.md`` says, or so uncommon that the
            careful reading of ``schemas.py`` has to look at it; not where, nor what.
    """
    if type(table) is not dict or not {list}.issuperset(map(type, table.values())):
        raise ValueError("no table of boxes")
    rows = list(chain.from_iterable(table.values()))
    columns = ("id", "label", "xyxy", "score") if scored else ("id", "label", "xyxy")
    try:
        if not {len(columns)}.issuperset(map(len, rows)):
            raise ValueError("a key too many or too few")
        ids, labels, corners, *scores = ([row[key] for row in rows] for key in columns)
        if not {str}.issuperset(map(type, chain(ids, labels))):
            raise ValueError("an id or a label that is no text")
        if not {4}.issuperset(map(len, corners)):
            raise ValueError("coordinates that are not four")
        xyxy = _numbers(list(chain.from_iterable(corners))).reshape(-1, 4)
        given = map(_numbers, scores)
    except (KeyError, TypeError):
        raise ValueError("a box that is none") from None
    counts = list(map(len, table.values()))
    return dict(zip(table, split_boxes(counts, xyxy, labels, ids, *given), strict=True))


def _numbers(values: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    if not {float, int}.issuperset(map(type, values)):
        raise ValueError("something that is no number")
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        raise ValueError("a whole number too large") from None
