"""COCO's JSON: ``images``, ``annotations`` with ``bbox`` = [x, y, width, height], ``categories``.

``dataset.annotations`` is the JSON file and ``dataset.images`` the folder that its ``file_name``
entries start from, both relative to ``dataset.path``; without the latter it is ``images/`` where
that exists, else ``dataset.path`` itself. Temporal order is the order of the ``images`` list, an id
is the file name without its ending, and classes come in the order of their category ids. Crowd
regions (``iscrowd: 1``) stand for no single object and are left out.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from boxloop.datasets.cleaning import Annotation, Dataset, RawBox, finish, probe_refs, to_float
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import ids_of, list_files, read_text, require_folder, within
from boxloop.datasets.images import Progress
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams

KEYS: tuple[str, ...] = ("annotations", "images")
"""The optional keys of ``dataset`` that this format understands."""


def load(params: DatasetParams, root: Path, progress: Progress | None = None) -> Dataset:
    """Reads one COCO file and its images.

    Raises:
        DatasetError: the file is missing or not COCO's, no image is usable, or a class is unknown.
    """
    require_folder(root)
    file = _annotation_file(params, root)
    folder = root / "images" if params.images is None else root / params.images
    if params.images is not None:
        require_folder(folder, "dataset.images")
    elif not folder.is_dir():
        folder = root
    content = read_content(file)
    categories = read_categories(content["categories"], file)
    log = FaultLog()
    listed = _images(content["images"], file, folder, log)
    rows = _rows(content["annotations"], file, categories, listed, log)
    images = {key: entry for key, entry in listed.items() if entry is not None}
    names = [PurePosixPath(entry.path.relative_to(folder).as_posix()) for entry in images.values()]
    keys = dict(zip(ids_of(names), images, strict=True))
    refs = probe_refs(
        [(image_id, images[key].path) for image_id, key in keys.items()], log, progress
    )
    annotations = {
        ref.id: Annotation(file, rows[keys[ref.id]], images[keys[ref.id]].size) for ref in refs
    }
    return finish(params, refs, annotations, list(dict.fromkeys(categories.values())), log)


@dataclass(frozen=True)
class _Entry:
    """A usable entry of the ``images`` list: its file and the size that it declares."""

    path: Path
    size: tuple[int, int] | None


def _annotation_file(params: DatasetParams, root: Path) -> Path:
    if params.annotations is not None:
        return root / params.annotations
    found = [path.as_posix() for path in list_files(root, (".json",))][:5]
    hint = f", for example {', '.join(found)}" if found else ""
    raise DatasetError(
        f"format 'coco' needs dataset.annotations, the JSON file relative to {root}{hint}"
    )


def read_content(file: Path) -> dict[str, list[Any]]:
    """The three lists of a COCO file, whose entries may be anything.

    Raises:
        DatasetError: the file is missing, is not JSON, or lacks one of them.
    """
    try:
        content = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise DatasetError(
            f"{file} is not valid JSON (line {error.lineno}, column {error.colno}): {error.msg}"
        ) from None
    except (RecursionError, ValueError) as error:
        raise DatasetError(f"{file} is not JSON that boxloop reads: {error}") from None
    for key in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DatasetError(f"{file} has no list '{key}': is it a COCO detection file?")
    return {key: content[key] for key in ("images", "annotations", "categories")}


def read_categories(entries: list[Any], file: Path) -> dict[Hashable, str]:
    """Names by category id, in the order of the ids.

    Raises:
        DatasetError: an entry has no id or no name, or an id has two names.
    """
    found: dict[int, str] = {}
    for number, entry in enumerate(entries):
        key = entry.get("id") if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(key, int) or not isinstance(name, str) or not name.strip():
            raise DatasetError(f"{file}, categories[{number}]: needs a whole 'id' and a 'name'")
        if found.setdefault(key, name.strip()) != name.strip():
            raise DatasetError(f"{file}, categories[{number}]: id {key} has two names")
    return dict(sorted(found.items()))


def _images(
    entries: list[Any], file: Path, folder: Path, log: FaultLog
) -> dict[Hashable, _Entry | None]:
    """Entries of the ``images`` list by their ids, in the file's order; None where set aside."""
    found: dict[Hashable, _Entry | None] = {}
    paths: set[Path] = set()
    for number, entry in enumerate(entries):
        place = f"images[{number}]"
        key = entry.get("id") if isinstance(entry, dict) else None
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(key, int | str) or not isinstance(name, str) or not name:
            log.add(
                FaultKind.MALFORMED_ANNOTATION, file, f"{place}: needs an 'id' and a 'file_name'"
            )
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
            width, height = to_float(entry.get("width")), to_float(entry.get("height"))
            known = 0 < width < 1e9 and 0 < height < 1e9
            found[key] = _Entry(path, (int(width), int(height)) if known else None)
    return found


def _rows(
    entries: list[Any],
    file: Path,
    categories: dict[Hashable, str],
    images: dict[Hashable, _Entry | None],
    log: FaultLog,
) -> dict[Hashable, list[RawBox]]:
    """The boxes of every listed image."""
    rows: dict[Hashable, list[RawBox]] = {key: [] for key in images}
    for number, entry in enumerate(entries):
        place = f"annotations[{number}]"
        if not isinstance(entry, dict):
            log.add(FaultKind.MALFORMED_ANNOTATION, file, f"{place}: is not an object")
            continue
        image, category, bbox = (entry.get(k) for k in ("image_id", "category_id", "bbox"))
        if not isinstance(image, int | str) or image not in images:
            log.add(FaultKind.UNKNOWN_IMAGE, file, f"{place}: there is no image {image!r}")
        elif entry.get("iscrowd") in (1, "1"):
            log.left_out["crowd regions"] += 1
        elif not isinstance(category, int) or category not in categories:
            log.add(FaultKind.UNKNOWN_CLASS, file, f"{place}: has no known category {category!r}")
        elif not isinstance(bbox, list) or len(bbox) != 4:
            log.add(FaultKind.MALFORMED_ANNOTATION, file, f"{place}: 'bbox' is not four numbers")
        else:
            x, y, width, height = (to_float(value) for value in bbox)
            said = "bbox " + json.dumps(bbox)
            corners = (x, y, x + width, y + height)
            rows[image].append(RawBox(categories[category], corners, place, said))
    return rows
