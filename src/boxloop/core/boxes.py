"""Compute IoU and match boxes one to one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxloop.core.types import Boxes, Floats


def iou_matrix(a: Floats, b: Floats) -> Floats:
    """Return the intersection over union (n, m) of all pairs of boxes (n, 4) and (m, 4).

    It lies in [0, 1]; boxes that only touch get 0.
    """
    top_left = np.maximum(a[:, None, :2], b[None, :, :2])
    bottom_right = np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = np.prod(np.clip(bottom_right - top_left, 0, None), axis=2)
    union = area(a)[:, None] + area(b)[None, :] - intersection
    return np.asarray(intersection / union)


def paired_iou(a: Floats, b: Floats) -> Floats:
    """Return (n,) the intersection over union of each box of (n, 4) with that of its row in b.

    To the last digit what :func:`iou_matrix` gives for that pair.
    """
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    intersection = np.prod(np.clip(sides, 0, None), axis=1)
    return np.asarray(intersection / (area(a) + area(b) - intersection))


def area(boxes: Floats) -> Floats:
    """Return (n,) the areas of boxes (n, 4)."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def match(
    iou: Floats, allowed: NDArray[np.bool_] | np.bool_, minimum: float
) -> list[tuple[int, int]]:
    """Match rows with columns one to one, the highest IoU first.

    Args:
        iou: (n, m) of :func:`iou_matrix`, or what else is to rank the pairs.
        allowed: (n, m) whether a pair may be matched, or ``np.True_`` for all.
        minimum: IoU that a pair must reach or exceed.

    Returns:
        (row, column) pairs in the order of matching. Of equal IoUs the lower row, then the lower
        column comes first, so the result is the same on every machine.
    """
    free_rows, free_columns = np.ones(iou.shape[0], bool), np.ones(iou.shape[1], bool)
    pairs = []
    for row, column in candidates(iou, allowed, minimum):
        if free_rows[row] and free_columns[column]:
            free_rows[row] = free_columns[column] = False
            pairs.append((row, column))
    return pairs


def candidates(
    iou: Floats, allowed: NDArray[np.bool_] | np.bool_, minimum: float
) -> list[tuple[int, int]]:
    """Return the (row, column) pairs that :func:`match` goes through, in its order.

    A subset of the rows has the same order among its own pairs.
    """
    rows, columns = np.nonzero(allowed & (iou >= minimum))
    order = np.lexsort((columns, rows, -iou[rows, columns]))
    return list(zip(rows[order].tolist(), columns[order].tolist(), strict=True))


def join(a: Boxes, b: Boxes) -> Boxes:
    """Return the boxes of two sets of one image, which are both scored, or neither.

    Raises:
        ValueError: an id is in both.
    """
    scores = [item.scores for item in (a, b) if item.scores is not None]
    return Boxes(
        np.concatenate([a.xyxy, b.xyxy]),
        np.concatenate([a.labels, b.labels]),
        np.concatenate([a.ids, b.ids]),
        np.concatenate(scores) if scores else None,
    )


def same_label(a: Boxes, b: Boxes) -> NDArray[np.bool_]:
    """Return (n, m) whether box i of ``a`` has the label of box j of ``b``."""
    return np.asarray(a.labels[:, None] == b.labels[None, :])
