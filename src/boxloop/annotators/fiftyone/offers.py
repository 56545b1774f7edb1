"""What an image's record in the database remembers of the proposals that a person was shown.

It lies beside the editable boxes as one JSON string: a second field of boxes would share their ids,
and the App would edit both. The ids of the App's boxes are MongoDB's, so it also holds which of
boxloop's ids they stand for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from boxloop.annotators.fiftyone.work import Item
from boxloop.checks import RawBox
from boxloop.edits import TOLERANCE
from boxloop.types import Boxes, ImageRef, Proposals


@dataclass(frozen=True)
class Offer:
    """The proposals of one image, and the boxes that a person began from.

    Attributes:
        item: what was shown.
        names: boxloop's id of each box of the App that was there at the start.
    """

    item: Item
    names: Mapping[str, str]

    def raw(self, object_id: Any, label: Any, bounding_box: Any) -> RawBox:
        """A box of the App in boxloop's terms: pixels and ids; nothing is checked.

        A box that was not moved gets the very coordinates that it had.

        Args:
            object_id: id of the App's box.
            label: its class, or whatever the server accepted.
            bounding_box: left, top, width and height as fractions of the image's size.
        """
        image = self.item.image
        name = self.names.get(object_id, object_id) if isinstance(object_id, str) else object_id
        try:
            left, top, width, height = (float(value) for value in bounding_box)
        except (TypeError, ValueError):
            return RawBox(name, label, bounding_box)
        xyxy = np.array(
            [
                left * image.width,
                top * image.height,
                (left + width) * image.width,
                (top + height) * image.height,
            ]
        )
        start = self.item.start
        (row,) = np.nonzero(start.ids == name)
        if len(row) and bool((np.abs(start.xyxy[row[0]] - xyxy) <= TOLERANCE).all()):
            xyxy = start.xyxy[row[0]]
        x1, y1, x2, y2 = xyxy.tolist()
        return RawBox(name, label, (x1, y1, x2, y2))


def object_id(image_id: str, box_id: str) -> str:
    """The App's id (24 hex digits) for a box of boxloop's; the same on every run."""
    return hashlib.sha256(f"{image_id}\0{box_id}".encode()).hexdigest()[:24]


def offer_of(item: Item) -> Offer:
    """The offer of an image that is not in the database yet."""
    names = {object_id(item.image.id, name): name for name in item.start.ids.tolist()}
    return Offer(item, names)


def fraction_boxes(offer: Offer) -> list[tuple[str, str, list[float], float | None]]:
    """(id, label, [left, top, width, height] as fractions, score) of the boxes to begin from."""
    image, start, shown = offer.item.image, offer.item.start, offer.item.shown
    assert shown.scores is not None
    scores = dict(zip(shown.ids.tolist(), shown.scores.tolist(), strict=True))
    rows = []
    for app_id, name in offer.names.items():
        i = start.ids.tolist().index(name)
        x1, y1, x2, y2 = start.xyxy[i].tolist()
        width, height = image.width, image.height
        box = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
        rows.append((app_id, str(start.labels[i]), box, scores.get(name)))
    return rows


def dumps(offer: Offer) -> str:
    """An offer as text."""
    item, proposals = offer.item, offer.item.offer
    content = {
        "batch": proposals.batch,
        "detector": proposals.detector,
        "checkpoint": proposals.checkpoint,
        "score_floor": proposals.score_floor,
        "score_threshold": item.score_threshold,
        "proposals": _rows(proposals.boxes[item.image.id]),
        "start": _rows(item.start),
        "names": dict(offer.names),
        "seconds": item.seconds,
        "base": item.base,
    }
    return json.dumps(content, sort_keys=True, allow_nan=False)


def loads(text: str, image: ImageRef) -> Offer:
    """An offer from its text.

    Raises:
        ValueError: it is none.
    """
    try:
        content = json.loads(text)
        boxes = {image.id: _boxes(content["proposals"], scored=True)}
        proposals = Proposals(
            content["batch"],
            content["detector"],
            content["checkpoint"],
            content["score_floor"],
            boxes,
        )
        start = _boxes(content["start"], scored=False)
        item = Item(
            image,
            proposals,
            content["score_threshold"],
            start,
            content["seconds"],
            content["base"],
        )
        return Offer(item, dict(content["names"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record of boxloop's: {error}") from None


def _rows(boxes: Boxes) -> list[list[Any]]:
    scores = [None] * len(boxes) if boxes.scores is None else boxes.scores.tolist()
    columns = (boxes.ids.tolist(), boxes.labels.tolist(), boxes.xyxy.tolist(), scores)
    return [list(row) for row in zip(*columns, strict=True)]


def _boxes(rows: Sequence[Sequence[Any]], *, scored: bool) -> Boxes:
    ids, labels, xyxy, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Boxes(
        np.array(xyxy, dtype=np.float64).reshape(-1, 4),
        np.array(labels, dtype=np.str_),
        np.array(ids, dtype=np.str_),
        np.array(scores, dtype=np.float64) if scored else None,
    )
