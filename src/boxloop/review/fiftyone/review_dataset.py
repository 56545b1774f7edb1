"""Read and update a batch's FiftyOne dataset while people edit it.

The App writes each edit to the database by itself; which images are reviewed lies beside it
(``review_status.py``), and a tag in the sample shows it in the grid. The tag is written without
touching ``last_modified_at``: the App compares that time before it saves, and would take our write
for another person's edit of the same boxes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bson import ObjectId

from boxloop.errors import UserError
from boxloop.review.fiftyone import sample_documents
from boxloop.review.fiftyone.assignment import Assignment
from boxloop.review.fiftyone.guard.app_requests import ReviewScope
from boxloop.review.fiftyone.review_status import ReviewStatus, ReviewStatuses
from boxloop.review.fiftyone.sample_documents import FIELD, SHOWN_FIELD, Document
from boxloop.review.fiftyone.shown_proposals import ShownProposals
from boxloop.review.validation import RawBox

REVIEWED = "reviewed"
"""Tag of the images that a person is done with; the grid shows it."""


@dataclass(frozen=True)
class ReviewedImage:
    """One image as it is now in the App: its boxes are unchecked.

    ``seconds`` are the active ones of this session and of those that it goes on with.
    """

    sample_id: str
    shown: ShownProposals
    boxes: tuple[RawBox, ...]
    reviewed: bool
    seconds: float

    @property
    def image_id(self) -> str:
        """The image's id."""
        return self.shown.item.image.id


class ReviewDataset:
    """The dataset of one batch, restricted to the images of one session: it may hold more."""

    def __init__(
        self,
        dataset: Any,
        assignment: Assignment,
        statuses: ReviewStatuses,
        view: str | None = None,
    ) -> None:
        """Use an open dataset; see :func:`~boxloop.review.fiftyone.sync.open_dataset`."""
        self.dataset = dataset
        self.assignment = assignment
        self.view = view  # saved view of the session's images; None where they are all of them
        self._statuses = statuses
        self._samples = dataset._sample_collection
        self._images = {item.image.id: item.image for item in assignment.items}
        self._shown: dict[str, tuple[object, ShownProposals]] = {}

    def read(self) -> list[ReviewedImage]:
        """Read every image of the session, in the batch's order.

        Raises:
            UserError: an image is not there any more, or twice, or its document is damaged.
        """
        documents = list(self._samples.find(self._own))
        statuses = self._statuses.read(document["_id"] for document in documents)
        batch = self.assignment.batch
        found: dict[str, ReviewedImage] = {}
        for document in documents:
            image_id = document["image_id"]
            if image_id in found:
                raise UserError(
                    f"image {image_id} of batch {batch} is there twice: delete one of the two in"
                    " the App"
                )
            found[image_id] = self._parse(image_id, document, statuses[document["_id"]])
        self._correct_tags(documents, statuses)
        for image_id in self._images:
            if image_id not in found:
                raise UserError(
                    f"image {image_id} of batch {batch} was deleted in the App: start 'boxloop"
                    " review' again, which brings it back with its proposals"
                )
        return [found[image_id] for image_id in self._images]

    def _parse(self, image_id: str, document: Document, status: ReviewStatus) -> ReviewedImage:
        known = self._shown.get(image_id)
        try:
            if known is None or known[0] != document.get(SHOWN_FIELD):
                shown = sample_documents.read_shown(document, self._images[image_id])
                known = self._shown[image_id] = (document[SHOWN_FIELD], shown)
            boxes = sample_documents.read_boxes(document)
        except ValueError:
            raise UserError(
                f"the record of image {image_id} in the database is damaged: start 'boxloop"
                " review' again, which puts it right, and look at that image once more"
            ) from None
        shown = known[1]
        raw = tuple(shown.to_raw_box(*box) for box in boxes)
        return ReviewedImage(str(document["_id"]), shown, raw, status.reviewed, status.seconds)

    def _correct_tags(
        self, documents: Sequence[Document], statuses: Mapping[ObjectId, ReviewStatus]
    ) -> None:
        """Correct the tags that the App overwrote when it saved an edit."""
        for reviewed in (True, False):
            wrong = [
                document["_id"]
                for document in documents
                if statuses[document["_id"]].reviewed is reviewed
                and (REVIEWED in _tags(document)) is not reviewed
            ]
            if wrong:
                self._tag(wrong, reviewed)

    def _tag(self, ids: Sequence[ObjectId], reviewed: bool) -> None:
        change = {"$addToSet" if reviewed else "$pull": {"tags": REVIEWED}}
        self._samples.update_many({"_id": {"$in": ids}, "tags": {"$type": "array"}}, change)

    def scope(self, images: Iterable[Path], operators: Collection[str]) -> ReviewScope:
        """Return what the App's requests may touch in this session."""
        dataset, samples = self.dataset, [image.sample_id for image in self.read()]
        return ReviewScope.of(dataset.name, str(dataset._doc.id), samples, FIELD, images, operators)

    def idle_seconds(self) -> float:
        """Return the seconds since an edit of the session was last stored."""
        newest = self.version()[1]
        if not isinstance(newest, datetime):
            return float("inf")
        return (datetime.now(UTC) - newest.replace(tzinfo=UTC)).total_seconds()

    def version(self) -> tuple[int, object]:
        """Return the number of images and the time of the newest edit."""
        group = {"_id": None, "n": {"$sum": 1}, "newest": {"$max": "$last_modified_at"}}
        (found,) = [*self._samples.aggregate([{"$match": self._own}, {"$group": group}])] or [{}]
        return found.get("n", 0), found.get("newest")

    @property
    def _own(self) -> dict[str, Any]:
        return {"image_id": {"$in": list(self._images)}}

    def set_reviewed(self, sample_ids: Iterable[str], reviewed: bool) -> None:
        """Set images as reviewed, or as not."""
        ids = [ObjectId(sample_id) for sample_id in sample_ids]
        self._statuses.set_reviewed(ids, reviewed)
        self._tag(ids, reviewed)

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Add active seconds, by sample id."""
        self._statuses.add_seconds({ObjectId(sample_id): s for sample_id, s in seconds.items()})


def _tags(document: Document) -> list[Any]:
    tags = document.get("tags")
    return tags if isinstance(tags, list) else []
