"""Raw detections of a model as boxes that are offered for review."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boxloop.core.types import Boxes


def to_boxes(
    xyxy: NDArray[Any],
    labels: NDArray[Any],
    scores: NDArray[Any],
    *,
    input_size: tuple[int, int],
    image_size: tuple[int, int],
    classes: Sequence[str],
    score_floor: float,
) -> Boxes:
    """Return boxes with ids p0, p1, ..., the highest score first.

    Coordinates are clipped to the image and rounded to 1/100 pixel, scores to 1e-5: further digits
    differ between machines, and would make equal proposals look new to DVC. A box that has no area
    left, or that is not finite, is dropped.

    Args:
        xyxy: (n, 4), pixels of the model's input.
        labels: (n,) numbers of the classes; 1 is the first, 0 (background) does not occur.
        scores: (n,) in [0, 1].
        input_size: (height, width) of the model's input.
        image_size: (height, width) of the image.
        classes: their names.
        score_floor: boxes that score less are dropped.
    """
    (h, w), (height, width) = input_size, image_size
    scale = np.array([width / w, height / h, width / w, height / h])
    boxes = np.asarray(xyxy, np.float64).reshape(-1, 4) * scale
    boxes = np.round(np.clip(boxes, 0.0, np.array([width, height, width, height], np.float64)), 2)
    rounded = np.round(np.asarray(scores, np.float64), 5)
    keep = (
        np.isfinite(boxes).all(axis=1)
        & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        & (rounded >= score_floor)
    )
    boxes, rounded, numbers = boxes[keep], rounded[keep], labels[keep]
    # Ties are broken by class and place, so that the order is the same wherever it is computed.
    order = np.lexsort((boxes[:, 1], boxes[:, 0], numbers, -rounded))
    return Boxes.build(
        boxes[order],
        [classes[number - 1] for number in numbers[order]],
        np.clip(rounded[order], 0.0, 1.0),
        prefix="p",
    )
