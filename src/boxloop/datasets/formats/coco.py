"""COCO's JSON: ``images``, ``annotations`` with ``bbox`` = [x, y, width, height], ``categories``.

``dataset.annotations`` is the JSON file and ``dataset.images`` the folder that its ``file_name``
entries start from, both relative to ``dataset.path``; without the latter it is ``images/`` where
that exists, else ``dataset.path`` itself. Temporal order is the order of the ``images`` list, an id
is the file name without its ending, and classes come in the order of their category ids. Crowd
regions (``iscrowd: 1``) stand for no single object and are left out.

An export holds ``images/`` and ``annotations/instances_default.json``: so CVAT calls its own
exports, and what it looks for in archives that it imports. Proposals carry their ``score``, and
their ids in ``attributes.boxloop_id``, which ``import-corrections`` finds again where the tool
keeps attributes. The ids start with a digest of the proposals' file: a newer detector's proposals
have the same ids, and are other boxes.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from boxloop import __version__
from boxloop.core.types import Boxes
from boxloop.datasets.annotations import AnnotatedBox, Annotation, to_number, to_size
from boxloop.datasets.cleaning import Dataset, build_dataset, probe_refs
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import ids_of, list_files, read_text, require_folder, within
from boxloop.datasets.format_protocol import ExportContent
from boxloop.datasets.images import Progress
from boxloop.errors import DatasetError
from boxloop.files import parse_json, write_json
from boxloop.params import DatasetParams

KEYS: tuple[str, ...] = ("annotations", "images")

IMAGES = "images"

FILE = Path("annotations") / "instances_default.json"

ID_KEY = "boxloop_id"
"""The attribute that holds the id of a proposal, see :func:`tag_id`."""


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Read one COCO file and its images.

    Raises:
        DatasetError: the file is missing or not COCO's, no image is usable, or a class is unknown.
    """
    require_folder(root)
    file = _annotation_file(params, root)
    if params.images is not None:
        folder = require_folder(root / params.images, "dataset.images")
    else:
        folder = root / IMAGES if (root / IMAGES).is_dir() else root
    content = read_content(file)
    categories = read_categories(content["categories"], file)
    log = FaultLog()
    # Taken out, so that they are gone once read: they are the largest part of what is in memory.
    listed = _read_images(content.pop("images"), file, folder, log)
    boxes = _read_boxes(content.pop("annotations"), file, categories, listed, log)
    images = {key: entry for key, entry in listed.items() if entry is not None}
    start = f"{folder.as_posix()}/"
    names = [PurePosixPath(e.path.as_posix().removeprefix(start)) for e in images.values()]
    keys = dict(zip(ids_of(names), images, strict=True))
    refs = probe_refs(
        [(image_id, images[key].path) for image_id, key in keys.items()], log, progress
    )
    annotations = {
        ref.id: Annotation(file, _Boxes(boxes[keys[ref.id]]), images[keys[ref.id]].size)
        for ref in refs
    }
    return build_dataset(params, refs, annotations, list(dict.fromkeys(categories.values())), log)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A usable entry of the list ``images``: file and declared size."""

    path: Path
    size: tuple[int, int] | None


_Row = tuple[int, str, list[Any]]
"""An entry of the list ``annotations``: its number, class and ``bbox``."""


class _Boxes(Sequence[AnnotatedBox]):
    """The boxes of one image, made when they are asked for: there may be millions."""

    def __init__(self, rows: list[_Row]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _Boxes(self._rows[index])
        number, label, bbox = self._rows[index]
        x, y, width, height = map(to_number, bbox)
        corners = (x, y, x + width, y + height)
        return AnnotatedBox(label, corners, f"annotations[{number}]", _Said(bbox))


class _Said:
    """A ``bbox`` as the file has it, in words when they are asked for."""

    __slots__ = ("_bbox",)

    def __init__(self, bbox: list[Any]) -> None:
        self._bbox = bbox

    def __str__(self) -> str:
        return f"bbox {json.dumps(self._bbox)}"


def _annotation_file(params: DatasetParams, root: Path) -> Path:
    if params.annotations is not None:
        return root / params.annotations
    found = [path.as_posix() for path in list_files(root, (".json",))][:5]
    hint = f", for example {', '.join(found)}" if found else ""
    raise DatasetError(
        f"format 'coco' needs dataset.annotations, the JSON file relative to {root}{hint}"
    )


def read_content(file: Path) -> dict[str, list[Any]]:
    """Read the three lists of a COCO file; their entries may be anything.

    Raises:
        DatasetError: the file is missing, is not JSON, or lacks one of them.
    """
    try:
        content = parse_json(read_text(file), halves=True)
    except ValueError as error:
        raise DatasetError(f"{file} {error}: export it again, or put it right") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DatasetError(f"{file} has no list '{key}': is it a COCO detection file?")
    return {key: content[key] for key in ("images", "annotations", "categories")}


def read_categories(entries: list[Any], file: Path) -> dict[Hashable, str]:
    """Return the names by category id, in the order of the ids.

    Raises:
        DatasetError: an entry has no id or no name, or an id has two names.
    """
    found: dict[int, str] = {}
    for number, entry in enumerate(entries):
        key, name = _values(entry, "id", "name")
        if type(key) is not int or not isinstance(name, str) or not name.strip():
            raise DatasetError(f"{file}, categories[{number}]: needs a whole 'id' and a 'name'")
        if found.setdefault(key, name.strip()) != name.strip():
            raise DatasetError(f"{file}, categories[{number}]: id {key} has two names")
    return dict(sorted(found.items()))


def _values(entry: Any, *keys: str) -> list[Any]:
    """Return the values of an entry, which may be anything; None for those that it lacks."""
    return [entry.get(key) if isinstance(entry, dict) else None for key in keys]


def _read_images(
    entries: list[Any], file: Path, folder: Path, log: FaultLog
) -> dict[Hashable, _Entry | None]:
    """Read the list ``images`` by id; None for entries that cannot be used."""
    found: dict[Hashable, _Entry | None] = {}
    paths: set[Path] = set()
    for number, entry in enumerate(entries):
        place = f"images[{number}]"
        key, name, width, height = _values(entry, "id", "file_name", "width", "height")
        if type(key) not in (int, str) or not isinstance(name, str) or not name:
            detail = f"{place}: needs an 'id' and a 'file_name'"
            log.add(FaultKind.MALFORMED_ANNOTATION, file, detail)
            continue
        if key in found:
            log.add(FaultKind.DUPLICATE_ID, file, f"{place}: image id {key} occurs twice")
            continue
        found[key] = None
        path = within(folder, name)
        if path is None or path == folder:
            detail = f"{place}: '{name}' leads outside the dataset's folder"
            log.add(FaultKind.PATH_OUTSIDE_DATASET, file, detail)
        elif path in paths:
            log.add(FaultKind.DUPLICATE_ID, file, f"{place}: '{name}' occurs twice")
        else:
            paths.add(path)
            found[key] = _Entry(path, to_size(width, height))
    return found


def _read_boxes(
    entries: list[Any],
    file: Path,
    categories: dict[Hashable, str],
    images: dict[Hashable, _Entry | None],
    log: FaultLog,
) -> dict[Hashable, list[_Row]]:
    """Read the boxes of every listed image."""
    boxes: dict[Hashable, list[_Row]] = {key: [] for key in images}
    for number, entry in enumerate(entries):
        place = f"annotations[{number}]"
        if not isinstance(entry, dict):
            log.add(FaultKind.MALFORMED_ANNOTATION, file, f"{place}: is not an object")
            continue
        image, category, bbox = (entry.get(k) for k in ("image_id", "category_id", "bbox"))
        if type(image) not in (int, str) or image not in images:
            log.add(FaultKind.UNKNOWN_IMAGE, file, f"{place}: there is no image {image!r}")
        elif entry.get("iscrowd") in (1, "1"):
            log.left_out["crowd regions"] += 1
        elif type(category) is not int or category not in categories:
            log.add(FaultKind.UNKNOWN_CLASS, file, f"{place}: has no known category {category!r}")
        elif not isinstance(bbox, list) or len(bbox) != 4:
            log.add(FaultKind.MALFORMED_ANNOTATION, file, f"{place}: 'bbox' is not four numbers")
        else:
            boxes[image].append((number, categories[category], bbox))
    return boxes


# --- export ---------------------------------------------------------------------------------------


def tag_id(tag: str, proposal_id: str) -> str:
    """Return a proposal's id, made unique among all files of proposals."""
    return f"{tag}/{proposal_id}"


def write(folder: Path, content: ExportContent) -> None:
    """Write the annotation file.

    Ids of images, categories and annotations count from 1 (some readers take 0 for "none").
    ``bbox`` is [x, y, width, height] in pixels, not rounded.
    """
    categories = {name: i for i, name in enumerate(content.classes, start=1)}
    images = [
        {
            "id": number,
            "file_name": content.names[image.id].as_posix(),
            "width": image.width,
            "height": image.height,
        }
        for number, image in enumerate(content.images, start=1)
    ]
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(content.images, start=1):
        for row in _to_rows(content.boxes[image.id], categories, content.tag):
            annotations.append({"id": len(annotations) + 1, "image_id": number, **row})
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


def _to_rows(boxes: Boxes, categories: dict[str, int], tag: str | None) -> list[dict[str, Any]]:
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
            row["attributes"] = {ID_KEY: tag_id(tag, str(boxes.ids[i]))}
        rows.append(row)
    return rows
