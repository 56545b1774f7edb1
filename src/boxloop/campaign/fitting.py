"""Hold what a file says of images against the images: known ids and classes, boxes inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from boxloop.core.edits import TOLERANCE
from boxloop.core.types import BoxesByImage, ImageRef, ImageSet
from boxloop.errors import ArtifactError


def require_fit(
    images: ImageSet, boxes: BoxesByImage, source: Path, slack: float = TOLERANCE
) -> None:
    """Refuse boxes of unknown images or classes, and boxes that reach beyond their image.

    Args:
        images: of the campaign.
        boxes: of some of them.
        source: the file that they are from, for the error.
        slack: pixels by which a box may reach beyond its image.

    Raises:
        ArtifactError: something does not fit; names the file, the image and the way out.
    """
    table = images.by_id()
    unknown = next((image_id for image_id in boxes if image_id not in table), None)
    if unknown is not None:
        raise ArtifactError(
            f"{source}: image {unknown} is not among the dataset's images: run the stages after"
            " 'dataset' again, or bring the file back that belongs to these images"
        )
    known, rows = set(images.classes), list(boxes.items())
    labels = np.concatenate([item.labels for _, item in rows]) if rows else np.empty(0, np.str_)
    if not set(np.unique(labels).tolist()) <= known:
        for image_id, item in rows:
            odd = set(item.labels.tolist()) - known
            if odd:
                raise ArtifactError(
                    f"{source}: image {image_id} carries the label '{min(odd)}', which is not among"
                    f" the classes {', '.join(images.classes)}: put it right, or run the stages"
                    " after 'dataset' again"
                )
    require_inside(images, boxes, source, slack)


def require_inside(
    images: ImageSet, boxes: BoxesByImage, source: Path, slack: float = TOLERANCE
) -> None:
    """Refuse boxes that reach beyond their image; see :func:`require_fit`.

    Args:
        images: of the campaign.
        boxes: of some of them.
        source: the file or folder that they are from, for the error.
        slack: pixels by which a box may reach beyond its image.

    Raises:
        ArtifactError: a box does; names the image and the way out.
    """
    if image := find_outside(images, boxes, slack):
        raise ArtifactError(
            f"{source}: a box of image {image.id} reaches beyond its {image.width}x{image.height}"
            f" pixels: is {image.path} another image now? Put the box right, bring the image back,"
            " or run the stages after 'dataset' again"
        )


def find_outside(
    images: ImageSet, boxes: BoxesByImage, slack: float = TOLERANCE
) -> ImageRef | None:
    """Return the first image with a box that reaches beyond it; None where there is none."""
    table, rows = images.by_id(), list(boxes.items())
    counts = [len(item) for _, item in rows]
    sizes = [(table[image_id].width, table[image_id].height) for image_id, _ in rows]
    limits = np.repeat(np.array(sizes, np.float64).reshape(-1, 2), counts, axis=0)
    xyxy = np.concatenate([item.xyxy for _, item in rows]) if rows else np.empty((0, 4))
    outside = (xyxy[:, :2] < -slack).any(axis=1) | (xyxy[:, 2:] > limits + slack).any(axis=1)
    if not outside.any():
        return None
    row = int(np.searchsorted(np.cumsum(counts), np.argmax(outside), side="right"))
    return table[rows[row][0]]
