"""Assign to a session its images, proposals and starting boxes."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from boxloop.campaign.second_looks import SecondLook, plain_ids, time_of
from boxloop.core.catching import undo
from boxloop.core.planted import as_shown
from boxloop.core.planting import Trials
from boxloop.core.types import NOTHING, Boxes, Corrections, ImageRef, PlantedError, Proposals
from boxloop.errors import UserError

TWO_PEOPLE = "two people"
"""Stands for the detector where a third person starts from the boxes of two others."""

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
    blind: bool = False  # whether no proposal is drawn, to tell what is found without
    planted: tuple[PlantedError, ...] = ()  # errors among the proposals that are drawn
    secret: bool = False  # whether its batch has such images: no record is to give them away
    timed: bool = True  # whether the time before was measured: else no sum of it is the image's

    @property
    def counted(self) -> Boxes:
        """The detector's proposals that the work is counted against; none where it is blind."""
        threshold = NOTHING if self.blind else self.score_threshold
        return self.proposals.boxes[self.image.id].above(threshold)

    @property
    def drawn(self) -> Boxes:
        """The proposals that are drawn, with what is planted among them."""
        return as_shown(self.counted, self.planted)

    @property
    def compared(self) -> Boxes:
        """What the panel compares with: what is drawn, while that must not give itself away."""
        tried = any(error.state == "open" for error in self.planted)
        return self.drawn if tried else self.counted


@dataclass(frozen=True)
class Look:
    """A second or third look at a batch that is labeled."""

    batch: str
    third: bool = False

    @property
    def name(self) -> str:
        """Which one it is."""
        return "third" if self.third else "second"

    @property
    def option(self) -> str:
        """The option of the command that opens it."""
        return "--disagreements" if self.third else "--also"


@dataclass(frozen=True)
class Assignment:
    """The images of one session, in the batch's order.

    ``batch_images`` are the ids of all images of the batch, whoever reviews them; in a ``redo``,
    images that were submitted before are open again. ``shown`` says in words from which score on
    proposals are drawn, where that was fitted. A session for a class has images of several
    ``batches``, by image id; they are not complete for the classes ``wanted``, of which that is the
    first. A second or third ``look`` has the images of one; of a third, ``disputes`` are what two
    people made of each image, and ``notes`` say where they differ. One for likely errors (``qa``)
    has what was submitted last of each of its images, by image id, and ``notes`` say what may be
    wrong; one for a class has that of the images whose labels were ``given``. The names of all of
    it follow the ``changes`` of classes that are named so in corrections.
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
    planted: bool = False  # of the images whose planted errors were missed
    look: Look | None = None
    disputes: Mapping[str, SecondLook] = field(default_factory=dict)
    notes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    qa: Mapping[str, Corrections] = field(default_factory=dict)
    given: Mapping[str, Corrections] = field(default_factory=dict)
    changes: int | tuple[str, ...] = 0

    def counted_from(self, item: Item) -> Boxes:
        """Return the boxes that an image's edits are counted from."""
        return item.start if self.qa else item.compared

    def batch_of(self, image_id: str) -> str:
        """Return the batch that an image belongs to."""
        return self.batches.get(image_id, self.batch)

    def source_of(self, item: Item) -> tuple[object, ...]:
        """Return what the images of one submission share: batch, detector and thresholds."""
        way = item.proposals.origin(item.score_threshold)
        return self.batch_of(item.image.id), *way

    def counts_apart(self, image_id: str) -> bool:
        """Return whether the work on an image is a second look's, and no part of its review."""
        return image_id in self.qa or image_id in self.given

    @property
    def command(self) -> str:
        """The command that opens such a session, without its options."""
        if self.planted:
            return f"boxloop review {self.batch} --planted"
        if self.wanted:
            return f"boxloop review --for {shlex.quote(self.wanted[0])}"
        if self.look is not None:
            return f"boxloop review {self.look.batch} {self.look.option}"
        if self.qa:
            return f"boxloop review --qa {len(self.batch_images)}"
        return f"boxloop review {self.batch}"

    @property
    def title(self) -> str:
        """What the session is of, in words."""
        if self.look is not None:
            return f"{self.look.name.capitalize()} look at batch {self.look.batch}"
        if self.qa:
            return "Second look"
        return f"Review for {', '.join(self.wanted)}" if self.wanted else f"Batch {self.batch}"

    @property
    def about(self) -> str:
        """What the boxes are that the person sees at first, and what to do, in words."""
        if self.wanted:
            return (
                f"Look for {', '.join(self.wanted)}: it could not be chosen when these images were"
                " reviewed."
            )
        if self.disputes:
            return "These boxes are two people's. See where they differ, and decide."
        if self.qa:
            return "These boxes are the labels that count. See what may be wrong with them."
        if self.planted or self.redo:
            return "These boxes were submitted. Make them right."
        return "The boxes that you see are proposals. Make them right."

    @property
    def shown_title(self) -> str:
        """What ``shown`` is of."""
        if self.disputes:
            return "Confidence"
        return "Beside the labels" if self.wanted else "Proposals"

    @property
    def notes_title(self) -> str:
        """What the notes are of."""
        return "What may be wrong" if self.qa else "Where two people differ"


def new_item(
    image: ImageRef,
    proposals: Proposals,
    score_threshold: float,
    trials: Trials | None = None,
) -> Item:
    """Return an image that nobody has submitted yet, with its proposals drawn."""
    own = replace(proposals, boxes={image.id: proposals.boxes[image.id]})
    item = Item(image, own, score_threshold, Boxes.empty())
    if trials is not None:
        planted, secret = trials.planted.get(image.id, ()), bool(trials.blind or trials.planted)
        item = replace(item, blind=image.id in trials.blind, planted=planted, secret=secret)
    return replace(item, start=replace(item.drawn, scores=None))


def submitted_item(image: ImageRef, submitted: Corrections) -> Item:
    """Return a submitted image with its labels and its proposals of then.

    Planted errors that were missed are undone in the labels: they are told of, and never stay
    because somebody overlooks them again.
    """
    proposals, look = submitted.proposals, submitted.rechecked.get(image.id)
    item = Item(
        image,
        replace(proposals, boxes={image.id: proposals.boxes[image.id]}),
        submitted.score_threshold,
        plain_ids(submitted, image.id),
        submitted.seconds.get(image.id, 0.0) + (0.0 if look is None else look.seconds),
        time_of(submitted, image.id),
        image.id in submitted.blind,
        submitted.planted.get(image.id, ()),
        timed=image.id in submitted.seconds,
    )
    return replace(item, start=undo(item.start, item.counted, item.planted))


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
    planted: bool = False,
    trials: Trials | None = None,
) -> Assignment:
    """Choose the images of a session: in a redo, only submitted ones; else only the others.

    ``images`` are at least those of the batch, by id; ``submitted`` holds the newest submission of
    each image that has one. Proposals that score less than the threshold are not drawn. Where
    ``planted``, a redo is of the images whose planted errors were missed. ``trials`` are for the
    images that nobody submitted yet.
    """
    items = []
    for image_id in part.share(list(proposals.boxes)):
        before = submitted.get(image_id)
        if before is not None and redo:
            if not planted or image_id in before.missed:
                items.append(submitted_item(images[image_id], before))
        elif before is None and not redo:
            items.append(new_item(images[image_id], proposals, score_threshold, trials))
    found = tuple(items), tuple(proposals.boxes)
    return Assignment(
        proposals.batch, classes, *found, reviewer, part, redo, planted=planted and redo
    )
