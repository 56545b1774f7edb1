"""Images under review, and what a session needs of the place where their boxes are edited."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from boxloop.review.fiftyone.assignment import Work
from boxloop.review.fiftyone.shown_proposals import Offer
from boxloop.review.validation import RawBox


@dataclass(frozen=True)
class State:
    """One image as it is now.

    Attributes:
        sample_id: the App's id of the image.
        offer: what was shown.
        boxes: what is there now, unchecked.
        reviewed: whether the person is done with it.
        seconds: active seconds of this session and of those that it goes on with.
    """

    sample_id: str
    offer: Offer
    boxes: tuple[RawBox, ...]
    reviewed: bool
    seconds: float

    @property
    def image_id(self) -> str:
        """The image's id."""
        return self.offer.item.image.id


class Board(Protocol):
    """Where the boxes are edited."""

    work: Work

    def states(self) -> list[State]:
        """Every image of the session as it is now, in the batch's order."""
        ...

    def version(self) -> object:
        """Something that changes whenever a person's edit is stored."""
        ...

    def idle_seconds(self) -> float:
        """Seconds since the last edit was stored."""
        ...

    def mark(self, sample_ids: Iterable[str], *, reviewed: bool) -> None:
        """Marks images as reviewed, or as not."""
        ...

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Adds active seconds, by sample id."""
        ...
