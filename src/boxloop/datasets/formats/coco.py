"""COCO's JSON: ``images``, ``annotations`` with ``bbox`` = [x, y, width, height], ``categories``.

``dataset.annotations`` is the JSON file, relative to ``dataset.path``, or a list of several, which
are one dataset: ``train``, ``val`` and ``test`` of an export. ``dataset.images`` is the folder that
the ``file_name`` entries start from. Without it, it is ``images/`` or ``dataset.path``, and where
the images are not there, the folder below ``dataset.path`` in which they are found (see
:mod:`boxloop.datasets.image_places`). Images that lie there and are not listed are counted; where
``dataset.labels`` says that people label what is not labeled yet, they come after the listed ones.

Temporal order is the order of the ``images`` lists, an id is the file name without its ending (of
several files, below the folder that is common to all their images), and classes come in the order
of their category ids. Left out are crowd regions (``iscrowd: 1``), which stand for no single
object, rotated boxes, and Roboflow's category for all others, which has no box. An image of nothing
but crowds is left out, too: it is not one without objects.

An export holds ``images/`` and ``annotations/instances_default.json``: so CVAT calls its own
exports, and what it looks for in archives that it imports. Proposals carry their ``score``, and
their ids in ``attributes.boxloop_id``, which ``import-corrections`` finds again where the tool
keeps attributes. The ids start with a digest of the proposals' file: a newer detector's proposals
have the same ids, and are other boxes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from boxloop import __version__
from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets.annotations import Annotation
from boxloop.datasets.cleaning import Dataset, build_dataset, probe_refs
from boxloop.datasets.coco_json import (
    is_label_studio,
    read_categories,
    read_content,
    root_categories,
)
from boxloop.datasets.faults import UNLISTED, FaultKind, FaultLog
from boxloop.datasets.file_listing import ids_of, list_files, natural_key, require_folder
from boxloop.datasets.format_protocol import ExportContent
from boxloop.datasets.formats.coco_lists import BoxesOfRows, Row, list_images, read_boxes
from boxloop.datasets.image_places import ImageFolder, find_folder
from boxloop.datasets.images import Progress
from boxloop.errors import DatasetError
from boxloop.files import write_json
from boxloop.params import DatasetParams
from boxloop.terminal import counted

KEYS: tuple[str, ...] = ("annotations", "images")

IMAGES = "images"

SPLITS = True

FILE = Path("annotations") / "instances_default.json"

ID_KEY = "boxloop_id"
"""The attribute that holds the id of a proposal, see :func:`tag_id`."""


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Read COCO files and their images.

    Raises:
        DatasetError: a file is missing or not COCO's, no image is usable, or a class is unknown.
    """
    require_folder(root)
    log = FaultLog()
    entries: dict[str, _Entry] = {}
    sources = [
        _read_source(file, params, root, entries, log) for file in _annotation_files(params, root)
    ]
    unlisted = _unlisted(sources, entries)
    if params.takes_unlabeled:
        entries |= {path: _Entry(Path(path), None, False, [], ()) for path in unlisted}
    elif unlisted:
        log.left_out[UNLISTED] = len(unlisted)
    start = f"{_common(sources).as_posix()}/"
    names = [PurePosixPath(path.removeprefix(start)) for path in entries]
    path_of = dict(zip(ids_of(names), entries, strict=True))
    refs = probe_refs([(key, Path(path)) for key, path in path_of.items()], log, progress)
    annotations = {ref.id: entries[path_of[ref.id]].annotation(ref) for ref in refs}
    classes = _classes(sources, params.classes or (), log)
    return build_dataset(params, refs, annotations, classes, log)


def read_listed(
    file: Path, log: FaultLog
) -> dict[str, tuple[str, Callable[[ImageRef], Annotation]]]:
    """Return the name of each image that a file lists, and what makes its annotation, by place.

    The images may be anywhere.

    Raises:
        DatasetError: the file is missing or not COCO's.
    """
    content = read_content(file)
    categories = read_categories(content["categories"], file)
    stored = is_label_studio(content)
    listed = list_images(content.pop("images"), file, log)
    rows, rejected = read_boxes(content.pop("annotations"), file, categories, listed, log)
    return {
        place: (name, _Entry(file, size, stored, rows[key], rejected[key]).annotation)
        for place, key, name, size in listed
    }


@dataclass(frozen=True, slots=True)
class _Entry:
    """A usable entry of the list ``images``: its file, declared size and boxes."""

    file: Path
    size: tuple[int, int] | None
    stored_size: bool
    rows: list[Row]
    rejected: Sequence[str | None]

    def annotation(self, ref: ImageRef) -> Annotation:
        """Return the boxes of the image, and the size that they are meant for."""
        size = self.size
        if self.stored_size and size == (ref.height, ref.width):
            size = ref.width, ref.height
        return Annotation(self.file, BoxesOfRows(self.rows), size, rejected=self.rejected)


