"""COCO's average precision of each class at IoU 0.5, in numpy alone.

The whole mAP is computed by faster-coco-eval where a batch is accounted. Here only one IoU is
needed, wherever a class is looked at: in ``boxloop status``, the report and MLflow. The mean over
the classes is the batch's "map_50".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from boxloop.core.boxes import iou_matrix
from boxloop.core.types import Boxes, BoxesByImage, Floats, Strings

_IOU = 0.5
_MOST = 100
"""Proposals of a class in an image that count, those of the highest scores (COCO's maxDets)."""

_RECALLS = np.linspace(0, 1, 101)


def ap_50_by_class(proposals: BoxesByImage, final: BoxesByImage) -> dict[str, float]:
    """Compute the average precision at IoU 0.5 of each class that occurs in ``final``.

    Args:
        proposals: scored boxes by image id; images outside ``final`` are left out.
        final: the boxes to find, by image id.

    Returns:
        By class, in their order, in [0, 1].
    """
    objects = Counter[str]()
    labels: list[str] = []
    scores: list[float] = []
    right: list[bool] = []
    for image_id, boxes in final.items():
        objects.update(boxes.labels.tolist())
        offered = proposals.get(image_id)
        if offered is None or offered.scores is None:
            continue
        ranked = np.argsort(-offered.scores, kind="stable")
        names = offered.labels[ranked].tolist()
        if len(names) > _MOST:
            places = _first_of_each(names)
            ranked, names = ranked[places], [names[place] for place in places]
        labels += names
        scores += offered.scores[ranked].tolist()
        right += _found(offered.xyxy[ranked], offered.labels[ranked], boxes)
    by_class: dict[str, list[int]] = {name: [] for name in sorted(objects)}
    for place, name in enumerate(labels):
        if name in by_class:
            by_class[name].append(place)
    all_scores, all_right = np.array(scores), np.array(right, bool)
    return {
        name: _precision(all_scores[places], all_right[places], objects[name])
        for name, places in by_class.items()
    }


def _first_of_each(names: Sequence[str]) -> list[int]:
    """Return the places of the first ``_MOST`` of each name, in order."""
    seen, places = Counter[str](), []
    for place, name in enumerate(names):
        seen[name] += 1
        if seen[name] <= _MOST:
            places.append(place)
    return places


def _found(offered: Floats, labels: Strings, wanted: Boxes) -> list[bool]:
    """Return whether each proposal, the best first, takes an object that no better one took."""
    iou = iou_matrix(offered, wanted.xyxy)
    reached = (iou >= _IOU) & (labels[:, None] == wanted.labels[None, :])
    free: dict[int, list[int]] = {}
    for row, column in zip(*(places.tolist() for places in np.nonzero(reached)), strict=True):
        free.setdefault(row, []).append(column)
    result, taken = [False] * len(offered), set[int]()
    for row, columns in free.items():
        left = [column for column in columns if column not in taken]
        if left:
            # Of equal ones the last, as in pycocotools.
            taken.add(max(left, key=lambda column: (iou[row, column], column)))
            result[row] = True
    return result


def _precision(scores: Floats, right: np.ndarray[tuple[int], np.dtype[np.bool_]], n: int) -> float:
    """Return the mean of the interpolated precision at 101 recalls."""
    if not len(scores):
        return 0.0
    hits = np.cumsum(right[np.argsort(-scores, kind="stable")], dtype=np.float64)
    precision = hits / np.arange(1, len(hits) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(hits / n, _RECALLS, side="left")
    reached = places < len(envelope)
    return float(np.where(reached, envelope[np.minimum(places, len(envelope) - 1)], 0.0).mean())
