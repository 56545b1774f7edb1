"""Brings the dataset of a batch in line with what there is to review, before the App shows it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import ObjectId
from pymongo import UpdateOne

from boxloop.review.fiftyone import sample_documents
from boxloop.review.fiftyone.app_view import prepare_app, save_view
from boxloop.review.fiftyone.assignment import Item, Work
from boxloop.review.fiftyone.review_dataset import Board
from boxloop.review.fiftyone.review_status import Mark, Marks
from boxloop.review.fiftyone.sample_documents import FIELD, Record

_MOVED = (
    *(
        "_id",
        "filepath",
        "tags",
        "metadata",
        "created_at",
        "last_modified_at",
        "_media_type",
        "_rand",
    ),
    *("image_id", "position", "offer", FIELD),
)
"""What comes along when an image goes to another batch."""


def open_board(work: Work, display: Mapping[str, Path]) -> Board:
    """Opens the dataset of a batch, and brings it in line with what there is to review.

    Work that was begun stays as it is, with the proposals that the person saw, also where its image
    was in another batch then. Images that nobody touched get the newest proposals. It can be killed
    at any moment, and goes on from there when it is called again.

    Args:
        work: the images of the session.
        display: the file that the App shows, by image id.
    """
    dataset = _dataset(work.batch)
    samples = dataset._sample_collection
    _recount(samples)
    marks = Marks(samples.database)
    places = {
        item.image.id: _place(position, display[item.image.id])
        for position, item in enumerate(work.items)
    }
    found = _find(dataset, places)
    notes = marks.read(record.content["_id"] for listed in found.values() for record in listed)
    new, moved, changes, leftovers = [], [], [], []
    changed_notes: dict[ObjectId, Mark] = {}
    for item in work.items:
        listed = found.get(item.image.id, [])
        if not listed:
            new.append(item)
            continue
        chosen = _choose(listed, notes, item)
        leftovers += [record for record in listed if record is not chosen]
        note = notes.get(chosen.content["_id"], Mark())
        change, wanted = sample_documents.put_right(chosen.content, note, item)
        if wanted != note:
            changed_notes[chosen.content["_id"]] = wanted
        if chosen.samples != samples:
            leftovers.append(chosen)
            moved.append(_moved(chosen.content, dataset))
        changes += _update(chosen.content, places[item.image.id] | change)
    # In this order: at whatever point it is killed, no image counts as reviewed that was not.
    marks.replace(changed_notes)
    if moved:
        samples.insert_many(moved)
    if changes:
        samples.bulk_write(changes, ordered=False)
    for record in leftovers:
        record.samples.delete_one({"_id": record.content["_id"]})
    if new:
        dataset.add_samples([_sample(item, places[item.image.id]) for item in new], progress=False)
    prepare_app(dataset, work)
    board = Board(dataset, work, marks, save_view(dataset, work))
    board.states()  # puts the grid's tags right
    return board


@dataclass(frozen=True)
class _Found:
    """A record of an image of the session.

    Attributes:
        samples: the collection that it is in: the batch's, or another's.
        content: the record.
    """

    samples: Any
    content: Record


def _dataset(name: str) -> Any:
    if fo.dataset_exists(name):
        dataset = fo.load_dataset(name)
    else:
        dataset = fo.Dataset(name, persistent=True)
    if dataset.media_type is None:
        dataset.media_type = "image"
    # Those that are there stay: an earlier session may have been killed between any two of them.
    dataset.add_sample_field("image_id", fo.StringField)
    dataset.add_sample_field("position", fo.IntField)
    dataset.add_sample_field("offer", fo.StringField)
    dataset.add_sample_field(FIELD, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    return dataset


def _recount(samples: Any) -> None:
    """Has MongoDB count again after a crash.

    It loses its estimate of a collection's size then, and the App takes an estimate of zero for an
    empty dataset: "No samples yet".
    """
    if samples.estimated_document_count() != samples.count_documents({}):
        samples.database.command("validate", samples.name)


def _place(position: int, path: Path) -> dict[str, Any]:
    return {"position": position, "filepath": str(path.absolute())}


def _find(dataset: Any, image_ids: Collection[str]) -> dict[str, list[_Found]]:
    """The records of the session's images: of this batch first, then of others that they were in.

    There is more than one of an image where another order has moved it to this batch, and where
    somebody has made a copy in the App.
    """
    found: dict[str, list[_Found]] = {}
    others = [fo.load_dataset(name) for name in fo.list_datasets() if name != dataset.name]
    for samples in [dataset._sample_collection, *(other._sample_collection for other in others)]:
        for content in samples.find({"image_id": {"$in": list(image_ids)}}):
            found.setdefault(content["image_id"], []).append(_Found(samples, content))
    return found


def _choose(listed: list[_Found], notes: Mapping[ObjectId, Mark], item: Item) -> _Found:
    """Of the records of an image the begun one that was changed last; else the first."""
    begun = [
        record
        for record in listed
        if sample_documents.is_begun(record.content, notes.get(record.content["_id"], Mark()), item)
    ]
    return max(begun, key=_changed, default=listed[0])


def _changed(record: _Found) -> datetime:
    moment = record.content.get("last_modified_at")
    return moment if isinstance(moment, datetime) else datetime.min


def _moved(record: Record, dataset: Any) -> dict[str, Any]:
    content = {name: record[name] for name in _MOVED if name in record}
    return {**content, "_dataset_id": dataset._doc.id}


def _update(record: Record, change: Mapping[str, Any]) -> list[UpdateOne]:
    new = {name: value for name, value in change.items() if record.get(name) != value}
    if not new:
        return []
    if FIELD in new:
        # A window that is still open from another day must not save over it.
        new["last_modified_at"] = datetime.now(UTC)
    return [UpdateOne({"_id": record["_id"]}, {"$set": new})]


def _sample(item: Item, place: Mapping[str, Any]) -> Any:
    return fo.Sample(image_id=item.image.id, **place, **sample_documents.beginning(item))
