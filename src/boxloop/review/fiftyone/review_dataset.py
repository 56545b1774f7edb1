"""A batch in the App: one FiftyOne dataset, whose boxes people edit.

The App writes each edit to the database by itself; what boxloop notes about an image lies beside it
(``marks.py``). Only a tag in the image's own record says for the grid which images are reviewed. It
is written without touching ``last_modified_at``: the App compares that time before it saves, and
would take our write for another person's edit of the same boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId

from boxloop.errors import UserError
from boxloop.review.fiftyone import sample_documents
from boxloop.review.fiftyone.assignment import Work
from boxloop.review.fiftyone.review_states import State
from boxloop.review.fiftyone.review_status import Mark, Marks
from boxloop.review.fiftyone.sample_documents import Record
from boxloop.review.fiftyone.shown_proposals import Offer

REVIEWED = "reviewed"
"""Tag of the images that a person is done with; the grid shows it."""


class Board:
    """The dataset of one batch, restricted to the images of one session."""

    def __init__(self, dataset: Any, work: Work, marks: Marks, view: str | None = None) -> None:
        """Takes an open dataset; see :func:`~boxloop.review.fiftyone.sync.open_board`.

        Args:
            dataset: FiftyOne's.
            work: the session; the dataset may hold more images.
            marks: the notes of the campaign.
            view: saved view of the session's images; None where they are all of them.
        """
        self.dataset = dataset
        self.work = work
        self.view = view
        self._marks = marks
        self._samples = dataset._sample_collection
        self._images = {item.image.id: item.image for item in work.items}
        self._offers: dict[str, tuple[object, Offer]] = {}

    @property
    def name(self) -> str:
        """Name of the dataset, which is that of the batch."""
        return str(self.dataset.name)

    def states(self) -> list[State]:
        """Every image of the session as it is now, in the batch's order.

        Raises:
            UserError: an image is not there any more, or twice, or its record is damaged.
        """
        listed = list(self._samples.find(self._own))
        marks = self._marks.read(record["_id"] for record in listed)
        found: dict[str, State] = {}
        for record in listed:
            image_id = record["image_id"]
            if image_id in found:
                raise UserError(
                    f"image {image_id} of batch {self.work.batch} is there twice: delete one of"
                    " the two in the App"
                )
            found[image_id] = self._state(image_id, record, marks.get(record["_id"], Mark()))
        self._show(listed, marks)
        for image_id in self._images:
            if image_id not in found:
                raise UserError(
                    f"image {image_id} of batch {self.work.batch} was deleted in the App: start"
                    " 'boxloop review' again, which brings it back with its proposals"
                )
        return [found[image_id] for image_id in self._images]

    def _show(self, listed: Sequence[Record], marks: Mapping[ObjectId, Mark]) -> None:
        """Puts the tags right where the App, saving an edit, has written an old one back."""
        for reviewed in (True, False):
            wrong = [
                record["_id"]
                for record in listed
                if marks.get(record["_id"], Mark()).reviewed is reviewed
                and (REVIEWED in _tags(record)) is not reviewed
            ]
            if wrong:
                self._tag(wrong, reviewed)

    def _tag(self, ids: Sequence[ObjectId], reviewed: bool) -> None:
        change = {"$addToSet" if reviewed else "$pull": {"tags": REVIEWED}}
        self._samples.update_many({"_id": {"$in": ids}, "tags": {"$type": "array"}}, change)

    def _state(self, image_id: str, record: Record, mark: Mark) -> State:
        known = self._offers.get(image_id)
        try:
            if known is None or known[0] != record.get("offer"):
                offer = sample_documents.offer_in(record, self._images[image_id])
                known = self._offers[image_id] = (record["offer"], offer)
            rows = sample_documents.boxes_in(record)
        except ValueError:
            raise UserError(
                f"the record of image {image_id} in the database is damaged: start 'boxloop"
                " review' again, which puts it right, and look at that image once more"
            ) from None
        offer = known[1]
        return State(
            str(record["_id"]),
            offer,
            tuple(offer.raw(*row) for row in rows),
            mark.reviewed,
            mark.seconds,
        )

    def version(self) -> object:
        """Changes whenever an edit is stored: the number of images and the newest change."""
        return self._newest()

    def idle_seconds(self) -> float:
        """Seconds since the last edit of one of the session's images was stored."""
        newest = self._newest()[1]
        if not isinstance(newest, datetime):
            return float("inf")
        return (datetime.now(UTC) - newest.replace(tzinfo=UTC)).total_seconds()

    def _newest(self) -> tuple[int, object]:
        group = {"_id": None, "n": {"$sum": 1}, "newest": {"$max": "$last_modified_at"}}
        (found,) = [*self._samples.aggregate([{"$match": self._own}, {"$group": group}])] or [{}]
        return found.get("n", 0), found.get("newest")

    @property
    def _own(self) -> dict[str, Any]:
        return {"image_id": {"$in": list(self._images)}}

    def mark(self, sample_ids: Iterable[str], *, reviewed: bool) -> None:
        """Marks images as reviewed, or as not."""
        ids = [ObjectId(sample_id) for sample_id in sample_ids]
        self._marks.set_reviewed(ids, reviewed)
        self._tag(ids, reviewed)

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Adds active seconds, by sample id."""
        self._marks.add_seconds({ObjectId(sample_id): s for sample_id, s in seconds.items()})


def _tags(record: Record) -> list[Any]:
    tags = record.get("tags")
    return tags if isinstance(tags, list) else []
