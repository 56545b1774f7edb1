"""Turn boxes along with images that their EXIF data turn.

boxloop's images are upright. Tools that do not look at EXIF data give boxes for the pixels as they
are stored; the size that an annotation declares tells which it is, where a side became the other.
Otherwise ``dataset.exif`` says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from boxloop.core.types import ImageRef
from boxloop.datasets.annotations import Annotation
from boxloop.datasets.images import SIDEWAYS
from boxloop.errors import DatasetError

RAW, UPRIGHT = "raw", "upright"

_MIRRORED_X = (2, 3, 6, 7)
_MIRRORED_Y = (3, 4, 7, 8)


def turn_boxes(
    annotations: Mapping[ImageRef, Annotation],
    turned: Mapping[str, int],
    said: str | None,
    way: str = "set dataset.exif to",
) -> dict[ImageRef, Annotation]:
    """Return the annotations, all of them for the upright image.

    Args:
        annotations: by image.
        turned: EXIF orientation (2 to 8) by image id.
        said: ``dataset.exif``.
        way: how one says it.

    Raises:
        DatasetError: nothing tells for which pixels some of the boxes are.
    """
    concerned = {i: a for i, a in annotations.items() if i.id in turned and len(a.boxes)}
    known = {image: said or _by_size(image, a, turned) for image, a in concerned.items()}
    decided = {value for value in known.values() if value is not None}
    open_ = [image for image, value in known.items() if value is None]
    # A size of another image altogether is a fault of its own, which says what happens.
    asking = [i for i in open_ if concerned[i].size is None or not _could_tell(i, turned)]
    if asking and len(decided) != 1:
        raise DatasetError(
            f"{len(open_)} images with boxes are turned by their EXIF data, {asking[0].path} for"
            " one, and no declared size tells whether their boxes are for the pixels before or"
            f" after that: {way} raw (before: of tools that ignore EXIF data) or upright (after: as"
            " viewers and browsers show the image)"
        )
    # One tool made them all: what sizes tell of some images holds for the others.
    others = next(iter(decided)) if len(decided) == 1 else UPRIGHT
    raw = {image for image, value in known.items() if (value or others) == RAW}
    if said != UPRIGHT and decided != {UPRIGHT}:
        # Without boxes, there is the size alone to turn.
        bare = {i: a for i, a in annotations.items() if i.id in turned and not len(a.boxes)}
        raw |= {image for image, a in bare.items() if _by_size(image, a, turned) == RAW}
    return {
        image: _turn(annotation, image, turned[image.id]) if image in raw else annotation
        for image, annotation in annotations.items()
    }


def _by_size(image: ImageRef, annotation: Annotation, turned: Mapping[str, int]) -> str | None:
    """Return for which pixels the boxes are; None where the declared size is no evidence."""
    if not _could_tell(image, turned):
        return None
    sizes = {(image.height, image.width): RAW, (image.width, image.height): UPRIGHT}
    return None if annotation.size is None else sizes.get(annotation.size)


def _could_tell(image: ImageRef, turned: Mapping[str, int]) -> bool:
    """Return whether the sizes before and after turning differ."""
    return turned[image.id] >= SIDEWAYS and image.width != image.height


def _turn(annotation: Annotation, image: ImageRef, orientation: int) -> Annotation:
    sideways = orientation >= SIDEWAYS
    width, height = (image.height, image.width) if sideways else (image.width, image.height)
    # Fractions were taken of the upright image.
    fx, fy = (width / image.width, height / image.height) if annotation.relative else (1.0, 1.0)
    boxes = []
    for box in annotation.boxes:
        x1, y1, x2, y2 = box.corners
        xs, ys = (x1 * fx, x2 * fx), (y1 * fy, y2 * fy)
        if sideways:
            xs, ys = ys, xs
        # Numbers of pixels, where the first one is 1, lie between 1 and the side.
        if orientation in _MIRRORED_X:
            right = image.width + annotation.first_pixel
            xs = right - xs[1], right - xs[0]
        if orientation in _MIRRORED_Y:
            bottom = image.height + annotation.first_pixel
            ys = bottom - ys[1], bottom - ys[0]
        boxes.append(replace(box, corners=(xs[0], ys[0], xs[1], ys[1])))
    size = annotation.size
    if size is not None and sideways and sorted(size) == sorted((width, height)):
        size = size[1], size[0]
    return replace(annotation, boxes=boxes, size=size)
