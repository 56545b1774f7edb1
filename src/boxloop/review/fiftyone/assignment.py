"""What a person is asked to review in one session: the images, and the boxes to begin from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from boxloop.core.types import Boxes, Corrections, ImageRef, Proposals
from boxloop.errors import UserError


@dataclass(frozen=True)
class Part:
    """One of several equal shares of a batch, so that people can work side by side.

    Attributes:
        number: from 1 to ``of``.
        of: number of shares.
    """

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Part:
        """Reads "1/2"; None is the whole batch.

        Raises:
            UserError: it is not of that form.
        """
        if text is None:
            return cls()
        number, slash, of = text.partition("/")
        valid = bool(slash) and number.strip().isdecimal() and of.strip().isdecimal()
        if not valid or not 1 <= int(number) <= int(of):
            raise UserError(f"--part {text}: must be like 1/2, the first of two parts")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def share(self, image_ids: Sequence[str]) -> list[str]:
        """The images of this part: a contiguous piece, so that every image is in exactly one."""
        n = len(image_ids)
        return list(image_ids[n * (self.number - 1) // self.of : n * self.number // self.of])


@dataclass(frozen=True)
class Item:
    """One image to review.

    Attributes:
        image: the image.
        offer: the proposals of this image alone, down to the floor, as they were or will be shown.
        score_threshold: those that score less are not drawn.
        start: the boxes that the person begins from: the proposals, or what was submitted before.
        seconds: active seconds of the submissions before.
        base: time of the submission that this begins from; empty where there is none.
    """

    image: ImageRef
    offer: Proposals
    score_threshold: float
    start: Boxes
    seconds: float = 0.0
    base: str = ""

    @property
    def shown(self) -> Boxes:
        """The proposals that are drawn."""
        return self.offer.boxes[self.image.id].above(self.score_threshold)


@dataclass(frozen=True)
class Work:
    """The images of one session.

    Attributes:
        batch: key of the batch.
        classes: names that a label may have.
        items: in the batch's order.
        batch_images: ids of all images of the batch, whoever reviews them.
        reviewer: who does it.
        part: which share of the batch.
        redo: whether images that were submitted before are open again.
    """

    batch: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    batch_images: tuple[str, ...]
    reviewer: str
    part: Part = Part()
    redo: bool = False

    def item(self, image_id: str) -> Item:
        """The item of an image."""
        return next(item for item in self.items if item.image.id == image_id)


def fresh(image: ImageRef, proposals: Proposals, score_threshold: float) -> Item:
    """An image that nobody has submitted yet, with its proposals drawn."""
    offer = replace(proposals, boxes={image.id: proposals.boxes[image.id]})
    shown = offer.boxes[image.id].above(score_threshold)
    return Item(image, offer, score_threshold, replace(shown, scores=None))


def again(image: ImageRef, submitted: Corrections) -> Item:
    """An image that was submitted before, with its labels; its proposals stay those of then."""
    offer = replace(submitted.proposals, boxes={image.id: submitted.proposals.boxes[image.id]})
    return Item(
        image,
        offer,
        submitted.score_threshold,
        submitted.boxes[image.id],
        submitted.seconds.get(image.id, 0.0),
        submitted.submitted.get(image.id) or submitted.finished or "",
    )


def plan(
    proposals: Proposals,
    images: Mapping[str, ImageRef],
    classes: tuple[str, ...],
    submitted: Mapping[str, Corrections],
    *,
    score_threshold: float,
    reviewer: str,
    part: Part,
    redo: bool,
) -> Work:
    """The images of a session.

    Args:
        proposals: of the batch.
        images: at least those of the batch, by id.
        classes: names that a label may have.
        submitted: the newest submission of each image that has one.
        score_threshold: proposals that score less are not drawn.
        reviewer: who does it.
        part: which share of the batch.
        redo: opens submitted images again, and only those; else only the others are open.
    """
    items = []
    for image_id in part.share(list(proposals.boxes)):
        before = submitted.get(image_id)
        if before is not None and redo:
            items.append(again(images[image_id], before))
        elif before is None and not redo:
            items.append(fresh(images[image_id], proposals, score_threshold))
    return Work(
        proposals.batch, classes, tuple(items), tuple(proposals.boxes), reviewer, part, redo
    )
