"""A batch in the App: one FiftyOne dataset, whose boxes people edit.

The App writes each edit to the database by itself. What boxloop adds about an image (reviewed or
not, active seconds) is written without touching ``last_modified_at``: the App compares that
time before it saves, and would take our write for another person's edit of the same boxes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from pymongo import UpdateOne

from boxloop.annotators.fiftyone import records
from boxloop.annotators.fiftyone.desk import State
from boxloop.annotators.fiftyone.offers import Offer
from boxloop.annotators.fiftyone.records import REVIEWED, Record
from boxloop.annotators.fiftyone.work import Work
from boxloop.errors import UserError


class Board:
    """The dataset of one batch, restricted to the images of one session."""

    def __init__(self, dataset: Any, work: Work, view: str | None = None) -> None:
        """Takes an open dataset; see :func:`~boxloop.annotators.fiftyone.opening.open_board`.

        Args:
            dataset: FiftyOne's.
            work: the session; the dataset may hold more images.
            view: saved view of the session's images; None where they are all of them.
        """
        self.dataset = dataset
        self.work = work
        self.view = view
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
        found: dict[str, State] = {}
        for record in self._samples.find(self._own):
            image_id = record["image_id"]
            if image_id in found:
                raise UserError(
                    f"image {image_id} of batch {self.work.batch} is there twice: delete one of"
                    " the two in the App"
                )
            found[image_id] = self._state(image_id, record)
        for image_id in self._images:
            if image_id not in found:
                raise UserError(
                    f"image {image_id} of batch {self.work.batch} was deleted in the App: start"
                    " 'boxloop review' again, which brings it back with its proposals"
                )
        return [found[image_id] for image_id in self._images]

    def _state(self, image_id: str, record: Record) -> State:
        known = self._offers.get(image_id)
        try:
            if known is None or known[0] != record.get("offer"):
                offer = records.offer_in(record, self._images[image_id])
                known = self._offers[image_id] = (record["offer"], offer)
            rows = records.boxes_in(record)
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
            records.is_reviewed(record),
            records.seconds_in(record),
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
        change = {"$addToSet" if reviewed else "$pull": {"tags": REVIEWED}}
        self._samples.update_many({"_id": {"$in": ids}}, change)

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Adds active seconds, by sample id."""
        updates = [
            UpdateOne({"_id": ObjectId(sample_id)}, {"$inc": {"seconds": value}})
            for sample_id, value in seconds.items()
        ]
        if updates:
            self._samples.bulk_write(updates)
