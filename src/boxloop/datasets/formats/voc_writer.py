"""Writes the PASCAL VOC layout: ``Annotations/``, ``ImageSets/Main/trainval.txt``, ``JPEGImages/``.

VOC counts pixels from 1 and a box includes its last pixel (VOC2007 devkit), in whole numbers. So
edges are rounded to whole pixels, by half a pixel at most; a box that would be less than two pixels
wide or high becomes two, because many readers (boxloop's too) take ``xmin = xmax`` for nothing.
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from boxloop.campaign.export.content import Content
from boxloop.core.types import Boxes, ImageRef
from boxloop.files import write_text

IMAGES = "JPEGImages"
_LEAST_SIDE = 2  # pixels, see above


def write(folder: Path, content: Content) -> None:
    """Writes one XML file per image, and the list of the images.

    Args:
        folder: of the export.
        content: what to write.
    """
    for image in content.images:
        path = folder / "Annotations" / f"{image.id}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        tree = ElementTree(_annotation(image, content.names[image.id], content.boxes[image.id]))
        tree.write(path, encoding="utf-8", xml_declaration=True)
    listing = "".join(f"{image.id}\n" for image in content.images)
    write_text(folder / "ImageSets" / "Main" / "trainval.txt", listing)


def _annotation(image: ImageRef, name: PurePosixPath, boxes: Boxes) -> Element:
    root = Element("annotation")
    SubElement(root, "folder").text = IMAGES
    SubElement(root, "filename").text = name.as_posix()
    size = SubElement(root, "size")
    for key, value in (("width", image.width), ("height", image.height), ("depth", 3)):
        SubElement(size, key).text = str(value)
    SubElement(root, "segmented").text = "0"
    for label, xyxy in zip(boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True):
        item = SubElement(root, "object")
        SubElement(item, "name").text = label
        for key, text in (("pose", "Unspecified"), ("truncated", "0"), ("difficult", "0")):
            SubElement(item, key).text = text
        bounds = SubElement(item, "bndbox")
        xmin, xmax = _inclusive(xyxy[0], xyxy[2], image.width)
        ymin, ymax = _inclusive(xyxy[1], xyxy[3], image.height)
        for key, value in (("xmin", xmin), ("ymin", ymin), ("xmax", xmax), ("ymax", ymax)):
            SubElement(bounds, key).text = str(value)
    indent(root)
    return root


def _inclusive(start: float, end: float, side: int) -> tuple[int, int]:
    """First and last pixel, counted from 1, of the exclusive edges ``start`` and ``end``."""
    first, last = math.floor(start + 0.5), math.floor(end + 0.5)
    least = min(_LEAST_SIDE, side)
    if last - first < least:
        first = min(max(math.floor((start + end - least) / 2 + 0.5), 0), side - least)
        last = first + least
    return first + 1, last
