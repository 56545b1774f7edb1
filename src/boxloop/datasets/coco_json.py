"""The content of COCO's JSON files, as reader and importer take it."""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from boxloop.datasets.annotations import from_upright, to_float, to_number
from boxloop.datasets.faults import printable
from boxloop.datasets.file_listing import exists, read_text
from boxloop.datasets.foreign import name_file, name_json
from boxloop.errors import DatasetError
from boxloop.files import parse_json

LISTS = ("images", "annotations", "categories")

_LONGEST_ID = 60  # characters of it in a message
_WHOLE = re.compile(r"([+-]?[0-9]{1,30})(?:\.0*)?")
_REST_OF_UUID = "[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_UPLOADED = re.compile(rf"(^|[/\\])[0-9a-f]{{8}}-(?!{_REST_OF_UUID}\b)[^/\\]+$")
"""A name with Label Studio's prefix, which a UUID begins like."""


def read_content(file: Path) -> dict[str, Any]:
    """Read the three lists of a COCO file, and its ``info``; their entries may be anything.

    Raises:
        DatasetError: the file is missing, is not JSON, lacks one of them, or is of another format,
            which is named.
    """
    if exists(file) and not file.is_file() and not file.is_dir():
        raise DatasetError(f"{file} is a pipe or a device: name a file")
    foreign = name_file(file)
    if foreign is not None:
        raise DatasetError(foreign.sentence(file))
    content = parse_file(file)
    foreign = name_json(content)
    if foreign is not None:
        raise DatasetError(foreign.sentence(file))
    for key in LISTS:
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DatasetError(f"{file} has no list '{key}': is it a COCO detection file?")
    place = _in_fractions(content["annotations"])
    if place is not None:
        bbox = json.dumps(content["annotations"][place]["bbox"])
        raise DatasetError(
            f"{file} has its boxes in fractions of the image (annotations[{place}]: bbox {bbox}),"
            " where COCO has pixels: multiply x and width by the image's width, y and height by its"
            " height"
        )
    return {**{key: content[key] for key in LISTS}, "info": content.get("info")}


def parse_file(file: Path) -> Any:
    """Return what a JSON file of another program holds, which may be anything.

    Raises:
        DatasetError: it cannot be read, or is no JSON.
    """
    try:
        return parse_json(read_text(file), halves=True)
    except ValueError as error:
        raise DatasetError(f"{file} {error}: export it again, or put it right") from None


def read_images(entries: list[Any], file: Path) -> dict[str, tuple[Hashable, str, Any]]:
    """Return the id, the file name and the entry of each image, by its place in the file.

    Raises:
        DatasetError: an entry has no id or no file name, or two have one id.
    """
    found: dict[str, tuple[Hashable, str, Any]] = {}
    keys: set[Hashable] = set()
    for number, entry in enumerate(entries):
        place = f"images[{number}]"
        key, name = values(entry, "id", "file_name")
        if not is_id(key, int, str) or not isinstance(name, str) or not name:
            raise DatasetError(f"{file}, {place}: needs an 'id' and a 'file_name'")
        if key in keys:
            said = printable(str(key), _LONGEST_ID)
            raise DatasetError(f"{file}, {place}: the image id {said} occurs twice")
        keys.add(key)
        found[place] = key, name, entry
    return found


def read_categories(entries: list[Any], file: Path) -> dict[Hashable, str]:
    """Return the names by category id, in the order of the ids.

    Raises:
        DatasetError: an entry has no id or no name, or an id has two names.
    """
    found: dict[int, str] = {}
    for number, entry in enumerate(entries):
        key, name = values(entry, "id", "name")
        if not is_id(key, int) or not isinstance(name, str) or not name.strip():
            raise DatasetError(f"{file}, categories[{number}]: needs a whole 'id' and a 'name'")
        if found.setdefault(key, name.strip()) != name.strip():
            raise DatasetError(f"{file}, categories[{number}]: id {key} has two names")
    return dict(sorted(found.items()))


def root_categories(entries: list[Any], boxed: set[Hashable]) -> set[Hashable]:
    """Return the ids of categories that stand for all others and have no box, as Roboflow adds one.

    Such a one is what another category names as its ``supercategory``, and has none itself.
    """
    parents = {
        above
        for entry in entries
        for above, name in [values(entry, "supercategory", "name")]
        if isinstance(above, str) and above != name
    }
    found = set()
    for entry in entries:
        key, name, above = values(entry, "id", "name", "supercategory")
        if above in (None, "", "none") and key not in boxed and name in parents:
            found.add(key)
    return found


def values(entry: Any, *keys: str) -> list[Any]:
    """Return the values of an entry, which may be anything; None for those that it lacks."""
    return [entry.get(key) if isinstance(entry, dict) else None for key in keys]


def is_id(value: Any, *kinds: type) -> bool:
    """Return whether a value is an id of one of these types; true and false are none.

    A whole float is the number that it equals: pandas writes 1.0 in a column that has gaps.
    """
    if type(value) is float:
        return int in kinds and value.is_integer()
    return isinstance(value, kinds) and not isinstance(value, bool)


def bare_id(value: int | float | str) -> int | str:
    """Return an id whatever its type and zeros: 1, "1", "1.0" and "001" are alike."""
    found = _WHOLE.fullmatch(str(value).strip())
    return str(value).strip() if found is None else int(found[1])


def rotation(entry: dict[str, Any]) -> float:
    """Return the degrees by which a box is turned from the nearest upright position.

    CVAT writes them into ``attributes.rotation``.
    """
    attributes = entry.get("attributes")
    degrees = attributes.get("rotation") if isinstance(attributes, dict) else None
    return from_upright(to_float(entry.get("rotation") if degrees is None else degrees))


def is_label_studio(content: dict[str, Any]) -> bool:
    """Return whether a file is of Label Studio: it says so, or all names have its upload prefix.

    It takes an image's size from the file as it is stored, and the boxes from what people saw: the
    image turned upright.
    """
    info, images = content.get("info"), content["images"]
    if isinstance(info, dict) and info.get("contributor") == "Label Studio":
        return True
    names = [name for entry in images for name in values(entry, "file_name")]
    return bool(names) and all(isinstance(n, str) and _UPLOADED.search(n) for n in names)


def _in_fractions(entries: Sequence[Any]) -> int | None:
    """Return the place of a box where all are in fractions of the image; else None."""
    place = None
    for number, entry in enumerate(entries):
        (bbox,) = values(entry, "bbox")
        if not isinstance(bbox, list) or len(bbox) != 4:
            continue
        numbers = [to_number(value) for value in bbox]
        if not all(0 <= value <= 1 for value in numbers):
            return None
        if place is None and any(not value.is_integer() for value in numbers):
            place = number
    return place
