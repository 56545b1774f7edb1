"""Writes the YOLO layout as Ultralytics reads it: ``data.yaml``, ``images/``, ``labels/``.

A label file has a line ``class cx cy width height`` per box, as fractions of the image's size with
12 digits, which is less than a millionth of a pixel off; an image without objects has an empty one.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from boxloop.campaign.export.content import Content
from boxloop.core.types import Boxes, ImageRef

IMAGES = "images"


def write(folder: Path, content: Content) -> None:
    """Writes data.yaml and one text file per image.

    Args:
        folder: of the export.
        content: what to write.
    """
    numbers = {name: i for i, name in enumerate(content.classes)}
    for image in content.images:
        path = folder / label_path(PurePosixPath(IMAGES) / content.names[image.id])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_lines(content.boxes[image.id], image, numbers), encoding="utf-8")
    recipe = YAML()
    # Quoted: older readers take a class called "no" for false.
    names = {i: DoubleQuotedScalarString(name) for name, i in numbers.items()}
    with (folder / "data.yaml").open("w", encoding="utf-8") as file:
        file.write("# Every image is in both lists: split them as you need.\n")
        # No `path`: readers then start from the folder of this file.
        recipe.dump({"train": IMAGES, "val": IMAGES, "names": names}, file)


def label_path(image: PurePosixPath) -> PurePosixPath:
    """Where readers look for the labels of an image: the last folder ``images`` is ``labels``."""
    parts = list(image.parts)
    last = max(i for i, part in enumerate(parts[:-1]) if part == IMAGES)
    parts[last] = "labels"
    return PurePosixPath(*parts).with_suffix(".txt")


def _lines(boxes: Boxes, image: ImageRef, numbers: dict[str, int]) -> str:
    lines = []
    for label, (x1, y1, x2, y2) in zip(boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True):
        values = (
            (x1 + x2) / 2 / image.width,
            (y1 + y2) / 2 / image.height,
            (x2 - x1) / image.width,
            (y2 - y1) / image.height,
        )
        lines.append(f"{numbers[label]} " + " ".join(f"{value:.12g}" for value in values) + "\n")
    return "".join(lines)
