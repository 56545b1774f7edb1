"""Convert images of a campaign to the documents of FiftyOne's database, without FiftyOne.

``boxloop export --format fiftyone`` writes them to a file, ``boxloop browse`` into a database. Ids
follow from those of the images and boxes, so the same campaign gives the same documents.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from typing import Any

from boxloop.campaign.image_rows import ImageRow
from boxloop.core.edits import EDITS
from boxloop.core.types import Boxes

BOXES = {
    "labels": "the final boxes",
    "proposals": "the detector's boxes, as shown, with their scores",
    "truth": "the dataset's own boxes",
}
"""Fields of boxes, and what they hold."""

PLAIN = {
    "image_id": ("String", "id of the image in the campaign"),
    "position": ("Int", "place in the order of labeling, from 1"),
    "batch": ("String", "batch that the image is labeled in"),
    "distance": ("Float", "distance to the images before it, by which the order chose it"),
    "status": ("String", "whether it is reviewed"),
    "detector": ("String", "what made the proposals"),
    "reviewer": ("String", "who corrected it"),
    "seconds": ("Float", "active seconds of the review"),
    "kept": ("Int", "proposals that were right"),
    "moved": ("Int", "proposals that were dragged into place"),
    "relabeled": ("Int", "proposals that got another class"),
    "removed": ("Int", "proposals that were deleted"),
    "added": ("Int", "boxes that were drawn"),
    "edits": ("Int", "moved, relabeled, removed and added"),
    "saved": ("Float", "boxes' worth of drawing that the proposals saved"),
}
"""Fields of one value: FiftyOne's type, and what they hold."""

CLASSES = "not_reviewed_for"
"""Field with the names of the classes that nobody has looked for yet."""

CLASSES_ABOUT = "classes that nobody has looked for in the image yet"


def sample_document(row: ImageRow, filepath: str, to_id: Callable[[str], Any]) -> dict[str, Any]:
    """Return the document of one image.

    Args:
        row: the image.
        filepath: its file, absolute or as a dataset on disk has it.
        to_id: makes an id of the database from 24 hex digits.
    """
    name, size = row.image.id, (row.image.width, row.image.height)
    boxes = {"labels": row.labels, "proposals": row.proposals, "truth": row.truth}
    return {
        "_id": to_id(_hex(name)),
        "filepath": filepath,
        "tags": [],
        "metadata": {"_cls": "ImageMetadata", "width": size[0], "height": size[1]},
        "_media_type": "image",
        "_rand": random.Random(name).random(),
        **_plain(row),
        CLASSES: list(row.missing_classes),
        **{
            field: None if found is None else _detections(field, name, found, size, to_id)
            for field, found in boxes.items()
        },
    }


def _plain(row: ImageRow) -> dict[str, Any]:
    counts = {} if row.edits is None else vars(row.edits)
    edits = None if row.edits is None else sum(counts.values()) - row.edits.kept
    return {
        "image_id": row.image.id,
        **{name: getattr(row, name) for name in ("position", "batch", "distance", "status")},
        **{name: getattr(row, name) for name in ("detector", "reviewer", "seconds")},
        **{kind: counts.get(kind) for kind in EDITS},
        "edits": edits,
        "saved": row.saved,
    }


def _detections(
    field: str, name: str, boxes: Boxes, size: tuple[int, int], to_id: Callable[[str], Any]
) -> dict[str, Any]:
    width, height = size
    scores = [None] * len(boxes) if boxes.scores is None else boxes.scores.tolist()
    rows = zip(boxes.ids.tolist(), boxes.labels.tolist(), boxes.xyxy.tolist(), scores, strict=True)
    detections = [
        {
            "_id": to_id(_hex(field, name, box_id)),
            "_cls": "Detection",
            "attributes": {},
            "tags": [],
            "label": label,
            "bounding_box": [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height],
            "confidence": score,
        }
        for box_id, label, (x1, y1, x2, y2), score in rows
    ]
    return {"_cls": "Detections", "detections": detections}


def _hex(*names: str) -> str:
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:24]
