"""Read corrections from COCO's JSON, as CVAT and Label Studio export it.

Every image under ``images`` counts as reviewed. ``bbox`` is taken as it is; an outline or a mask
beside it is not looked at. What stands for no single upright box (a crowd region, a rotated box) is
a problem, and so is what comes without a ``bbox`` or with a category that the file does not define.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boxloop.core.types import ImageRef
from boxloop.datasets.annotations import MOST_DEGREES_OFF, to_number
from boxloop.datasets.coco_json import (
    is_id,
    is_label_studio,
    read_categories,
    read_content,
    read_images,
    rotation,
)
from boxloop.datasets.formats.coco import ID_KEY
from boxloop.errors import DatasetError
from boxloop.review.external.file_names import FileNames, pair
from boxloop.review.validation import Problem, RawBox, printable

_NOT_EXHAUSTIVE = "not_exhaustive_category_ids"  # LVIS's key, in our own exports too
_NAMED = 5  # so many file names are spelled out in an error


@dataclass
class ReviewedImage:
    """One of the campaign's images as the file describes it."""

    image: ImageRef
    size: tuple[float, float] | None  # (width, height), where the file declares it
    by_label_studio: bool = False  # which declares the stored size, and gives upright boxes
    boxes: list[RawBox] = field(default_factory=list)  # their ids are their places in the file
    proposal_ids: list[str | None] = field(default_factory=list)  # each box's ``boxloop_id``
    problems: list[Problem] = field(default_factory=list)  # what cannot be read as a box
    outlines: int = 0  # number of boxes that have an outline or a mask beside them
    categories: tuple[str, ...] = ()  # the file's, whose objects all have a box here
    marked: tuple[str, ...] = ()  # those whose objects may lack one, as the file says


def read_coco_corrections(path: Path, images: Sequence[ImageRef]) -> list[ReviewedImage]:
    """Read the corrections in a file, by the images of the campaign that it lists, in its order.

    Raises:
        DatasetError: it is not COCO's JSON, an image of it is unknown, ambiguous or listed twice,
            or an annotation is of an image that it does not list.
    """
    content = read_content(path)
    categories = read_categories(content["categories"], path)
    reviewed = _images(content["images"], path, FileNames(images), categories)
    if is_label_studio(content):
        for item in reviewed.values():
            item.by_label_studio = True
    for number, entry in enumerate(content["annotations"]):
        place = f"annotations[{number}]"
        image_id = entry.get("image_id") if isinstance(entry, dict) else None
        if not is_id(image_id, int, str) or image_id not in reviewed:
            raise DatasetError(f"{path}, {place}: is of no image that the file lists")
        _add(entry, place, reviewed[image_id], categories)
    return list(reviewed.values())


def _images(
    entries: list[Any], path: Path, names: FileNames, categories: dict[Hashable, str]
) -> dict[Hashable, ReviewedImage]:
    rows = read_images(entries, path)
    image_of = pair({place: names.match(name) for place, (_, name, _) in rows.items()}, path)
    found: dict[Hashable, ReviewedImage] = {}
    unknown: list[str] = []
    for place, (key, name, entry) in rows.items():
        image = image_of[place]
        if image is None:
            unknown.append(printable(name))
            continue
        width, height = to_number(entry.get("width")), to_number(entry.get("height"))
        known = width > 0 and height > 0
        found[key] = item = ReviewedImage(image, (width, height) if known else None)
        _set_categories(item, entry.get(_NOT_EXHAUSTIVE), categories)
    if unknown:
        raise DatasetError(
            f"{path} lists {len(unknown)} of {len(entries)} images that are none of the"
            f" campaign's by their file names: {list_names(unknown)}"
        )
    return found


def _set_categories(item: ReviewedImage, marks: Any, categories: dict[Hashable, str]) -> None:
    marks = [] if marks is None else marks
    if not isinstance(marks, list) or not all(is_id(mark, int) for mark in marks):
        message = f"'{_NOT_EXHAUSTIVE}' is no list of category ids"
        item.problems.append(Problem(item.image.id, None, message))
        return
    known = (mark for mark in marks if mark in categories)  # of others nothing could be drawn
    item.marked = tuple(dict.fromkeys(categories[mark] for mark in known))
    item.categories = tuple(name for name in categories.values() if name not in item.marked)


def _add(
    entry: dict[str, Any], place: str, reviewed: ReviewedImage, categories: dict[Hashable, str]
) -> None:
    attributes = entry.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    category, bbox = entry.get("category_id"), entry.get("bbox")
    degrees = rotation(entry)
    why = None
    if entry.get("iscrowd") in (1, "1"):
        why = "is a crowd region (iscrowd: 1), which stands for no single object: draw boxes"
    elif degrees > MOST_DEGREES_OFF:
        why = f"is rotated by {degrees:g} degrees, and boxloop's boxes are upright: draw it so"
    elif not is_id(category, int) or category not in categories:
        why = f"has the category {printable(str(category))}, which the file does not define"
    elif not isinstance(bbox, list) or len(bbox) != 4:
        why = "has no 'bbox' of four numbers: export boxes, not outlines or masks alone"
    if why is not None:
        reviewed.problems.append(Problem(reviewed.image.id, None, f"{place} {why}"))
        return
    x, y, width, height = (to_number(value) for value in bbox or ())
    assert isinstance(category, int | float)
    corners = (x, y, x + width, y + height)
    reviewed.boxes.append(RawBox(place, categories[category], corners))
    proposal_id = attributes.get(ID_KEY, entry.get(ID_KEY))
    reviewed.proposal_ids.append(proposal_id if isinstance(proposal_id, str) else None)
    reviewed.outlines += bool(entry.get("segmentation"))


def list_names(names: Sequence[str]) -> str:
    """List the first few names, and count the others."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
