"""Mean average precision, by pycocotools (the reference implementation of the COCO metric)."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from boxloop.core.types import BoxesByImage

_STATS = {"map": 0, "map_50": 1, "map_75": 2}


def average_precision(proposals: BoxesByImage, final: BoxesByImage) -> dict[str, float]:
    """COCO mAP of scored boxes against the final ones (Lin et al. 2014).

    Args:
        proposals: scored boxes by image id.
        final: the boxes to find, by image id; images of ``proposals`` outside it are left out.

    Returns:
        "map" (mean over IoU 0.50, 0.55, ..., 0.95), "map_50" and "map_75", each in [0, 1], over
        the classes that occur in ``final``; empty where ``final`` holds no box.
    """
    labels = sorted({str(label) for boxes in final.values() for label in boxes.labels})
    if not labels:
        return {}
    # Imported here: only accounting needs it.
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    category = {label: i for i, label in enumerate(labels, start=1)}
    truth_rows: list[dict[str, Any]] = []
    found_rows: list[dict[str, Any]] = []
    for number, (image_id, boxes) in enumerate(final.items(), start=1):
        for xyxy, label in zip(boxes.xyxy.tolist(), boxes.labels.tolist(), strict=True):
            row = _row(number, category[label], xyxy)
            truth_rows.append({**row, "id": len(truth_rows) + 1, "iscrowd": 0})
        found = proposals.get(image_id)
        if found is None or found.scores is None:
            continue
        for xyxy, label, score in zip(
            found.xyxy.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True
        ):
            if label in category:
                row = _row(number, category[label], xyxy)
                found_rows.append({**row, "id": len(found_rows) + 1, "score": score})
    images = [{"id": number} for number in range(1, len(final) + 1)]
    categories = [{"id": i, "name": label} for label, i in category.items()]
    # pycocotools reports by printing; its numbers are read from .stats instead.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(
            _coco(COCO, images, categories, truth_rows),
            _coco(COCO, images, categories, found_rows),
            "bbox",
        )
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return {name: float(evaluator.stats[i]) for name, i in _STATS.items()}


def _row(image: int, category: int, xyxy: list[float]) -> dict[str, Any]:
    x1, y1, x2, y2 = xyxy
    width, height = x2 - x1, y2 - y1
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [x1, y1, width, height],
        "area": width * height,
    }


def _coco(cls: Any, images: list[Any], categories: list[Any], annotations: list[Any]) -> Any:
    coco = cls()
    coco.dataset = {"images": images, "categories": categories, "annotations": annotations}
    coco.createIndex()
    return coco
