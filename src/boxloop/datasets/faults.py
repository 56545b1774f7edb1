"""The kinds of dataset faults, and their log."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

from boxloop import terminal
from boxloop.core.names import has_control as has_control

UNLABELED = "images without an annotation"
"""What images are counted as that no annotation describes."""

UNLISTED = "images that dataset.annotations does not list"
"""The same, where files list the images that they describe."""

_MOST_CHARACTERS = 500  # of one detail: an annotation file can hold anything


class FaultKind(StrEnum):
    """The kinds of faults of an image, an annotation or a box.

    Attributes:
        consequence: what is done about it.
    """

    consequence: str

    def __new__(cls, value: str, consequence: str) -> Self:
        """Make a kind that files call ``value``."""
        kind = str.__new__(cls, value)
        kind._value_, kind.consequence = value, consequence
        return kind

    UNREADABLE_IMAGE = "unreadable_image", "image dropped"
    MISSING_IMAGE = "missing_image", "image dropped"
    MISSING_ANNOTATION = "missing_annotation", "image dropped"
    MALFORMED_ANNOTATION = "malformed_annotation", "what it describes dropped"
    NOT_A_NUMBER = "not_a_number", "box dropped"
    ZERO_SIZE_BOX = "zero_size_box", "box dropped"
    BOX_OUTSIDE_IMAGE = "box_outside_image", "box dropped"
    BOX_CLIPPED = "box_clipped", "box clipped to the image"
    ROTATED_BOX = "rotated_box", "box dropped"
    NO_USABLE_BOX = "no_usable_box", "image dropped"
    UNKNOWN_CLASS = "unknown_class", "box dropped"
    UNKNOWN_IMAGE = "unknown_image", "box dropped"
    DUPLICATE_ID = "duplicate_id", "the first one kept"
    SHARED_ID = "shared_id", "boxes dropped"
    FURTHER_PAGES = "further_pages", "the first one read"
    IDENTICAL_IMAGE = "identical_image", "all kept"
    SIZE_MISMATCH = "size_mismatch", "boxes kept as they are"
    CLASS_NUMBERS = "class_numbers", "those of the set's description used"
    PATH_OUTSIDE_DATASET = "path_outside_dataset", "path not followed"


@dataclass(frozen=True)
class Fault:
    """A fault of a dataset.

    Attributes:
        kind: its kind.
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
    """Collect what is found while a dataset is read.

    Attributes:
        faults: in the order in which they were found.
        left_out: how many of what are left out on purpose.
        turned: the EXIF orientation (2 to 8) of each image that it turns or mirrors, by image id.
    """

    faults: list[Fault] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    turned: dict[str, int] = field(default_factory=dict)

    def add(
        self, kind: FaultKind, file: Path | str, detail: str, image_id: str | None = None
    ) -> None:
        """Add one fault."""
        shown = printable(Path(file).as_posix())
        known_as = None if image_id is None else printable(image_id)
        self.faults.append(Fault(kind, shown, printable(detail), known_as))


def printable(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Make a text one line of bounded length, see :func:`boxloop.terminal.printable`."""
    return terminal.printable(text, most, lines=False)
