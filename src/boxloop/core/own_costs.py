"""Price a campaign by one's own seconds per kind of edit (``account.costs``).

The paper prices by T alone, and every object of the first batch as drawn. Here every batch is
priced by its edits, the first one included: those of a batch from scratch are additions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from boxloop.core.edits import EDITS, Ledger
from boxloop.core.workload import BatchWorkload


class EditSeconds(Protocol):
    """Seconds per kind of edit, as the attributes that edits have, and per image."""

    @property
    def added(self) -> float:
        """Seconds to draw a box."""
        ...

    @property
    def image(self) -> float:
        """Seconds to look at an image."""
        ...


@dataclass(frozen=True)
class OwnPrice:
    """What batches cost by one's own table.

    Attributes:
        seconds: of all edits, and of looking at the images.
        scratch: seconds to draw every box of the same images by hand.
    """

    seconds: float
    scratch: float

    @property
    def hours(self) -> float:
        """The seconds in hours."""
        return self.seconds / 3600

    @property
    def scratch_hours(self) -> float:
        """The seconds to draw every box, in hours."""
        return self.scratch / 3600

    @property
    def reduction(self) -> float:
        """The fraction of time saved; negative where proposals cost more than they saved."""
        return 1 - self.seconds / self.scratch if self.scratch else 0.0


def price(batches: Iterable[BatchWorkload], iou_threshold: float, costs: EditSeconds) -> OwnPrice:
    """Price batches by a table of seconds.

    Args:
        batches: accounted at the IoU; images whose labels were given cost nothing.
        iou_threshold: from which a proposal counts as right.
        costs: seconds per kind of edit, and per image.
    """
    batches = list(batches)
    edits = sum((batch.ledger(iou_threshold) for batch in batches), Ledger())
    looking = costs.image * sum(batch.images for batch in batches)
    seconds = looking
    for kind in EDITS:
        seconds += getattr(costs, kind) * getattr(edits, kind)
    return OwnPrice(seconds, looking + costs.added * sum(batch.objects for batch in batches))
