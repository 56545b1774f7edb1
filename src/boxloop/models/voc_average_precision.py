"""Average precision as the PASCAL VOC challenges define it, at IoU 0.5.

Until 2009 it was the mean of the interpolated precision at eleven recalls (Everingham et al. 2010,
section 4.2), from 2010 on the area below the interpolated curve (VOC2012 devkit, section 3.4.1).
COCO's mean over ten IoUs comes from pycocotools (:mod:`boxloop.models.average_precision`).

One thing differs from the challenges: boxloop keeps no "difficult" flag, so difficult objects count
as all others do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from boxloop.core.boxes import iou_matrix
from boxloop.core.types import BoxesByImage, Floats

IOU = 0.5
"""IoU from which a detection counts as right."""


def voc_average_precision(found: BoxesByImage, truth: BoxesByImage) -> dict[str, float]:
    """Means over the classes that occur in ``truth``.

    Args:
        found: scored boxes by image id; images outside ``truth`` are left out.
        truth: the boxes to find.

    Returns:
        "voc07_map" (eleven points) and "voc_map" (all points), in [0, 1]; empty where ``truth``
        holds no box.
    """
    labels = sorted({str(label) for boxes in truth.values() for label in boxes.labels})
    if not labels:
        return {}
    curves = [precision_recall(found, truth, label) for label in labels]
    return {
        "voc07_map": float(np.mean([eleven_points(*curve) for curve in curves])),
        "voc_map": float(np.mean([all_points(*curve) for curve in curves])),
    }


def precision_recall(found: BoxesByImage, truth: BoxesByImage, label: str) -> tuple[Floats, Floats]:
    """Precision and recall of one class after each of its detections, the best score first.

    A detection is right when the object that it overlaps most (of its class, in its image) reaches
    the IoU and no detection of a better score took it; it never falls back on another object.

    Returns:
        (n,) precision and (n,) recall.
    """
    scores: list[float] = []
    best: list[tuple[str, int] | None] = []
    objects = 0
    for image_id, boxes in truth.items():
        wanted = boxes.select(boxes.labels == label)
        objects += len(wanted)
        offered = found.get(image_id)
        if offered is None or offered.scores is None:
            continue
        mine = offered.select(offered.labels == label)
        overlaps = iou_matrix(mine.xyxy, wanted.xyxy)
        scores += [] if mine.scores is None else mine.scores.tolist()
        for row in overlaps:
            reached = bool(len(row)) and float(row.max()) >= IOU
            best.append((image_id, int(row.argmax())) if reached else None)
    taken: set[tuple[str, int]] = set()
    right = np.zeros(len(scores), dtype=bool)
    for place, i in enumerate(np.argsort(-np.array(scores), kind="stable")):
        target = best[i]
        if target is not None and target not in taken:
            taken.add(target)
            right[place] = True
    hits = np.cumsum(right, dtype=np.float64)
    ranks: NDArray[np.float64] = np.arange(1, len(scores) + 1, dtype=np.float64)
    return hits / ranks, hits / max(objects, 1)


def eleven_points(precision: Floats, recall: Floats) -> float:
    """Mean over the recalls 0, 0.1, ..., 1 of the best precision at that recall or a higher one."""
    # As tenths, so that a recall of exactly 3/10 reaches 0.3.
    best = [precision[recall * 10 >= tenth - 1e-9].max(initial=0.0) for tenth in range(11)]
    return float(np.mean(best))


def all_points(precision: Floats, recall: Floats) -> float:
    """Area below the curve of the best precision at each recall or a higher one."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
