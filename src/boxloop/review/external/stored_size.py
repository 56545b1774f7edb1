"""Tell what a size means that is that of the image file as it is stored, not of the upright image.

Phones store portraits lying, with a note (EXIF) by how much to turn them. Browsers, CVAT and
boxloop turn them; Label Studio shows them upright, too, but exports the size of the file as it is
stored.
"""

from __future__ import annotations

from pathlib import Path

from boxloop.datasets.images import SIDEWAYS, read_orientation
from boxloop.review.external.import_coco import ReviewedImage

_OVERHANG = 1.0
"""Pixels by which a box may stick out of an image that it was drawn on."""


def is_upright(item: ReviewedImage) -> bool:
    """Return whether the boxes are those of the upright image, whatever size the file declares.

    So it is where the size is right or not given, and for the stored size of a turned photo where
    Label Studio wrote it, or where a box fits the upright image only.
    """
    image = item.image
    if item.size is None or item.size == (image.width, image.height):
        return True
    if item.size != (image.height, image.width):
        return False
    if read_orientation(Path(image.path)) < SIDEWAYS:
        return False
    return item.by_label_studio or any(
        box.xyxy[2] > image.height + _OVERHANG or box.xyxy[3] > image.width + _OVERHANG
        for box in item.boxes
    )
