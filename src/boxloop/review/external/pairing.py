"""Pair boxes from another tool with the proposals they were made from.

A tool that keeps ``boxloop_id`` names the proposal. Elsewhere geometry decides, the surest pairs
first: boxes in the same place, whatever their label, then those that the paper's count would pair.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from boxloop.core.boxes import join, paired_iou
from boxloop.core.types import Boxes
from boxloop.core.workload import pair
from boxloop.review.validation import SAME_IOU

_NEAR_IOU = 0.5

_DECIMALS = (0.05, 0.05, 0.05, 0.05)
_WHOLE_PIXELS = (1.0, 1.0, 2.0, 2.0)

Edges = tuple[float, float, float, float]


def rounding_tolerance(shown: Iterable[Boxes], final: Iterable[Boxes]) -> Edges:
    """Return how far a tool may have rounded each edge, in pixels.

    CVAT writes two decimals. Older versions of Label Studio cut x, y, width and height down to
    whole pixels each, so that the far edges may lose two. It takes all boxes of the file to tell.
    """
    return _WHOLE_PIXELS if _whole(final) and not _whole(shown) else _DECIMALS


def _whole(table: Iterable[Boxes]) -> bool:
    return all(bool((boxes.xyxy == np.rint(boxes.xyxy)).all()) for boxes in table)


def pair_by_id(shown: Boxes, final: Boxes, said: Sequence[str | None]) -> dict[int, int]:
    """Pair the boxes that name a proposal with it, one to one.

    ``said`` holds the id of a proposal, or None, for each final box. Where a box was copied in the
    tool, its attributes were copied along: of several boxes that name the same proposal, the one
    with the highest IoU gets it.

    Returns:
        Indices of proposals by indices of boxes.
    """
    place: dict[str | None, int] = {name: row for row, name in enumerate(shown.ids.tolist())}
    columns = [column for column, name in enumerate(said) if name in place]
    rows = [place[said[column]] for column in columns]
    iou = paired_iou(shown.xyxy[rows], final.xyxy[columns]).tolist()
    best: dict[int, tuple[int, float]] = {}
    for row, column, overlap in zip(rows, columns, iou, strict=True):
        if row not in best or overlap > best[row][1]:
            best[row] = column, overlap
    return {column: row for row, (column, _) in best.items()}


def pair_by_place(shown: Boxes, final: Boxes) -> dict[int, int]:
    """Pair boxes with proposals by geometry, one to one, as :func:`pair_by_id` does."""
    found: dict[int, int] = {}
    kept, relabeled, _ = pair(shown, final, SAME_IOU)
    found |= {column: row for row, column in kept + relabeled}
    rows = _others(len(shown), found.values())
    columns = _others(len(final), found)
    for pairs in pair(shown.select(rows), final.select(columns), _NEAR_IOU):
        found |= {int(columns[column]): int(rows[row]) for row, column in pairs}
    return found


def pair_again(labels: Boxes, shown: Boxes, final: Boxes) -> tuple[Boxes, dict[int, int]]:
    """Pair boxes by geometry with the labels that an image had, the rest with its proposals.

    A label keeps its identity, whichever proposal lies beside it, as in a session that opens the
    image again: labels that come back as they were cost what they did.

    Returns:
        The labels and the proposals that none of them was made from, and pairs of these with the
        boxes, as :func:`pair_by_id` has them.
    """
    rest = shown.select(~np.isin(shown.ids, labels.ids))
    found = pair_by_place(labels, final)
    columns = _others(len(final), found)
    for column, row in pair_by_place(rest, final.select(columns)).items():
        found[int(columns[column])] = len(labels) + row
    return join(labels, replace(rest, scores=None)), found


def assign_ids(
    origins: Boxes,
    final: Boxes,
    pairs: Mapping[int, int],
    *,
    taken: Collection[str],
    tolerance: Edges,
) -> Boxes:
    """Give boxes the ids of the proposals, or earlier labels, that they were made from.

    A box that differs from its origin by no more than the tool's rounding was not moved: it is
    put back to where that was.

    Args:
        origins: proposals of one image, and labels that it had.
        final: its boxes; their ids are not used.
        pairs: indices of origins by indices of boxes, one to one.
        taken: ids of the image's labels and of all its proposals, shown or not; no drawn box gets
            one.
        tolerance: of :func:`rounding_tolerance`.
    """
    fresh = (name for i in count() if (name := f"i{i}") not in taken)
    ids, xyxy = [], final.xyxy.copy()
    for column in range(len(final)):
        row = pairs.get(column)
        ids.append(next(fresh) if row is None else str(origins.ids[row]))
        if row is not None and (np.abs(origins.xyxy[row] - xyxy[column]) <= tolerance).all():
            xyxy[column] = origins.xyxy[row]
    return Boxes(xyxy, final.labels, np.array(ids, dtype=np.str_))


def _others(length: int, used: Collection[int]) -> NDArray[np.intp]:
    return np.array([i for i in range(length) if i not in used], dtype=np.intp)
