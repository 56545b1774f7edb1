"""What an imported image is accounted against, and what it takes over of an earlier review.

Where an image was submitted before, that is what was shown then, as in a session's redo.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from boxloop.campaign.second_looks import plain_ids
from boxloop.core.types import NOTHING, Boxes, Corrections, PlantedError, Proposals


@dataclass(frozen=True)
class Start:
    """What one image's corrections begin with.

    Attributes:
        image_id: of the image.
        proposals: of this image alone: those that were shown first, or those of today.
        score_threshold: proposals that score less were not shown.
        labels: those that were submitted before.
        again: whether it was submitted before.
        seconds: active ones that it took up to now; None where they were not measured.
        blind: whether it was shown without proposals.
        planted: errors among the proposals, all of them judged.
    """

    image_id: str
    proposals: Proposals
    score_threshold: float
    labels: Boxes = field(default_factory=Boxes.empty)
    again: bool = False
    seconds: float | None = None
    blind: bool = False
    planted: tuple[PlantedError, ...] = ()

    @property
    def offered(self) -> Boxes:
        """All proposals, shown or not."""
        return self.proposals.boxes[self.image_id]

    @property
    def shown(self) -> Boxes:
        """The proposals that the work is counted against."""
        return self.offered.above(NOTHING if self.blind else self.score_threshold)

    @property
    def way(self) -> tuple[object, ...]:
        """What the images of one submission share: detector and thresholds."""
        return self.proposals.origin(self.score_threshold)


def start_of(
    image_id: str, today: Proposals, score_threshold: float, before: Corrections | None
) -> Start:
    """Return what an image's corrections begin with.

    Args:
        image_id: of the image.
        today: the proposals of its batch.
        score_threshold: of these.
        before: the submission that counts for it; None where there is none.
    """
    if before is None:
        return Start(image_id, _of_one(today, today.batch, image_id), score_threshold)
    seconds, look = before.seconds.get(image_id), before.rechecked.get(image_id)
    if seconds is not None and look is not None:  # its fixes become the batch's, and its time
        seconds = round(seconds + look.seconds, 1)
    return Start(
        image_id,
        _of_one(before.proposals, today.batch, image_id),
        before.score_threshold,
        plain_ids(before, image_id),
        True,
        seconds,
        image_id in before.blind,
        before.planted.get(image_id, ()),
    )


def _of_one(proposals: Proposals, batch: str, image_id: str) -> Proposals:
    # What neighbours changed is told of a whole batch, by its own file.
    boxes = {image_id: proposals.boxes[image_id]}
    return replace(proposals, batch=batch, boxes=boxes, neighbours=None)
