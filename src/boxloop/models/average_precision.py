"""Mean average precision of COCO and of PASCAL VOC.

COCO's is computed by faster-coco-eval, which gives the digits of pycocotools, the reference
implementation, in a fraction of its time. VOC's was the mean of the
interpolated precision at eleven recalls until 2009 (Everingham et al. 2010, section 4.2), and is
the area below the interpolated curve from 2010 on (VOC2012 devkit, section 3.4.1). One thing
differs from the challenges: boxloop keeps no "difficult" flag, so difficult objects count as all
others do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxloop.core.boxes import iou_matrix
from boxloop.core.types import BoxesByImage, Floats

VOC_IOU = 0.5
"""IoU from which a detection counts as right in PASCAL VOC."""


def average_precision(proposals: BoxesByImage, final: BoxesByImage) -> dict[str, float]:
    """Compute COCO's mean average precision (Lin et al. 2014).

    Args:
        proposals: scored boxes by image id.
        final: the boxes to find, by image id; images of ``proposals`` outside it are left out.

    Returns:
        "map" (mean over IoU 0.50, 0.55, ..., 0.95), "map_50" and "map_75", each in [0, 1], over
        the classes that occur in ``final``; empty where ``final`` holds no box.
    """
    curves = _curves(proposals, final)
    if curves is None:
        return {}
    _, precision = curves
    rows = {"map": precision, "map_50": precision[0], "map_75": precision[5]}
    # Flat, so that the sums are made in pycocotools' order.
    return {name: float(np.mean(row.ravel())) for name, row in rows.items()}


def average_precision_by_class(
    proposals: BoxesByImage, final: BoxesByImage
) -> dict[str, dict[str, float]]:
    """Compute COCO's average precision of each class that occurs in ``final``.

    Returns:
        By class, in their order: "ap" (mean over IoU 0.50 to 0.95) and "ap_50".
    """
    curves = _curves(proposals, final)
    if curves is None:
        return {}
    labels, precision = curves
    return {
        label: {"ap": float(precision[..., i].mean()), "ap_50": float(precision[0, :, i].mean())}
        for i, label in enumerate(labels)
    }


def _curves(
    proposals: BoxesByImage, final: BoxesByImage
) -> tuple[list[str], NDArray[np.float64]] | None:
    """Return the classes in ``final`` and (10 IoUs, 101 recalls, classes) interpolated precision.

    None where ``final`` holds no box.
    """
    counts = Counter(label for boxes in final.values() for label in boxes.labels.tolist())
    if not counts:
        return None
    # Imported here: only accounting needs it.
    from faster_coco_eval import COCO, COCOeval_faster

    labels = sorted(counts)
    category = {label: i for i, label in enumerate(labels, start=1)}
    scored = {key: boxes for key, boxes in proposals.items() if boxes.scores is not None}
    truth, found = (_dataset(COCO(), boxes, final, category) for boxes in (final, scored))
    evaluator = COCOeval_faster(truth, found, "bbox")
    # Of objects of all sizes alone: small, medium and large ones would be counted one by one.
    evaluator.params.areaRng, evaluator.params.areaRngLbl = evaluator.params.areaRng[:1], ["all"]
    evaluator.params.maxDets = evaluator.params.maxDets[-1:]
    recalls = evaluator.params.recThrs
    second = [1.5 / counts[label] for label in labels]  # reached by two right ones
    evaluator.params.recThrs = np.unique(np.concatenate([recalls, second]))
    evaluator.evaluate()
    evaluator.accumulate()
    # IoU thresholds, recalls and classes, at the one area and the one limit.
    curves = np.asarray(evaluator.eval["precision"])[..., 0, 0]
    precision = curves[:, np.searchsorted(evaluator.params.recThrs, recalls)]
    at_second = curves[:, np.searchsorted(evaluator.params.recThrs, second), range(len(labels))]
    # pycocotools divides by the number of detections plus an epsilon, which changes 1/1 alone: that
    # is the precision only where the first detection was right and the second one was not.
    alone = (precision == 1) & (at_second < 1)[:, None, :]
    precision = np.where(alone, 1 / (1 + np.spacing(1)), precision)
    return labels, precision


def _dataset(
    coco: Any, boxes: BoxesByImage, images: Iterable[str], category: dict[str, int]
) -> Any:
    """Fill a COCO object with the boxes of these images and of known categories."""
    annotations: list[dict[str, Any]] = []
    numbers = []
    for number, image_id in enumerate(images, start=1):
        numbers.append({"id": number})
        here = boxes.get(image_id)
        if here is None or not len(here):
            continue
        scores = repeat(1.0) if here.scores is None else here.scores.tolist()
        for (x1, y1, x2, y2), label, score in zip(
            here.xyxy.tolist(), here.labels.tolist(), scores, strict=False
        ):
            if label in category:
                width, height = x2 - x1, y2 - y1
                annotation = {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category[label],
                    "bbox": [x1, y1, width, height],
                    "area": width * height,
                    "score": score,
                    "iscrowd": 0,
                }
                annotations.append(annotation)
    coco.dataset = {
        "images": numbers,
        "categories": [{"id": number, "name": label} for label, number in category.items()],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def voc_average_precision(found: BoxesByImage, truth: BoxesByImage) -> dict[str, float]:
    """Compute VOC's mean average precision over the classes in ``truth``.

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
    curves = [_precision_recall(found, truth, label) for label in labels]
    return {
        "voc07_map": float(np.mean([_eleven_points(*curve) for curve in curves])),
        "voc_map": float(np.mean([_all_points(*curve) for curve in curves])),
    }


def _precision_recall(
    found: BoxesByImage, truth: BoxesByImage, label: str
) -> tuple[Floats, Floats]:
    """Compute precision and recall of one class after each of its detections.

    A detection is right when the object that it overlaps most (of its class, in its image) reaches
    the IoU and no detection of a better score took it; it never falls back on another object.

    Returns:
        (n,) precision and (n,) recall, the best score first.
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
            reached = bool(len(row)) and float(row.max()) >= VOC_IOU
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


def _eleven_points(precision: Floats, recall: Floats) -> float:
    """Average the best precision from each recall of 0, 0.1, ..., 1."""
    # As tenths, so that a recall of exactly 3/10 reaches 0.3.
    best = [precision[recall * 10 >= tenth - 1e-9].max(initial=0.0) for tenth in range(11)]
    return float(np.mean(best))


def _all_points(precision: Floats, recall: Floats) -> float:
    """Compute the area below the best precision at or above each recall."""
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
