"""Find COCO's files in a folder: those that together are one dataset."""

from __future__ import annotations

import json
import mmap
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from boxloop.datasets.coco_json import LISTS, read_content, values
from boxloop.datasets.file_listing import read_text, regular
from boxloop.datasets.foreign import is_coco, is_wide, name_file
from boxloop.datasets.image_places import find_folder
from boxloop.errors import DatasetError
from boxloop.files import open_regular, parse_json

_MOST_FILES = 20
_LARGE = 64 * 2**20
"""Bytes from which on a file is not parsed to tell what it is."""

_SPLITS = (("train",), ("val", "valid", "validation"), ("test",))


def find_coco_files(
    root: Path, files: Sequence[PurePosixPath], images: Sequence[PurePosixPath]
) -> tuple[list[PurePosixPath], list[PurePosixPath], list[str]]:
    """Return COCO's files of detections that are one dataset, and those of the same images.

    Where one is called as COCO calls its own, ``instances_...``, the others are other annotations.
    What cannot be read may be a part of the dataset, too: of such files there is a sentence each.

    Args:
        root: the dataset's folder.
        files: JSON files below it.
        images: image files below it.
    """
    by_size = sorted(files, key=lambda path: (-_size(root / path), path))[:_MOST_FILES]
    looks = {path: _listed(root / path) for path in by_size}
    named = {path: names for path, (names, _) in looks.items() if names is not None}
    found = sorted(named, key=lambda path: (not path.stem.startswith("instances_"), *_rank(path)))
    folders = {folder for path in images for folder in path.parents[:-1]}
    chosen: list[PurePosixPath] = []
    others: list[PurePosixPath] = []
    seen: set[str] = set()
    instances = any(path.stem.startswith("instances_") for path in found)
    for path in found:
        # Pictures beside their file, or below it, are other ones than those beside another file.
        start = f"{path.parent}/" if path.parent in folders else ""
        names = {start + name for name in named[path]}
        if names & seen or (instances and not path.stem.startswith("instances_")):
            others.append(path)
        else:
            chosen.append(path)
            seen |= names
    return chosen, others, [why for _, why in looks.values() if why is not None]


def root_of(file: Path) -> Path:
    """Return the folder that an annotation file's images lie in: its own, or the one above.

    Raises:
        DatasetError: the file is not COCO's, or its images lie in neither.
    """
    content = read_content(file)
    names = [name for entry in content["images"] for name in values(entry, "file_name")]
    texts = [name for name in names if isinstance(name, str) and name]
    if not texts:
        raise DatasetError(f"{file} lists no image")
    first: DatasetError | None = None
    for root in (file.parent, file.parent.parent):
        try:
            find_folder(texts, file, root, root, fixed=False)
        except DatasetError as error:
            first = first or error
        else:
            return root
    raise first or DatasetError(f"{file} lists no image")


def look_into(file: Path) -> tuple[Any, str | None]:
    """Return the content of a JSON file; else None, and a sentence on a file that is none."""
    if not regular(file):
        return None, None
    text = ""
    try:
        text = read_text(file)
        return parse_json(text, halves=True), None
    except DatasetError as error:
        why = str(error)
    except ValueError as error:
        why = f"{file} {error}"
    try:
        return json.loads(text), None  # it is JSON, if a careless one
    except RecursionError:
        return None, None
    except ValueError:
        foreign = name_file(file)
        return None, why if foreign is None else foreign.sentence(file)


def _rank(path: PurePosixPath) -> tuple[int, PurePosixPath]:
    """Return what sorts training, validation and test in this order."""
    text = path.as_posix().lower()
    place = next((i for i, words in enumerate(_SPLITS) if any(w in text for w in words)), 0)
    return place, path


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except OSError:
        return 0


def _listed(file: Path) -> tuple[set[str] | None, str | None]:
    """Return the file names that a COCO file lists, none of a large one; None for other files.

    Of a file that is no JSON there is a sentence, too.
    """
    if _size(file) > _LARGE:
        found = _find_lists(file)
        if found is None:
            return None, f"{file} is not UTF-8 text: save it as UTF-8"
        if found in (0, len(LISTS)):
            return (set() if found else None), None
    content, why = look_into(file)
    if not is_coco(content):
        return None, why
    names = [name for entry in content["images"] for name in values(entry, "file_name")]
    return {name for name in names if isinstance(name, str)}, None


def _find_lists(file: Path) -> int | None:
    """Return how many of COCO's lists a file names; None where it is UTF-16 text."""
    try:
        with (
            open_regular(file) as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as m,
        ):
            return None if is_wide(m[:4]) else sum(m.find(f'"{k}"'.encode()) >= 0 for k in LISTS)
    except (OSError, ValueError):
        return 0
