"""Annotations of an image as their file gives them, not yet checked."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.file_listing import read_text
from boxloop.errors import DatasetError

MOST_DEGREES_OFF = 0.01
"""Degrees up to which a box counts as upright."""


@dataclass(frozen=True, slots=True)
class AnnotatedBox:
    """A box as an annotation file gives it.

    Attributes:
        label: name of the class.
        corners: x1, y1, x2, y2 in pixels; NaN where the file has no number there.
        place: where in the file ("object 3", "line 12").
        said: the file's own words for the coordinates, by ``str``.
    """

    label: str
    corners: tuple[float, float, float, float]
    place: str
    said: object


@dataclass(frozen=True, slots=True)
class Annotation:
    """The boxes of one image, as its annotation file gives them.

    Attributes:
        file: the annotation file.
        boxes: its boxes.
        size: the (width, height) that it declares, if it does.
        first_pixel: number of the first pixel; where it is 1 (VOC), the edges are inclusive.
        relative: whether the file gives fractions of the image, which were taken of the upright
            one.
        rejected: classes of the further boxes that the file has, which cannot be read and are
            logged; None for a class that is not known.
    """

    file: Path
    boxes: Sequence[AnnotatedBox]
    size: tuple[int, int] | None = None
    first_pixel: int = 0
    relative: bool = False
    rejected: Sequence[str | None] = ()

    def of_classes(self, wanted: Collection[str]) -> Annotation:
        """Return it without boxes that cannot be read and are of other classes than these."""
        if not self.rejected:
            return self
        mine = tuple(label for label in self.rejected if label is None or label in wanted)
        return replace(self, rejected=mine)


def to_float(value: object) -> float:
    """Convert text or a number to float; anything else to NaN.

    A text is written as in C: neither 1_000 nor other scripts' digits, which Python reads, too.
    """
    if isinstance(value, str):
        try:
            return float(value) if value.isascii() and "_" not in value else math.nan
        except ValueError:
            return math.nan
    return to_number(value)


def to_number(value: object) -> float:
    """Convert a JSON number to float; anything else, a text that looks like one too, to NaN."""
    if type(value) is float:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan


def from_upright(degrees: float) -> float:
    """Return by how many degrees a rotation leaves the nearest upright position; 0 for no number.

    Turned by 180 degrees, a box lies where it did.
    """
    return abs(math.remainder(degrees, 180)) if math.isfinite(degrees) else 0.0


def to_size(width: object, height: object) -> tuple[int, int] | None:
    """Return a declared size in whole pixels; None where it is none."""
    w, h = to_float(width), to_float(height)
    return (int(w), int(h)) if 0 < w < 1e9 and 0 < h < 1e9 else None


def read_columns(file: Path, image_id: str, log: FaultLog) -> list[tuple[str, list[str]]] | None:
    """Read a label file of one box per line: (place, columns) of each line that is not blank.

    None where the file cannot be read, which is logged.
    """
    try:
        lines = read_text(file).splitlines()
    except DatasetError as error:
        detail = str(error).removeprefix(f"{file} ")
        log.add(FaultKind.MALFORMED_ANNOTATION, file, detail, image_id)
        return None
    split = ((f"line {number}", line.split()) for number, line in enumerate(lines, start=1))
    return [(place, columns) for place, columns in split if columns]
