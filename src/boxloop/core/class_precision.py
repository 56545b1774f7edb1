"""COCO's average precision of each class at IoU 0.5, in numpy alone.

The whole mAP is computed by faster-coco-eval where a batch is accounted. Here only one IoU is
needed, wherever a class is looked at: in ``boxloop status``, the report and MLflow. The mean over
the classes is the batch's "map_50".
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np

from boxloop.core.boxes import iou_matrix
from boxloop.core.types import Boxes, BoxesByImage, Floats

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
    objects: dict[str, int] = defaultdict(int)
    scores: dict[str, list[float]] = defaultdict(list)
    right: dict[str, list[bool]] = defaultdict(list)
    for image_id, boxes in final.items():
        names = boxes.labels.tolist()
        for name in names:
            objects[name] += 1
        offered = proposals.get(image_id)
        if offered is None or offered.scores is None:
            continue
        for name in set(offered.labels.tolist()):
            own = offered.select(offered.labels == name)
            ranked = np.argsort(-_scores(own), kind="stable")[:_MOST]
            own = own.select(ranked)
            scores[name] += _scores(own).tolist()
            right[name] += _found(own, boxes.select(boxes.labels == name))
    return {
        name: _precision(np.array(scores[name]), np.array(right[name], bool), objects[name])
        for name in sorted(objects)
    }


def _scores(boxes: Boxes) -> Floats:
    return np.zeros(0) if boxes.scores is None else boxes.scores


def _found(offered: Boxes, wanted: Boxes) -> list[bool]:
    """Return whether each proposal, the best first, takes an object that no better one took."""
    iou = iou_matrix(offered.xyxy, wanted.xyxy)
    result, taken = [False] * len(offered), set[int]()
    for row in np.flatnonzero((iou >= _IOU).any(axis=1)).tolist():
        free = [column for column in range(len(wanted)) if column not in taken]
        # Of equal ones the last, as in pycocotools.
        best = max(free, key=lambda column: (iou[row, column], column), default=None)
        if best is not None and iou[row, best] >= _IOU:
            taken.add(best)
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
