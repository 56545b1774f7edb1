"""Read, check and repair the MongoDB document of one image's sample.

Documents are read without FiftyOne's own objects on purpose: anybody who reaches the App's server
can write them, and those objects take for granted what such a document may lack.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import fiftyone as fo
from bson import ObjectId

from boxloop.core.types import ImageRef
from boxloop.review.fiftyone import shown_proposals
from boxloop.review.fiftyone.assignment import TWO_PEOPLE, Item
from boxloop.review.fiftyone.review_status import ReviewStatus
from boxloop.review.fiftyone.shown_proposals import ShownProposals

FIELD = "boxes"
SHOWN_FIELD = "shown_proposals"

Document = Mapping[str, Any]
AppBox = tuple[Any, Any, Any]
"""(id, label, [left, top, width, height] as fractions) of a box, with any content."""


def read_shown(document: Document, image: ImageRef) -> ShownProposals:
    """Read the proposals that were shown.

    Raises:
        ValueError: they are damaged.
    """
    text = document.get(SHOWN_FIELD)
    if not isinstance(text, str):
        raise ValueError("no text")
    return shown_proposals.loads(text, image)


def read_boxes(document: Document) -> list[AppBox]:
    """Read the boxes that are there now, unchecked.

    Raises:
        ValueError: there is something else where the boxes should be.
    """
    field = document.get(FIELD)
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


def is_begun(document: Document, status: ReviewStatus, item: Item) -> bool:
    """Return whether an image holds a person's work that is not submitted."""
    try:
        shown, now = read_shown(document, item.image), read_boxes(document)
    except ValueError:
        return False
    return shown.item.base == item.base and _is_changed(shown, now, status)


def _is_changed(shown: ShownProposals, now: Sequence[AppBox], status: ReviewStatus) -> bool:
    if status != ReviewStatus():
        return True
    start = {box_id: (label, box) for box_id, label, box, _ in shown_proposals.app_boxes(shown)}
    if len(now) != len(start):
        return True
    return any(not isinstance(i, str) or start.get(i) != (label, box) for i, label, box in now)


def other_pixels(document: Document, status: ReviewStatus, image: ImageRef) -> str:
    """Return the digest of the pixels that a person worked on, where the image has others now.

    Empty where it has not, and where nobody worked on them.
    """
    try:
        then = shown_proposals.image_of(str(document.get(SHOWN_FIELD)), image)
    except ValueError:
        return ""
    try:
        changed = _is_changed(read_shown(document, then), read_boxes(document), status)
    except ValueError:
        changed = True  # as far as anybody can tell
    return then.digest if then != image and changed else ""


def new_fields(item: Item) -> dict[str, Any]:
    """Return the fields of an image that nobody has touched yet."""
    shown = ShownProposals.of(item)
    disputed = item.proposals.detector == TWO_PEOPLE
    detections = [
        fo.Detection(
            id=box_id,
            label=label,
            bounding_box=box,
            confidence=score,
            tags=["disputed"] if disputed and score is not None and score < 1 else [],
        )
        for box_id, label, box, score in shown_proposals.app_boxes(shown)
    ]
    return {
        "metadata": fo.ImageMetadata(width=item.image.width, height=item.image.height),
        SHOWN_FIELD: shown_proposals.dumps(shown),
        FIELD: fo.Detections(detections=detections),
    }


def repair(
    document: Document, status: ReviewStatus, item: Item
) -> tuple[dict[str, Any], ReviewStatus]:
    """Return the corrections to a document and status before they are shown.

    Nothing stays of other pixels, which :func:`other_pixels` tells of before. Work that was begun
    stays, with the proposals that the person saw; images that nobody touched get the newest ones.
    What cannot be shown or understood any more goes, and the person has to look at that image once
    more. The fields to change are as MongoDB takes them.
    """
    newest = shown_proposals.dumps(ShownProposals.of(item))
    new = {name: _to_mongodb(value) for name, value in new_fields(item).items()}
    not_reviewed = replace(status, reviewed=False)
    try:
        valid = [_is_box(*box) for box in read_boxes(document)]
    except ValueError:
        return new, ReviewStatus()
    change: dict[str, Any] = {}
    if not all(valid):
        field = document[FIELD]
        rows = [row for row, keep in zip(field["detections"], valid, strict=True) if keep]
        change, status = {FIELD: {**field, "detections": rows}}, not_reviewed
    try:
        if shown_proposals.image_of(str(document.get(SHOWN_FIELD)), item.image) != item.image:
            return new, ReviewStatus()
        read_shown(document, item.image)
    except ValueError:
        if status == ReviewStatus():
            return new, status
        return change | {SHOWN_FIELD: newest}, not_reviewed
    if document[SHOWN_FIELD] == newest or is_begun(document, status, item):
        return change, status
    return new, ReviewStatus()


def _to_mongodb(value: Any) -> Any:
    return value.to_dict() if hasattr(value, "to_dict") else value


def _is_box(box_id: Any, label: Any, place: Any) -> bool:
    """Return whether the App can show a box."""
    return (
        isinstance(box_id, str)
        and isinstance(place, list)
        and len(place) == 4
        and all(isinstance(v, int | float) and math.isfinite(v) for v in place)
    )
