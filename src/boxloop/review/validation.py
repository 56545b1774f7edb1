"""What is checked before a person's work is believed, wherever it comes from.

It works on raw boxes, because ``Boxes`` refuses bad ones when it is built, and
a person needs to hear of all of them at once, in words about the image on the screen. They may come
from a server that anybody on the machine can write to, so nothing about them is taken for granted,
not even the types that they declare.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from boxloop.core.boxes import iou_matrix
from boxloop.core.types import Boxes, ImageRef

PLACEHOLDER = "?"
"""The class that a new box has until a person chooses one: no label of any dataset."""

RIM = 1.0
"""Pixels by which a box may stick out: a hand that drags to the rim, or another tool's rounding."""

LEAST_SIDE = 1.0
"""Pixels; a smaller box is a slip of the mouse."""

SAME_IOU = 0.95
"""IoU from which two boxes of one class are practically the same box."""

MOST_BOXES = 10_000
"""Boxes that one image may have: keeps the search for doubles short whatever is sent."""

_JITTER = 1e-3  # pixels; fractions of a side, as the App stores them, do not come back exactly
_LONGEST_ID = 200  # characters: NumPy pads every id of an image to the longest
_LONGEST_NAME = 60  # characters of a foreign name in a message


@dataclass(frozen=True)
class RawBox:
    """A box as a person or another program left it.

    Attributes:
        id: of the proposal that it came from, or any other.
        label: name of the class; None where there is none.
        xyxy: left, top, right, bottom in pixels.
    """

    id: str
    label: str | None
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class Fault:
    """One thing that has to be put right before an image can be submitted.

    Attributes:
        image_id: the image.
        box_id: the box to look at; None where the fault is not one box's, or its id is unusable.
        message: for a person who looks at the image.
    """

    image_id: str
    box_id: str | None
    message: str


def check_image(
    image: ImageRef, boxes: Sequence[RawBox], classes: Collection[str]
) -> tuple[Boxes | None, list[Fault]]:
    """Checks the boxes of one image.

    A box that sticks out of the image by at most ``RIM`` is clipped without a word.

    Args:
        image: its size bounds the boxes.
        boxes: in any order, with any content.
        classes: names that a label may have.

    Returns:
        The boxes in the order given, and no faults; or None and every fault, in the order of the
        boxes.
    """
    if len(boxes) > MOST_BOXES:
        message = (
            f"the image has {len(boxes):,} boxes, more than the {MOST_BOXES:,} that it may have"
        )
        return None, [Fault(image.id, None, message)]
    found: list[tuple[int, Fault]] = []
    usable: list[tuple[int, RawBox]] = []
    first_of: dict[str, int] = {}
    for i, raw in enumerate(boxes):
        box_id, why = _check_id(raw.id, first_of)
        if box_id is not None:
            first_of.setdefault(box_id, i)
        whys = [why] if why else []
        corners = _corners(raw.xyxy)
        name = _name(raw.label, corners, i)
        whys += _check_label(raw.label, classes)
        placed, why = _place(corners, image)
        whys += [why] if why else []
        found += [(i, Fault(image.id, box_id, f"{name} {why}")) for why in whys]
        if placed is not None and not whys:
            usable.append((i, RawBox(raw.id, raw.label, placed)))
    checked = Boxes(
        np.array([raw.xyxy for _, raw in usable], dtype=np.float64).reshape(-1, 4),
        np.array([raw.label for _, raw in usable], dtype=np.str_),
        np.array([raw.id for _, raw in usable], dtype=np.str_),
    )
    for later, earlier in _doubles(checked):
        (i, raw), other = usable[later], usable[earlier][1]
        name = _name(raw.label, raw.xyxy, i)
        why = f"lies on another one of its class, at {_point(other.xyxy)}: drawn twice?"
        found.append((i, Fault(image.id, raw.id, f"{name} {why}")))
    faults = [fault for _, fault in sorted(found, key=lambda item: item[0])]
    return (None if faults else checked), faults


def listing(faults: Sequence[Fault], most: int = 20) -> str:
    """The faults for a terminal, one on each line, and how many more there are.

    Args:
        faults: of any number of images.
        most: so many are spelled out.
    """
    lines = [f"  {shown(fault.image_id)}: {fault.message}" for fault in faults[:most]]
    if len(faults) > most:
        lines.append(f"  and {len(faults) - most} more")
    return "\n".join(lines)


def shown(name: str) -> str:
    """A foreign name on one line, of bounded length, with what a terminal cannot take escaped."""
    cut = name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


# --- one box --------------------------------------------------------------------------------------

_Corners = tuple[float, float, float, float]


