"""Write a FiftyOne dataset on disk, as ``fo.Dataset.from_dir`` reads it; no database is needed.

The folder has ``metadata.json`` (the fields), ``samples.json`` (the images) and ``data/``. The side
of a split is a tag.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boxloop.campaign.export.fiftyone_documents import (
    BOXES,
    CLASSES,
    CLASSES_ABOUT,
    PLAIN,
    sample_document,
)
from boxloop.campaign.image_rows import ImageRow
from boxloop.datasets.format_protocol import ExportContent
from boxloop.files import write_json

IMAGES = "data"

VERSION = "1.13.0"
"""Of FiftyOne, from which on its datasets have this form: the last that changed anything in it."""

_FIELDS = "fiftyone.core.fields"


def write(folder: Path, content: ExportContent, rows: Sequence[ImageRow]) -> None:
    """Write everything but the images into an empty folder.

    Args:
        folder: where to.
        content: images and labels that are exported.
        rows: what else is known of each image; others may be among them.
    """
    sides = {image_id: name for name, ids in content.sides.items() for image_id in ids}
    known = {row.image.id: row for row in rows}
    samples = []
    for image in content.images:
        path = f"{IMAGES}/{content.names[image.id].as_posix()}"
        row = replace(known[image.id], labels=content.boxes[image.id])
        sample = sample_document(row, path, lambda text: {"$oid": text})
        if image.id in sides:
            sample["tags"] = [sides[image.id]]
        samples.append(sample)
    write_json(folder / "metadata.json", _metadata(content))
    write_json(folder / "samples.json", {"samples": samples})


def _metadata(content: ExportContent) -> dict[str, Any]:
    classes = list(content.classes)
    return {
        "_id": {"$oid": hashlib.sha256(content.about.encode()).hexdigest()[:24]},
        "name": "boxloop",
        "version": VERSION,
        "persistent": False,
        "media_type": "image",
        "group_media_types": {},
        "tags": [],
        "info": {"description": content.about},
        "app_config": {},
        "classes": dict.fromkeys(BOXES, classes),
        "default_classes": classes,
        "mask_targets": {},
        "default_mask_targets": {},
        "skeletons": {},
        "sample_fields": _sample_fields(),
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }


def _sample_fields() -> list[dict[str, Any]]:
    own = [
        _field("id", "ObjectId", db_field="_id"),
        _field("filepath", "String"),
        _field("tags", "List", subfield="String"),
        _field("metadata", "EmbeddedDocument", document="fiftyone.core.metadata.ImageMetadata"),
        _field("_media_type", "String"),
        _field("_rand", "Float"),
        _field("_dataset_id", "ObjectId"),
        _field("created_at", "DateTime", read_only=True),
        _field("last_modified_at", "DateTime", read_only=True),
    ]
    plain = [_field(name, kind, about=about) for name, (kind, about) in PLAIN.items()]
    classes = _field(CLASSES, "List", subfield="String", about=CLASSES_ABOUT)
    boxes = [
        _field(name, "EmbeddedDocument", document="fiftyone.core.labels.Detections", about=about)
        for name, about in BOXES.items()
    ]
    return [*own, *plain, classes, *boxes]


def _field(
    name: str,
    kind: str,
    *,
    document: str | None = None,
    subfield: str | None = None,
    db_field: str | None = None,
    about: str | None = None,
    read_only: bool = False,
) -> dict[str, Any]:
    return {
        "name": name,
        "ftype": f"{_FIELDS}.{kind}Field",
        "embedded_doc_type": document,
        "subfield": None if subfield is None else f"{_FIELDS}.{subfield}Field",
        "fields": [],
        "db_field": db_field or name,
        "description": about,
        "info": None,
        "read_only": read_only,
        "created_at": None,
    }
