"""Writes COCO's instances file: ``annotations/instances_default.json`` beside ``images/``.

The name of the file is the one that CVAT gives its own exports and looks for in archives that it
imports. Proposals carry their ids in ``attributes.boxloop_id``, which ``import-corrections`` finds
again where the tool keeps attributes, and their ``score``. The ids start with a digest of the
proposals' file: a newer detector's proposals have the same ids, and are other boxes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from boxloop import __version__
from boxloop.campaign.export.content import Content
from boxloop.core.types import Boxes
from boxloop.files import write_json

IMAGES = "images"
FILE = Path("annotations") / "instances_default.json"
ID_KEY = "boxloop_id"
"""The attribute that holds the id of a proposal, see :func:`tagged`."""


def tagged(tag: str, proposal_id: str) -> str:
    """The id of a proposal for another program: of one file of proposals, and of no other."""
    return f"{tag}/{proposal_id}"


def write(folder: Path, content: Content) -> None:
    """Writes the annotation file.

    Ids of images, categories and annotations count from 1 (some readers take 0 for "none").
    ``bbox`` is [x, y, width, height] in pixels, not rounded.

    Args:
        folder: of the export.
        content: what to write.
    """
    categories = {name: i for i, name in enumerate(content.classes, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_number, image in enumerate(content.images, start=1):
        images.append(
            {
                "id": image_number,
                "file_name": content.names[image.id].as_posix(),
                "width": image.width,
                "height": image.height,
            }
        )
        for row in _rows(content.boxes[image.id], categories, content.tag):
            annotations.append({"id": len(annotations) + 1, "image_id": image_number, **row})
    payload = {
        "info": {"description": content.about, "contributor": f"boxloop {__version__}"},
        "licenses": [],
        "categories": [
            {"id": i, "name": name, "supercategory": ""} for name, i in categories.items()
        ],
        "images": images,
        "annotations": annotations,
    }
    write_json(folder / FILE, payload)


def _rows(boxes: Boxes, categories: dict[str, int], tag: str | None) -> list[dict[str, Any]]:
    rows = []
    for i in range(len(boxes)):
        x1, y1, x2, y2 = boxes.xyxy[i].tolist()
        row: dict[str, Any] = {
            "category_id": categories[str(boxes.labels[i])],
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
            "segmentation": [],
        }
        if boxes.scores is not None:
            row["score"] = float(boxes.scores[i])
        if tag is not None:
            row["attributes"] = {ID_KEY: tagged(tag, str(boxes.ids[i]))}
        rows.append(row)
    return rows
