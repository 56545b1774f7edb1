"""An image's record in the database, as it lies there.

It is read beside FiftyOne's own objects on purpose: anybody who reaches the App's server can write
there, and those objects take for granted what such a record may lack.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import fiftyone as fo
from bson import ObjectId

from boxloop.core.types import ImageRef
from boxloop.review.fiftyone import shown_proposals
from boxloop.review.fiftyone.assignment import Item
from boxloop.review.fiftyone.review_status import Mark
from boxloop.review.fiftyone.shown_proposals import Offer

FIELD = "boxes"

Record = Mapping[str, Any]
AppBox = tuple[Any, Any, Any]
"""(id, label, [left, top, width, height] as fractions) of a box, with any content."""


def offer_in(record: Record, image: ImageRef) -> Offer:
    """What was shown.

    Raises:
        ValueError: it is not known any more.
    """
    text = record.get("offer")
    if not isinstance(text, str):
        raise ValueError("no text")
    return shown_proposals.loads(text, image)


def boxes_in(record: Record) -> list[AppBox]:
    """The boxes that are there now, unchecked; of an image without any, none.

    Raises:
        ValueError: there is something else where the boxes should be.
    """
    field = record.get(FIELD)
    if field is None:
        return []
    rows = field.get("detections") if isinstance(field, Mapping) else field
    if rows is None:
        return []
    if not isinstance(field, Mapping) or not isinstance(rows, list):
        raise ValueError("no list of boxes")
    return [_box(row) for row in rows]


def _box(row: Any) -> AppBox:
    if not isinstance(row, Mapping):
        return None, None, None
    box_id = row.get("_id")
    name = str(box_id) if isinstance(box_id, ObjectId) else box_id
    return name, row.get("label"), row.get("bounding_box")


def is_begun(record: Record, mark: Mark, item: Item) -> bool:
    """Whether a person has worked on an image, and nobody has submitted it since."""
    try:
        offer, now = offer_in(record, item.image), boxes_in(record)
    except ValueError:
        return False
    if offer.item.base != item.base:
        return False
    if mark != Mark():
        return True
    start = {
        box_id: (label, box) for box_id, label, box, _ in shown_proposals.fraction_boxes(offer)
    }
    if len(now) != len(start):
        return True
    return any(not isinstance(i, str) or start.get(i) != (label, box) for i, label, box in now)


def beginning(item: Item) -> dict[str, Any]:
    """What a record holds while nobody has touched its image."""
    offer = shown_proposals.offer_of(item)
    detections = [
        fo.Detection(id=box_id, label=label, bounding_box=box, confidence=score)
        for box_id, label, box, score in shown_proposals.fraction_boxes(offer)
    ]
    return {
        "metadata": fo.ImageMetadata(width=item.image.width, height=item.image.height),
        "offer": shown_proposals.dumps(offer),
        FIELD: fo.Detections(detections=detections),
    }


def put_right(record: Record, mark: Mark, item: Item) -> tuple[dict[str, Any], Mark]:
    """What an image's record and the note about it must be when it is opened again.

    Work that was begun stays, with the proposals that the person saw; images that nobody touched
    get the newest ones. What cannot be shown or understood any more goes, and the person has to
    look at that image once more.

    Returns:
        The fields to change, as MongoDB takes them, and the note.
    """
    newest = shown_proposals.dumps(shown_proposals.offer_of(item))
    anew = {name: _stored(value) for name, value in beginning(item).items()}
    unmarked = replace(mark, reviewed=False)
    try:
        sound = [_is_box(*box) for box in boxes_in(record)]
    except ValueError:
        return anew, Mark()
    change: dict[str, Any] = {}
    if not all(sound):
        field = record[FIELD]
        rows = [row for row, keep in zip(field["detections"], sound, strict=True) if keep]
        change, mark = {FIELD: {**field, "detections": rows}}, unmarked
    try:
        offer_in(record, item.image)
    except ValueError:
        if mark == Mark():
            return anew, mark
        return change | {"offer": newest}, unmarked
    if record["offer"] == newest or is_begun(record, mark, item):
        return change, mark
    return anew, Mark()


def _stored(value: Any) -> Any:
    return value.to_dict() if hasattr(value, "to_dict") else value


def _is_box(box_id: Any, label: Any, place: Any) -> bool:
    """Whether the App can show a box, so that a person can put right what is wrong with it."""
    return (
        isinstance(box_id, str)
        and isinstance(place, list)
        and len(place) == 4
        and all(isinstance(v, int | float) and math.isfinite(v) for v in place)
    )
