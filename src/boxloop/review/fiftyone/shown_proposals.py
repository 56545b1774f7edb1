"""Convert shown proposals to and from JSON, and App boxes to pixels.

The JSON lies in the image's sample, beside the editable boxes: a second field of boxes would share
their ids, and the App would edit both. The ids of the App's boxes are MongoDB's, so it also holds
which of boxloop's ids they stand for.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from boxloop.core.edits import TOLERANCE
from boxloop.core.planted import KINDS, STATES, PlantedError, check_planted
from boxloop.core.types import NOTHING, Boxes, FittedThreshold, Floats, ImageRef, Proposals
from boxloop.review.fiftyone.assignment import Item
from boxloop.review.validation import RawBox

_VEIL = "packed:"
"""What the record begins with where it is packed: the App lists a sample's texts on request."""

_LARGEST = 2**26
"""Bytes that such a record may hold."""


@dataclass(frozen=True)
class ShownProposals:
    """The proposals shown on one image, and boxloop's ids of its first boxes, by the App's."""

    item: Item
    names: Mapping[str, str]

    @classmethod
    def of(cls, item: Item) -> ShownProposals:
        """Return those of an image that is not in the database yet."""
        return cls(item, {object_id(item.image.id, i): i for i in item.start.ids.tolist()})

    def to_raw_box(self, object_id: Any, label: Any, bounding_box: Any) -> RawBox:
        """Convert a box of the App to pixels and boxloop's ids; check nothing.

        A box that was not moved gets the very coordinates that it had. The App's are left, top,
        width and height as fractions of the image's size, or whatever the server accepted.
        """
        image = self.item.image
        name = self._name(object_id) if isinstance(object_id, str) else object_id
        if not _is_four_numbers(bounding_box):
            return RawBox(name, label, bounding_box)
        left, top, width, height = bounding_box
        w, h = image.width, image.height
        xyxy = np.array([left * w, top * h, (left + width) * w, (top + height) * h])
        for known in (self.item.start, self.item.proposals.boxes[image.id]):
            (row,) = np.nonzero(known.ids == name)
            if len(row):
                if bool((np.abs(known.xyxy[row[0]] - xyxy) <= TOLERANCE).all()):
                    xyxy = known.xyxy[row[0]]
                break
        x1, y1, x2, y2 = xyxy.tolist()
        return RawBox(name, label, (x1, y1, x2, y2))

    def _name(self, app_id: str) -> str:
        """Return boxloop's id of a box to start from, or of a proposal that was not drawn."""
        return self.names.get(app_id) or self._others.get(app_id, app_id)

    @cached_property
    def below(self) -> Boxes:
        """The proposals between the score floor and the threshold, for a person who asks for them.

        None where no proposal is to be shown at all, and none that the person starts from.
        """
        item = self.item
        boxes = item.proposals.boxes[item.image.id]
        if item.score_threshold >= NOTHING or item.blind:
            return Boxes.empty(scored=True)
        started = np.isin(boxes.ids, item.start.ids)
        return boxes.select(~boxes.reach(item.score_threshold) & ~started)

    @cached_property
    def drawn_scores(self) -> Floats:
        """The scores of the proposals that are drawn."""
        scores = self.item.drawn.scores
        return np.empty(0) if scores is None else scores

    @cached_property
    def _others(self) -> Mapping[str, str]:
        image_id, known = self.item.image.id, set(self.names.values())
        ids = self.item.proposals.boxes[image_id].ids.tolist()
        return {object_id(image_id, i): i for i in ids if i not in known}


def object_id(image_id: str, box_id: str) -> str:
    """Return the App's id (24 hex digits) of one of boxloop's boxes."""
    return hashlib.sha256(f"{image_id}\0{box_id}".encode()).hexdigest()[:24]


def to_fractions(image: ImageRef, xyxy: Sequence[float]) -> list[float]:
    """Convert a box to the App's [left, top, width, height] as fractions of the image."""
    (x1, y1, x2, y2), width, height = xyxy, image.width, image.height
    return [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]


def app_boxes(shown: ShownProposals) -> list[tuple[str, str, list[float], float | None]]:
    """Convert the boxes to start from to the App's form.

    Returns:
        (App's id, label, [left, top, width, height] as fractions of the image, score) of each.
    """
    image, start, drawn = shown.item.image, shown.item.start, shown.item.drawn
    assert drawn.scores is not None
    scores = dict(zip(drawn.ids.tolist(), drawn.scores.tolist(), strict=True))
    rows = []
    for app_id, name in shown.names.items():
        i = start.ids.tolist().index(name)
        box = to_fractions(image, start.xyxy[i].tolist())
        rows.append((app_id, str(start.labels[i]), box, scores.get(name)))
    return rows


