"""COCO's average precision in boxloop beside pycocotools, the reference implementation.

    python benchmarks/average_precision.py [IMAGES ...]

For 1,000 and 10,000 images (or those named) of about 5 objects of 4 classes and 20 proposals,
prints the CPU seconds of both, all that boxloop does around the evaluation included, and whether
all digits are the same; then how the seconds grow with the images. pycocotools is in the extra
``dev``.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from boxloop.core.types import Boxes
from boxloop.models.average_precision import average_precision

CLASSES = ("bicycle", "car", "person", "sign")
OBJECTS, PROPOSALS, SIDE = 5, 20, 640


def draw(images: int, seed: int = 0) -> tuple[dict[str, Boxes], dict[str, Boxes]]:
    """Draw proposals, half of them near an object, and the objects."""
    rng = np.random.default_rng(seed)
    final, found = {}, {}
    for number in range(images):
        objects = _boxes(rng, int(rng.poisson(OBJECTS)))
        labels = rng.choice(CLASSES, len(objects))
        final[f"i{number}"] = Boxes.build(objects, labels.tolist())
        near = int(min(PROPOSALS // 2, 2 * len(objects)))
        chosen = rng.integers(0, max(len(objects), 1), near)
        moved = objects[chosen] + rng.normal(0, 8, (near, 4)) if near else objects[:0]
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        other = _boxes(rng, PROPOSALS - near)
        names = [*labels[chosen].tolist()] if near else []
        names += rng.choice(CLASSES, len(other)).tolist()
        found[f"i{number}"] = Boxes.build(
            np.concatenate([moved, other]), names, rng.random(PROPOSALS).round(3), prefix="p"
        )
    return found, final


def _boxes(rng: np.random.Generator, count: int) -> Any:
    corner = rng.uniform(0, SIDE - 200, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(10, 200, (count, 2))], axis=1)


def reference(found: Mapping[str, Boxes], final: Mapping[str, Boxes]) -> dict[str, float]:
    """Compute the same by pycocotools."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(*(_dataset(COCO(), table) for table in (final, found)), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(("map", "map_50", "map_75"), evaluator.stats[:3].tolist(), strict=True))


def _dataset(coco: Any, table: Mapping[str, Boxes]) -> Any:
    annotations: list[dict[str, Any]] = []
    for number, boxes in enumerate(table.values(), start=1):
        for row, box in enumerate(boxes.xyxy.tolist()):
            x1, y1, x2, y2 = box
            annotation = {
                "id": len(annotations) + 1,
                "image_id": number,
                "category_id": CLASSES.index(boxes.labels[row]) + 1,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "area": (x2 - x1) * (y2 - y1),
                "iscrowd": 0,
            }
            if boxes.scores is not None:
                annotation["score"] = float(boxes.scores[row])
            annotations.append(annotation)
    coco.dataset = {
        "images": [{"id": number} for number in range(1, len(table) + 1)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def main(sizes: Sequence[int]) -> None:
    """Print a line per size, and the growth."""
    average_precision(*draw(2))  # imports
    reference(*draw(2))
    rows = []
    for size in sizes:
        found, final = draw(size)
        began = time.process_time()
        mine = average_precision(found, final)
        between = time.process_time()
        theirs = reference(found, final)
        own, other = between - began, time.process_time() - between
        rows.append((size, own, other))
        same = "the same digits" if mine == theirs else f"OTHER DIGITS: {mine}, {theirs}"
        print(
            f"{size:,} images: boxloop {own:.2f} s, pycocotools {other:.2f} s,"
            f" ratio {own / other:.3f}; {same} (mAP {mine['map']:.4f})"
        )
    if len(rows) > 1:
        (a, *first), (b, *last) = rows[0], rows[-1]
        growth = [math.log(y / x) / math.log(b / a) for x, y in zip(first, last, strict=True)]
        print(f"seconds grow as images^{growth[0]:.2f} and images^{growth[1]:.2f}")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1_000, 10_000])
