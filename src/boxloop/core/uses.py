"""What was made of a detector's proposals before they were shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from boxloop.core.box_set import Boxes, require


@dataclass(frozen=True)
class Neighbour:
    """The nearest image that is labeled before another one.

    Attributes:
        image: its id.
        distance: between their features, where 1 is the median distance of two images of the set.
    """

    image: str
    distance: float

    def __post_init__(self) -> None:
        require(self.distance >= 0, f"the distance to {self.image} cannot be negative")


@dataclass(frozen=True)
class NeighbourUse:
    """What neighbours' labels changed in a batch's proposals.

    Attributes:
        limit: distance up to which a neighbour was near enough.
        expected_saving: fraction of what correcting such images costs; None where not known.
        found: what it was judged by, in words: "b01, b02", "prior".
        images: the neighbour of each image that was changed.
        confirmed: how many boxes had one of a neighbour's at their place.
        own: the detector's boxes of these images, as they were.
    """

    limit: float
    expected_saving: float | None
    found: str
    images: Mapping[str, Neighbour]
    confirmed: int
    own: Mapping[str, Boxes]

    def __post_init__(self) -> None:
        require(set(self.images) == set(self.own), "own boxes are needed of what was changed")


@dataclass(frozen=True)
class CropUse:
    """Whose classes a batch's proposals have: the detector's, or those of labeled crops.

    Attributes:
        used: whether those of crops are in the proposals.
        expected_saving: fraction of the time (WT) to draw every box that the classes of crops save
            beside the detector's; None where nothing was known, and the detector's are used.
        found: what it was judged by, in words: "held-out part of b00", "b01, b02", "prior".
        other: by image id, the boxes with the classes that are not used.
    """

    used: bool
    expected_saving: float | None
    found: str
    other: Mapping[str, Boxes]