def _check_id(value: object, seen: Collection[str]) -> tuple[str | None, str]:
    """(the id where it is usable, what is wrong)."""
    if not isinstance(value, str) or not value:
        return None, "has no id: delete it and draw it again"
    if len(value) > _LONGEST_ID or any(_is_control(char) for char in value):
        return None, "has an id that is no plain text: delete it and draw it again"
    if value in seen:
        return value, "has the id of another box of this image: delete it and draw it again"
    return value, ""


def _check_label(value: object, classes: Collection[str]) -> list[str]:
    if value is None or (isinstance(value, str) and value in ("", PLACEHOLDER)):
        return ["has no class chosen yet"]
    if not isinstance(value, str) or value not in classes:
        return [f"is of none of the classes {', '.join(classes)}"]
    return []


def _corners(value: object) -> _Corners | None:
    """The four numbers, where they are four finite numbers."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    numbers = []
    for item in value:
        if isinstance(item, bool) or not isinstance(item, Real):
            return None
        try:
            number = float(item)
        except (OverflowError, ValueError):
            return None
        if not math.isfinite(number):
            return None
        numbers.append(number)
    x1, y1, x2, y2 = numbers
    return x1, y1, x2, y2


def _place(corners: _Corners | None, image: ImageRef) -> tuple[_Corners | None, str]:
    """(the box, clipped to the image; what is wrong)."""
    if corners is None:
        return None, "has coordinates that are not four finite numbers: delete it"
    x1, y1, x2, y2 = corners
    if x2 - x1 < LEAST_SIDE - _JITTER or y2 - y1 < LEAST_SIDE - _JITTER:
        return None, f"has no real size ({_px(x2 - x1)} x {_px(y2 - y1)} px): delete or enlarge it"
    width, height = float(image.width), float(image.height)
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return None, "lies outside the image: delete it"
    sides = (
        (-x1, "on the left"),
        (-y1, "at the top"),
        (x2 - width, "on the right"),
        (y2 - height, "at the bottom"),
    )
    out = [f"by {_px(by)} px {where}" for by, where in sides if by > RIM + _JITTER]
    if out:
        return None, f"sticks out of the image {' and '.join(out)}"
    x1, y1, x2, y2 = max(x1, 0.0), max(y1, 0.0), min(x2, width), min(y2, height)
    if x2 - x1 < LEAST_SIDE - _JITTER or y2 - y1 < LEAST_SIDE - _JITTER:
        return None, "lies on the rim, with less than 1 px inside the image: delete or enlarge it"
    return (x1, y1, x2, y2), ""


# --- boxes that lie on each other -----------------------------------------------------------------


def _doubles(boxes: Boxes) -> list[tuple[int, int]]:
    """(later, earlier) positions of boxes of one class that are the same; each later one once.

    Where the IoU reaches t, the left edges are at most (1 - t) / t of a width apart (the IoU is no
    greater than that of the widths), so in the order of these edges only a few have to be compared.
    """
    found: dict[int, int] = {}
    left, right = boxes.xyxy[:, 0], boxes.xyxy[:, 2]
    order = np.argsort(left, kind="stable")
    reach = left + (right - left) * (1 - SAME_IOU) / SAME_IOU
    ends = np.searchsorted(left[order], reach[order] + _JITTER, side="right")
    for start, end in enumerate(ends.tolist()):
        row, others = order[start], order[start + 1 : end]
        others = others[boxes.labels[others] == boxes.labels[row]]
        if not len(others):
            continue
        iou = iou_matrix(boxes.xyxy[row : row + 1], boxes.xyxy[others])[0]
        for other in others[iou >= SAME_IOU].tolist():
            later, earlier = max(int(row), other), min(int(row), other)
            found[later] = min(earlier, found.get(later, earlier))
    return list(found.items())


# --- in words -------------------------------------------------------------------------------------


def _name(label: object, corners: _Corners | None, position: int) -> str:
    place = f"at {_point(corners)}" if corners is not None else f"number {position + 1}"
    if isinstance(label, str) and label not in ("", PLACEHOLDER):
        return f"box of class '{shown(label)}' {place}"
    return f"box {place}"


def _point(corners: _Corners) -> str:
    return f"({_px(corners[0])}, {_px(corners[1])})"


def _px(value: float) -> str:
    """Whole pixels, or the first digits of less than ten."""
    if abs(value) < 9.95:
        return f"{value:.2g}" if abs(value) < 0.995 else f"{value:.1f}".removesuffix(".0")
    return f"{value:.0f}" if abs(value) < 1e7 else f"{value:.3g}"


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs")
