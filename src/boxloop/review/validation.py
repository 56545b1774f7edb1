"""Validate boxes made by people or programs; describe every problem.

It works on raw boxes: ``Boxes`` refuses bad ones one by one, and a person needs to hear of all
problems at once, in words about the image on the screen. The boxes may come from a server that
anybody on the machine can write to, so not even the types that they declare are trusted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from boxloop import terminal
from boxloop.core.box_validation import REFUSE, Defect, inspect
from boxloop.core.boxes import iou_matrix
from boxloop.core.names import PLACEHOLDER, has_control
from boxloop.core.types import Boxes, Floats, ImageRef

SAME_IOU = 0.95
"""IoU from which two boxes of one class are practically the same box."""

MOST_BOXES = 10_000
"""Boxes that one image may have, to bound the search for doubles."""

_MARGIN = 1e-3  # pixels, of the search for doubles
_LONGEST_ID = 200  # characters: NumPy pads every id of an image to the longest
_LONGEST_NAME = 60  # characters of a foreign name in a message


@dataclass(frozen=True)
class RawBox:
    """A box as a person or another program left it."""

    id: str  # of the proposal that it came from, or any other
    label: str | None  # name of the class; None where there is none
    xyxy: tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Problem:
    """A reason why an image cannot be submitted yet."""

    image_id: str
    box_id: str | None  # None where the problem is not one box's, or its id is unusable
    message: str  # for a person who looks at the image


def check_image(
    image: ImageRef, boxes: Sequence[RawBox], classes: Collection[str]
) -> tuple[Boxes | None, list[Problem]]:
    """Check the boxes of one image.

    A box that sticks out of the image by a pixel at most is clipped without a word.

    Args:
        image: its size bounds the boxes.
        boxes: in any order, with any content.
        classes: names that a label may have.

    Returns:
        The boxes in the order given, and no problems; or None and every problem, in the order of
        the boxes.
    """
    if len(boxes) > MOST_BOXES:
        message = (
            f"the image has {len(boxes):,} boxes, more than the {MOST_BOXES:,} that it may have"
        )
        return None, [Problem(image.id, None, message)]
    corners = [_parse_corners(raw.xyxy) for raw in boxes]
    found = inspect([c or _NO_CORNERS for c in corners], image.width, image.height, REFUSE)
    problems: list[tuple[int, Problem]] = []
    usable: list[int] = []
    seen: set[str] = set()
    for i, raw in enumerate(boxes):
        box_id, why = _check_id(raw.id, seen)
        if box_id is not None:
            seen.add(box_id)
        whys = [why, _check_label(raw.label, classes)]
        whys.append(_describe(found.defects[i], corners[i], found.overhang[i]))
        name = _name(raw.label, corners[i], i)
        problems += [(i, Problem(image.id, box_id, f"{name} {why}")) for why in whys if why]
        if not any(whys):
            usable.append(i)
    checked = Boxes(
        found.clipped[usable],
        np.array([boxes[i].label for i in usable], dtype=np.str_),
        np.array([boxes[i].id for i in usable], dtype=np.str_),
    )
    xyxy = checked.xyxy.tolist()
    for later, earlier in _find_doubles(checked):
        i = usable[later]
        name = _name(boxes[i].label, xyxy[later], i)
        why = f"lies on another one of its class, at {_point(xyxy[earlier])}: drawn twice?"
        problems.append((i, Problem(image.id, boxes[i].id, f"{name} {why}")))
    in_order = [problem for _, problem in sorted(problems, key=lambda item: item[0])]
    return (None if in_order else checked), in_order


def format_problems(problems: Sequence[Problem], most: int = 20) -> str:
    """Format problems for a terminal, one per line; beyond ``most``, count them."""
    lines = [f"  {printable(p.image_id)}: {p.message}" for p in problems[:most]]
    if len(problems) > most:
        lines.append(f"  and {len(problems) - most} more")
    return "\n".join(lines)


def printable(name: str) -> str:
    """Cut a foreign name short, see :func:`boxloop.terminal.printable`."""
    return terminal.printable(name, _LONGEST_NAME, lines=False)


# --- one box --------------------------------------------------------------------------------------

_Corners = tuple[float, float, float, float]

_NO_CORNERS: _Corners = (math.nan,) * 4


def _check_id(value: object, seen: Collection[str]) -> tuple[str | None, str]:
    """Return the id where it is usable, and what is wrong with it."""
    if not isinstance(value, str) or not value:
        return None, "has no id: delete it and draw it again"
    if len(value) > _LONGEST_ID or has_control(value):
        return None, "has an id that is no plain text: delete it and draw it again"
    if value in seen:
        return value, "has the id of another box of this image: delete it and draw it again"
    return value, ""


def _check_label(value: object, classes: Collection[str]) -> str:
    if value is None or (isinstance(value, str) and value in ("", PLACEHOLDER)):
        return "has no class chosen yet"
    if not isinstance(value, str) or value not in classes:
        return f"is of none of the classes {', '.join(classes)}"
    return ""


def _parse_corners(value: object) -> _Corners | None:
    """Return four finite numbers, or None where the value is anything else."""
    if not isinstance(value, list | tuple) or len(value) != 4:
        return None
    if any(isinstance(item, bool) or not isinstance(item, Real) for item in value):
        return None
    try:
        x1, y1, x2, y2 = (float(item) for item in value)
    except (OverflowError, ValueError):
        return None
    return (x1, y1, x2, y2) if all(map(math.isfinite, (x1, y1, x2, y2))) else None


def _describe(defect: Defect | None, corners: _Corners | None, overhang: Floats) -> str:
    """Describe a defect of a box, and what to do about it."""
    if defect is None:
        return ""
    if defect is Defect.OUTSIDE:
        return "lies outside the image: delete it"
    if defect is Defect.ON_RIM:
        return "lies on the rim, with less than 1 px inside the image: delete or enlarge it"
    if defect is Defect.OVERHANG:
        sides = ("on the left", "at the top", "on the right", "at the bottom")
        out = [
            f"by {_px(by)} px {side}"
            for by, side in zip(overhang.tolist(), sides, strict=True)
            if by > REFUSE.slack
        ]
        return f"sticks out of the image {' and '.join(out)}"
    if corners is None:
        return "has coordinates that are not four finite numbers: delete it"
    x1, y1, x2, y2 = corners
    return f"has no real size ({_px(x2 - x1)} x {_px(y2 - y1)} px): delete or enlarge it"


# --- boxes that lie on each other -----------------------------------------------------------------


def _find_doubles(boxes: Boxes) -> list[tuple[int, int]]:
    """Find boxes of one class that are the same: (later, earlier) positions.

    Each later box is given once.

    Where the IoU reaches t, the left edges are at most (1 - t) / t of a width apart (the IoU is no
    greater than that of the widths), so in the order of these edges only a few have to be compared.
    """
    found: dict[int, int] = {}
    left, right = boxes.xyxy[:, 0], boxes.xyxy[:, 2]
    order = np.argsort(left, kind="stable")
    reach = left + (right - left) * (1 - SAME_IOU) / SAME_IOU
    ends = np.searchsorted(left[order], reach[order] + _MARGIN, side="right")
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


def _name(label: object, corners: Sequence[float] | None, position: int) -> str:
    place = f"at {_point(corners)}" if corners is not None else f"number {position + 1}"
    if isinstance(label, str) and label not in ("", PLACEHOLDER):
        return f"box of class '{printable(label)}' {place}"
    return f"box {place}"


def _point(corners: Sequence[float]) -> str:
    return f"({_px(corners[0])}, {_px(corners[1])})"


def _px(value: float) -> str:
    """Format pixels: whole ones, or the first digits of less than ten."""
    if abs(value) < 9.95:
        return f"{value:.2g}" if abs(value) < 0.995 else f"{value:.1f}".removesuffix(".0")
    return f"{value:.0f}" if abs(value) < 1e7 else f"{value:.3g}"