def dumps(shown: ShownProposals) -> str:
    """Convert to JSON; unreadable to who looks into the App where that would give away a trial."""
    item, proposals = shown.item, shown.item.proposals
    image = item.image
    content = {
        "size": [image.width, image.height],
        "digest": image.digest,
        "batch": proposals.batch,
        "detector": proposals.detector,
        "checkpoint": proposals.checkpoint,
        "score_floor": proposals.score_floor,
        "score_threshold": item.score_threshold,
        "thresholds": [asdict(fitted) for fitted in proposals.thresholds],
        "proposals": _rows(proposals.boxes[image.id]),
        "start": _rows(item.start),
        "names": dict(shown.names),
        "seconds": item.seconds,
        "base": item.base,
    }
    if item.blind:
        content["blind"] = True
    if not item.timed:
        content["timed"] = False
    if item.planted:
        content["planted"] = [asdict(error) for error in item.planted]
    text = json.dumps(content, sort_keys=True, allow_nan=False)
    return _VEIL + base64.b64encode(zlib.compress(text.encode())).decode() if item.secret else text


def loads(text: str, image: ImageRef) -> ShownProposals:
    """Parse the JSON of :func:`dumps`.

    Raises:
        ValueError: it is damaged, or made for other pixels or an image of another size.
    """
    try:
        content = json.loads(_unveiled(text))
        # A record of older versions does not tell the pixels.
        if content.get("digest", image.digest) != image.digest:
            raise ValueError("made for other pixels")
        if content["size"] != [image.width, image.height]:
            raise ValueError("made for an image of another size")
        boxes = {image.id: _boxes(content["proposals"], scored=True)}
        proposals = Proposals(
            _text(content["batch"]),
            _text(content["detector"]),
            _text(content["checkpoint"]),
            _number(content["score_floor"]),
            boxes,
            # A record of boxloop 0.1 has none.
            tuple(_fitted(row) for row in content.get("thresholds", [])),
        )
        item = Item(
            image,
            proposals,
            _number(content["score_threshold"]),
            _boxes(content["start"], scored=False),
            _number(content["seconds"]),
            _text(content["base"]),
            content.get("blind") is True,
            tuple(_planted(row) for row in content.get("planted", [])),
            text.startswith(_VEIL),
            content.get("timed") is not False,
        )
        check_planted(item.counted, item.planted)
        names = {_text(key): _text(name) for key, name in content["names"].items()}
        if sorted(names.values()) != sorted(item.start.ids.tolist()):
            raise ValueError("not the ids of the boxes to start from")
        return ShownProposals(item, names)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a record of boxloop's: {error}") from None


def image_of(text: str, image: ImageRef) -> ImageRef:
    """Return the image that a record was made for: this one, or one of other pixels by its name.

    Raises:
        ValueError: the record is damaged.
    """
    try:
        content = json.loads(_unveiled(text))
        digest = _text(content.get("digest", image.digest))
        if digest == image.digest:
            return image
        width, height = content["size"]
        return replace(image, width=width, height=height, digest=digest)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a record of boxloop's: {error}") from None


def _fitted(row: Mapping[str, Any]) -> FittedThreshold:
    iou, score, saving = row["iou_threshold"], row["score"], row["expected_saving"]
    expected = None if saving is None else _number(saving)
    return FittedThreshold(_number(iou), _number(score), expected, _text(row["found"]))


def _unveiled(text: str) -> str:
    if not text.startswith(_VEIL):
        return text
    unpacker = zlib.decompressobj()
    try:
        packed = base64.b64decode(text.removeprefix(_VEIL), validate=True)
        found = unpacker.decompress(packed, _LARGEST)
    except zlib.error as error:
        raise ValueError(f"not a record of boxloop's: {error}") from None
    if unpacker.unconsumed_tail:
        raise ValueError("larger than any record of boxloop's")
    return found.decode()


def _planted(row: Mapping[str, Any]) -> PlantedError:
    if row["kind"] not in KINDS or row["state"] not in STATES:
        raise ValueError(f"no planted error: {row!r}")
    x1, y1, x2, y2 = map(_number, row["xyxy"])
    fields = {key: _text(row[key]) for key in ("kind", "box", "shown", "label", "state")}
    reviewer = None if row["reviewer"] is None else _text(row["reviewer"])
    more: Any = fields | {"xyxy": (x1, y1, x2, y2), "reviewer": reviewer}
    return PlantedError(score=_number(row["score"]), **more)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"not a text: {value!r}")
    return value


def _number(value: Any) -> float:
    """Return a number that can be a score or a time."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"not a number: {value!r}")
    if not 0 <= value < math.inf:
        raise ValueError(f"out of range: {value!r}")
    return float(value)


def _is_four_numbers(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 4
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    )


def _rows(boxes: Boxes) -> list[list[Any]]:
    scores = [None] * len(boxes) if boxes.scores is None else boxes.scores.tolist()
    columns = (boxes.ids.tolist(), boxes.labels.tolist(), boxes.xyxy.tolist(), scores)
    return [list(row) for row in zip(*columns, strict=True)]


def _boxes(rows: Sequence[Sequence[Any]], *, scored: bool) -> Boxes:
    ids, labels, xyxy, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Boxes(
        np.array(xyxy, dtype=np.float64).reshape(-1, 4),
        np.array([_text(label) for label in labels], dtype=np.str_),
        np.array([_text(name) for name in ids], dtype=np.str_),
        np.array(scores, dtype=np.float64) if scored else None,
    )