@dataclass(frozen=True, slots=True)
class _Source:
    """What an annotation file says besides its images."""

    file: Path
    images: ImageFolder
    classes: tuple[str, ...]
    boxed: frozenset[str]
    roots: frozenset[str]


def _annotation_files(params: DatasetParams, root: Path) -> list[Path]:
    if params.annotations:
        given = params.annotations
        return [root / name for name in ((given,) if isinstance(given, str) else given)]
    found = [path.as_posix() for path in list_files(root, (".json",))][:5]
    hint = f", for example {', '.join(found)}" if found else ""
    raise DatasetError(
        f"format 'coco' needs dataset.annotations, the JSON file relative to {root}{hint}"
        f" ('boxloop check {root}' tells what lies there)"
    )


def _read_source(
    file: Path, params: DatasetParams, root: Path, entries: dict[str, _Entry], log: FaultLog
) -> _Source:
    """Read one file; its images are added to ``entries``, by path."""
    content = read_content(file)
    categories = read_categories(content["categories"], file)
    stored_size = is_label_studio(content)
    # Taken out, so that they are gone once read: they are the largest part of what is in memory.
    listed = list_images(content.pop("images"), file, log)
    names = [image.name for image in listed]
    if params.images is not None:
        usual = require_folder(root / params.images, "dataset.images")
    else:
        usual = root / IMAGES if (root / IMAGES).is_dir() else root
    if names:
        folder = find_folder(names, file, root, usual, fixed=params.images is not None)
    else:
        folder = ImageFolder(usual)
    boxes = content.pop("annotations")
    rows, rejected = read_boxes(boxes, file, categories, listed, log)
    for place, key, name, size in listed:
        path = folder.find(name)
        if path is None:
            detail = f"{place}: '{name}' leads outside the dataset's folder"
            log.add(FaultKind.PATH_OUTSIDE_DATASET, file, detail)
        elif path in entries:
            of = "" if entries[path].file == file else f", in {entries[path].file} and here"
            dropped = f" ({counted(len(rows[key]), 'box')} dropped)" if rows[key] else ""
            log.add(FaultKind.DUPLICATE_ID, file, f"{place}: '{name}' occurs twice{of}{dropped}")
        else:
            entries[path] = _Entry(file, size, stored_size, rows[key], rejected[key])
    boxed = {label for boxes in rows.values() for _, label, _ in boxes}
    used = {key for key, name in categories.items() if name in boxed}
    above = root_categories(content["categories"], used)
    roots = {categories[key] for key in above} - {
        name for key, name in categories.items() if key not in above
    }
    return _Source(file, folder, tuple(categories.values()), frozenset(boxed), frozenset(roots))


def _classes(sources: Sequence[_Source], wanted: Sequence[str], log: FaultLog) -> list[str]:
    """Return all classes, but for those that stand for others and have no box."""
    known = list(dict.fromkeys(name for source in sources for name in source.classes))
    boxed = {name for source in sources for name in source.boxed}
    roots = {name for source in sources for name in source.roots} - boxed - set(wanted)
    classes = [name for name in known if name not in roots]
    if not classes:
        return known
    if len(classes) < len(known):
        what = "categories without a box that are the supercategory of others"
        log.left_out[what] = len(known) - len(classes)
    return classes


def _common(sources: Sequence[_Source]) -> Path:
    """Return the folder that holds all images."""
    return Path(os.path.commonpath([source.images.folder for source in sources]))


def _unlisted(sources: Sequence[_Source], entries: dict[str, _Entry]) -> list[str]:
    """Return the images that lie where listed ones do, and that no file lists, in natural order."""
    folders = {source.images.folder: source.images for source in sources}
    found = {path for folder in folders.values() for path in folder.listed} - entries.keys()
    return sorted(found, key=natural_key)


# --- export ---------------------------------------------------------------------------------------


def tag_id(tag: str, proposal_id: str) -> str:
    """Return a proposal's id, made unique among all files of proposals."""
    return f"{tag}/{proposal_id}"


def write(folder: Path, content: ExportContent) -> None:
    """Write the annotation file; of a split, one per side, ``instances_train.json`` and so on.

    Ids of images, categories and annotations count from 1 (some readers take 0 for "none").
    ``bbox`` is [x, y, width, height] in pixels, not rounded.
    """
    for side in content.sides:
        _write_file(folder / FILE.with_name(f"instances_{side}.json"), content.side(side))
    if not content.sides:
        _write_file(folder / FILE, content)


def _write_file(file: Path, content: ExportContent) -> None:
    categories = {name: i for i, name in enumerate(content.classes, start=1)}
    images: list[dict[str, Any]] = [
        {
            "id": number,
            "file_name": content.names[image.id].as_posix(),
            "width": image.width,
            "height": image.height,
        }
        for number, image in enumerate(content.images, start=1)
    ]
    for row, image in zip(images, content.images, strict=True):
        if image.id in content.incomplete:  # by the key of LVIS
            missing = content.incomplete[image.id]
            row["not_exhaustive_category_ids"] = [categories[name] for name in missing]
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
    write_json(file, payload)


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
