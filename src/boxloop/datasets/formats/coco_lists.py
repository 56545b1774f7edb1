"""The entries of COCO's lists ``images`` and ``annotations``: which can be used, and what for."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from boxloop.datasets.annotations import MOST_DEGREES_OFF, AnnotatedBox, to_number, to_size
from boxloop.datasets.coco_json import bare_id, is_id, rotation, values
from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.terminal import counted

_NAMED = 5  # so many places are spelled out in a fault


class ListedImage(NamedTuple):
    """A usable entry of the list ``images``."""

    place: str  # in the file
    key: int | str  # its id, which other images may have too
    name: str
    size: tuple[int, int] | None


Row = tuple[int, str, list[Any]]
"""An entry of the list ``annotations``: its number, class and ``bbox``."""


class BoxesOfRows(Sequence[AnnotatedBox]):
    """The boxes of one image, made when they are asked for: there may be millions."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return BoxesOfRows(self._rows[index])
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


def list_images(entries: list[Any], file: Path, log: FaultLog) -> list[ListedImage]:
    """Read the list ``images``. Several may have one id, of which nothing tells whose boxes are."""
    found: dict[tuple[Hashable, str], ListedImage] = {}
    for number, entry in enumerate(entries):
        place = f"images[{number}]"
        key, name, width, height = values(entry, "id", "file_name", "width", "height")
        if not is_id(key, int, str) or not isinstance(name, str) or not name:
            detail = f"{place}: needs an 'id' and a 'file_name'"
            log.add(FaultKind.MALFORMED_ANNOTATION, file, detail)
        elif (key, name) in found:
            log.add(FaultKind.DUPLICATE_ID, file, f"{place}: image id {key} occurs twice")
        else:
            found[key, name] = ListedImage(place, key, name, to_size(width, height))
    return list(found.values())


def read_boxes(
    entries: list[Any],
    file: Path,
    categories: dict[Hashable, str],
    images: Sequence[ListedImage],
    log: FaultLog,
) -> tuple[dict[Hashable, list[Row]], Mapping[Hashable, Sequence[str | None]]]:
    """Read the boxes of every id of a listed image, and the classes of those that cannot be used.

    An image of nothing but a crowd is not one without objects, nor is one whose boxes give its id
    in another type.
    """
    alike = {bare_id(image.key): image.key for image in images}
    boxes: dict[Hashable, list[Row]] = {image.key: [] for image in images}
    rejected: dict[Hashable, list[str | None]] = {image.key: [] for image in images}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            detail = f"annotations[{number}]: is not an object"
            log.add(FaultKind.MALFORMED_ANNOTATION, file, detail)
            continue
        key, category = entry.get("image_id"), entry.get("category_id")
        bbox: Any = entry.get("bbox")
        if not is_id(key, int, str) or key not in boxes:
            detail = f"annotations[{number}]: there is no image {key!r}"
            if (like := _find_alike(key, alike)) is not None:
                detail += f", but {like!r}: write both as numbers, or both as texts"
                rejected[like].append(_label(category, categories))
            log.add(FaultKind.UNKNOWN_IMAGE, file, detail)
        elif entry.get("iscrowd") in (1, "1"):
            log.left_out["crowd regions"] += 1
            rejected[key].append(_label(category, categories))
        elif (fault := _fault(entry, category, bbox, categories)) is not None:
            kind, why = fault
            log.add(kind, file, f"annotations[{number}]: {why}")
            rejected[key].append(_label(category, categories))
        else:
            boxes[key].append((number, categories[category], bbox))
    for key, places in _shared(images).items():
        if rows := boxes[key]:
            named = ", ".join(places[:_NAMED]) + (", ..." if len(places) > _NAMED else "")
            detail = (
                f"{named}: share the id {key}, and nothing tells whose its"
                f" {counted(len(rows), 'box')} {'are' if len(rows) > 1 else 'is'}: give each image"
                " an id of its own, in its boxes too"
            )
            log.add(FaultKind.SHARED_ID, file, detail)
            rejected[key] += [label for _, label, _ in rows]
            boxes[key] = []
    return boxes, rejected


def _label(category: Any, categories: Mapping[Hashable, str]) -> str | None:
    return categories.get(category) if is_id(category, int) else None


def _find_alike(value: Any, alike: Mapping[int | str, int | str]) -> int | str | None:
    """Return the id of a listed image that a value would be, were it of its type."""
    return alike.get(bare_id(value)) if is_id(value, int, float, str) else None


def _shared(images: Sequence[ListedImage]) -> Mapping[Hashable, Sequence[str]]:
    """Return the places of the images that have one id, by this id."""
    places = defaultdict[Hashable, list[str]](list)
    for image in images:
        places[image.key].append(image.place)
    return {key: found for key, found in places.items() if len(found) > 1}


def _fault(
    entry: dict[str, Any], category: Any, bbox: Any, categories: dict[Hashable, str]
) -> tuple[FaultKind, str] | None:
    """Return why an entry is no upright box of a known class."""
    if not is_id(category, int) or category not in categories:
        return FaultKind.UNKNOWN_CLASS, f"has no known category {category!r}"
    if not isinstance(bbox, list) or len(bbox) != 4:
        return FaultKind.MALFORMED_ANNOTATION, "'bbox' is not four numbers"
    # Asked for first, because most files have neither, and millions of boxes.
    if "attributes" not in entry and "rotation" not in entry:
        return None
    turned = rotation(entry)
    if turned > MOST_DEGREES_OFF:
        return FaultKind.ROTATED_BOX, f"{categories[category]}, is rotated by {turned:g} degrees"
    return None
