"""What a second look at one image's labels began with.

:mod:`boxloop.core.types` offers it with the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from boxloop.core.box_set import Boxes, require


@dataclass(frozen=True)
class Recheck:
    """The second look that one image's labels had; the labels are those that it ended with.

    Attributes:
        before: the boxes that the review had ended with, by which edits, WB and WT are counted.
        reviewer: whose labels these were; None where not known.
        by: who looked a second time; several names are joined by ", ".
        seconds: active ones of all second looks since that review.

    Raises:
        ValueError: the seconds are negative.
    """

    before: Boxes
    reviewer: str | None
    by: str
    seconds: float = 0.0

    def __post_init__(self) -> None:
        require(self.seconds >= 0, "seconds cannot be negative")
