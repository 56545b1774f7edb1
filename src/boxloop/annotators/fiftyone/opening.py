"""Brings the dataset of a batch in line with what there is to review, before the App shows it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fiftyone as fo
from pymongo import UpdateOne

from boxloop.annotators.fiftyone import records
from boxloop.annotators.fiftyone.board import Board
from boxloop.annotators.fiftyone.looks import prepare_app, save_view
from boxloop.annotators.fiftyone.records import FIELD, Record
from boxloop.annotators.fiftyone.work import Item, Work

_WORK = ("offer", "seconds", "tags", FIELD)
"""What a record holds of a person's work; it comes along to another batch."""


def open_board(work: Work, display: Mapping[str, Path]) -> Board:
    """Opens the dataset of a batch, and brings it in line with what there is to review.

    Work that was begun stays as it is, with the proposals that the person saw, also where its image
    was in another batch then. Images that nobody touched get the newest proposals.

    Args:
        work: the images of the session.
        display: the file that the App shows, by image id.
    """
    dataset = _dataset(work.batch)
    _recount(dataset)
    _add_missing(dataset, work, display)
    found = _records(dataset, work)
    elsewhere = _elsewhere(dataset, work)
    changes = []
    for position, item in enumerate(work.items):
        image_id = item.image.id
        record = found[image_id]
        change: dict[str, Any] = {
            "position": position,
            "filepath": str(display[image_id].absolute()),
        }
        moved = _newest([record, *elsewhere.get(image_id, [])], item)
        if moved is not None and moved is not record:
            change |= {name: moved[name] for name in _WORK if name in moved}
        change |= records.put_right({**record, **change}, item)
        changes.append(_update(record, change))
    wanted = [change for change in changes if change is not None]
    if wanted:
        # One at a time they would take seconds; each of them is done wholly or not at all.
        dataset._sample_collection.bulk_write(wanted, ordered=False)
    _forget(elsewhere)
    prepare_app(dataset, work)
    return Board(dataset, work, save_view(dataset, work))


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
    dataset.add_sample_field("seconds", fo.FloatField)
    dataset.add_sample_field(FIELD, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    return dataset


def _recount(dataset: Any) -> None:
    """Has MongoDB count again after a crash.

    It loses its estimate of a collection's size then, and the App takes an estimate of zero for an
    empty dataset: "No samples yet".
    """
    samples = dataset._sample_collection
    if samples.estimated_document_count() != samples.count_documents({}):
        samples.database.command("validate", samples.name)


def _add_missing(dataset: Any, work: Work, display: Mapping[str, Path]) -> None:
    present = set(dataset._sample_collection.distinct("image_id"))
    new = [item for item in work.items if item.image.id not in present]
    samples = [
        fo.Sample(
            filepath=str(display[item.image.id].absolute()),
            image_id=item.image.id,
            position=0,
            **records.beginning(item),
        )
        for item in new
    ]
    if samples:
        dataset.add_samples(samples, progress=False)


def _records(dataset: Any, work: Work) -> dict[str, Record]:
    """The record of each image; of several, which the App's server lets anybody make, the first."""
    ids = [item.image.id for item in work.items]
    found = dataset._sample_collection.find({"image_id": {"$in": ids}}).sort("_id", -1)
    return {record["image_id"]: record for record in found}


def _elsewhere(dataset: Any, work: Work) -> dict[str, list[Record]]:
    """The records of the session's images in the datasets of other batches."""
    ids = [item.image.id for item in work.items]
    found: dict[str, list[Record]] = {}
    for name in fo.list_datasets():
        if name != dataset.name:
            samples = fo.load_dataset(name)._sample_collection
            for record in samples.find({"image_id": {"$in": ids}}):
                found.setdefault(record["image_id"], []).append({**record, "samples": samples})
    return found


def _forget(elsewhere: Mapping[str, list[Record]]) -> None:
    """Takes images out of the batches that they were in: an older copy must not come back."""
    for listed in elsewhere.values():
        for record in listed:
            record["samples"].delete_one({"_id": record["_id"]})


def _newest(candidates: list[Record], item: Item) -> Record | None:
    """Of the records of an image that a person has begun with, the one that was changed last."""
    begun = [record for record in candidates if records.is_begun(record, item)]
    return max(begun, key=_changed, default=None)


def _changed(record: Record) -> datetime:
    moment = record.get("last_modified_at")
    return moment if isinstance(moment, datetime) else datetime.min


def _update(record: Record, change: Mapping[str, Any]) -> UpdateOne | None:
    new = {name: value for name, value in change.items() if record.get(name) != value}
    if not new:
        return None
    if FIELD in new:
        # A window that is still open from another day must not save over it.
        new["last_modified_at"] = datetime.now(UTC)
    return UpdateOne({"_id": record["_id"]}, {"$set": new})
