"""What can be wrong in a dataset, what is done about it, and the log that collects it."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

_MOST_CHARACTERS = 500  # of one detail: an annotation file can hold anything


class FaultKind(StrEnum):
    """What can be wrong with one image, annotation or box."""

    UNREADABLE_IMAGE = "unreadable_image"
    MISSING_IMAGE = "missing_image"
    MISSING_ANNOTATION = "missing_annotation"
    MALFORMED_ANNOTATION = "malformed_annotation"
    NOT_A_NUMBER = "not_a_number"
    ZERO_SIZE_BOX = "zero_size_box"
    BOX_OUTSIDE_IMAGE = "box_outside_image"
    BOX_CLIPPED = "box_clipped"
    UNKNOWN_CLASS = "unknown_class"
    UNKNOWN_IMAGE = "unknown_image"
    DUPLICATE_ID = "duplicate_id"
    SIZE_MISMATCH = "size_mismatch"
    PATH_OUTSIDE_DATASET = "path_outside_dataset"


CONSEQUENCES: Mapping[FaultKind, str] = {
    FaultKind.UNREADABLE_IMAGE: "image set aside",
    FaultKind.MISSING_IMAGE: "image set aside",
    FaultKind.MISSING_ANNOTATION: "image set aside",
    FaultKind.MALFORMED_ANNOTATION: "what it describes set aside",
    FaultKind.NOT_A_NUMBER: "box set aside",
    FaultKind.ZERO_SIZE_BOX: "box set aside",
    FaultKind.BOX_OUTSIDE_IMAGE: "box set aside",
    FaultKind.BOX_CLIPPED: "box cut at the image's edge",
    FaultKind.UNKNOWN_CLASS: "box set aside",
    FaultKind.UNKNOWN_IMAGE: "box set aside",
    FaultKind.DUPLICATE_ID: "the first one kept",
    FaultKind.SIZE_MISMATCH: "boxes kept as they are",
    FaultKind.PATH_OUTSIDE_DATASET: "path not followed",
}
"""What boxloop does about each kind."""


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong in a dataset.

    Attributes:
        kind: what sort of thing.
        file: the file that holds it, as reachable from the current folder.
        detail: the place in the file, what it says there, and what is wrong with that.
        image_id: the image it concerns, where it concerns one.
    """

    kind: FaultKind
    file: str
    detail: str
    image_id: str | None = None


@dataclass
class FaultLog:
    """Collects faults while a dataset is read."""

    faults: list[Fault] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def add(
        self, kind: FaultKind, file: Path | str, detail: str, image_id: str | None = None
    ) -> None:
        """Notes one fault."""
        shown = _printable(Path(file).as_posix())
        known_as = None if image_id is None else _printable(image_id)
        self.faults.append(Fault(kind, shown, _printable(detail), known_as))


def _printable(text: str) -> str:
    """``text`` for a file and a terminal: of bounded length, with what neither can take escaped."""
    text = text if len(text) <= _MOST_CHARACTERS else text[:_MOST_CHARACTERS] + "..."
    escaped = "".join(
        char.encode("unicode_escape").decode() if is_control(char) else char for char in text
    )
    return escaped.encode("utf-8", "backslashreplace").decode("utf-8")


def is_control(char: str) -> bool:
    """True for control characters and for lone surrogates, which UTF-8 cannot hold."""
    return unicodedata.category(char) in ("Cc", "Cs")
