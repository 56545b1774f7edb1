"""What a third person decided, where two saw an image differently.

:mod:`boxloop.core.types` offers it with the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

from boxloop.core.box_set import Boxes, require


@dataclass(frozen=True)
class Decision:
    """How the labels of one image came about by a third look.

    The labels themselves are the boxes of the corrections that hold this.

    Attributes:
        first: the first person's boxes, by which edits, WB and WT are counted.
        shown: what the third person began with: the boxes that both have, and the disputed ones.
        reviewer: who decided.
        first_reviewer: whose labels these were; None where not known.
        looks: when the two looks were submitted, in ISO 8601, the first person's before the other.
        seconds: active ones of the third person; None where not measured.

    Raises:
        ValueError: the seconds are negative.
    """

    first: Boxes
    shown: Boxes
    reviewer: str
    first_reviewer: str | None
    looks: tuple[str, str]
    seconds: float | None = None

    def __post_init__(self) -> None:
        require(self.seconds is None or self.seconds >= 0, "seconds cannot be negative")
