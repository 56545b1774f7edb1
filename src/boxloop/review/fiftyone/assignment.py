"""Assign to a session its images, proposals and starting boxes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from boxloop.core.types import Boxes, Corrections, ImageRef, Proposals
from boxloop.errors import UserError

_LONGEST_PART = 20  # characters


@dataclass(frozen=True)
class Part:
    """One of ``of`` equal shares of a batch, numbered from 1."""

    number: int = 1
    of: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Part:
        """Parse "1/2"; None is the whole batch.

        Raises:
            UserError: it is not of that form.
        """
        if text is None:
            return cls()
        number, slash, of = text.partition("/")
        valid = bool(slash) and number.strip().isdecimal() and of.strip().isdecimal()
        valid = valid and len(text) < _LONGEST_PART
        if not valid or not 1 <= int(number) <= int(of):
            shown = text[:_LONGEST_PART]
            raise UserError(f"--part {shown}: must be like 1/2, the first of two parts")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def share(self, image_ids: Sequence[str]) -> list[str]:
        """Return the images of this part; every image is in exactly one."""
        n = len(image_ids)
        return list(image_ids[n * (self.number - 1) // self.of : n * self.number // self.of])


@dataclass(frozen=True)
class Item:
    """One image to review."""

    image: ImageRef
    proposals: Proposals  # of this image alone, down to the score floor, as shown then or now
    score_threshold: float  # proposals that score less are not drawn
    start: Boxes  # what the person starts from: the proposals, or what was submitted before
    seconds: float = 0.0  # active ones of the submissions before
    base: str = ""  # time of the submission that this starts from; empty where there is none

    @property
    def drawn(self) -> Boxes:
        """The proposals that are drawn."""
        return self.proposals.boxes[self.image.id].above(self.score_threshold)


@dataclass(frozen=True)
class Assignment:
    """The images of one session, in the batch's order.

    ``batch_images`` are the ids of all images of the batch, whoever reviews them; in a ``redo``,
    images that were submitted before are open again. ``shown`` says in words from which score on
    proposals are drawn, where that was fitted. A session for a class has images of several
    ``batches``, by image id; they are not complete for the classes ``wanted``, of which that is the
    first. A second look (``qa``) has what was submitted last of each of its images, by image id.
    """

    batch: str
    classes: tuple[str, ...]
    items: tuple[Item, ...]
    batch_images: tuple[str, ...]
    reviewer: str
    part: Part = Part()
    redo: bool = False
    shown: str = ""
    wanted: tuple[str, ...] = ()
    batches: Mapping[str, str] = field(default_factory=dict)
    qa: Mapping[str, Corrections] = field(default_factory=dict)

    def counted_from(self, item: Item) -> Boxes:
        """Return the boxes that an image's edits are counted from."""
        return item.start if self.qa else item.drawn

    def batch_of(self, image_id: str) -> str:
        """Return the batch that an image belongs to."""
        return self.batches.get(image_id, self.batch)

    @property
    def command(self) -> str:
        """The command that opens such a session, without its options."""
        if self.wanted:
            return f"boxloop review --for {shlex.quote(self.wanted[0])}"
        if self.qa:
            return f"boxloop review --qa {len(self.batch_images)}"
        return f"boxloop review {self.batch}"

    @property
    def title(self) -> str:
        """What the session is of, in words."""
        if self.qa:
            return "Second look"
        return f"Review for {', '.join(self.wanted)}" if self.wanted else f"Batch {self.batch}"


def new_item(image: ImageRef, proposals: Proposals, score_threshold: float) -> Item:
    """Return an image that nobody has submitted yet, with its proposals drawn."""
    own = replace(proposals, boxes={image.id: proposals.boxes[image.id]})
    drawn = own.boxes[image.id].above(score_threshold)
    return Item(image, own, score_threshold, replace(drawn, scores=None))


def submitted_item(image: ImageRef, submitted: Corrections) -> Item:
    """Return a submitted image with its labels and its proposals of then."""
    proposals, look = submitted.proposals, submitted.rechecked.get(image.id)
    return Item(
        image,
        replace(proposals, boxes={image.id: proposals.boxes[image.id]}),
        submitted.score_threshold,
        submitted.boxes[image.id],
        submitted.seconds.get(image.id, 0.0) + (0.0 if look is None else look.seconds),
        submission_time(submitted, image.id),
    )


def submission_time(corrections: Corrections, image_id: str) -> str:
    """Return when an image was submitted; empty where nothing tells."""
    return corrections.submitted.get(image_id) or corrections.finished or ""


def assign(
    proposals: Proposals,
    images: Mapping[str, ImageRef],
    classes: tuple[str, ...],
    submitted: Mapping[str, Corrections],
    *,
    score_threshold: float,
    reviewer: str,
    part: Part,
    redo: bool,
) -> Assignment:
    """Choose the images of a session: in a redo, only submitted ones; else only the others.

    ``images`` are at least those of the batch, by id; ``submitted`` holds the newest submission of
    each image that has one. Proposals that score less than the threshold are not drawn.
    """
    items = []
    for image_id in part.share(list(proposals.boxes)):
        before = submitted.get(image_id)
        if before is not None and redo:
            items.append(submitted_item(images[image_id], before))
        elif before is None and not redo:
            items.append(new_item(images[image_id], proposals, score_threshold))
    return Assignment(
        proposals.batch, classes, tuple(items), tuple(proposals.boxes), reviewer, part, redo
    )
