"""Synchronise a batch's FiftyOne dataset with a session's assignment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import ObjectId
from pymongo import UpdateOne

from boxloop.core.types import ImageRef
from boxloop.review.fiftyone import looks, sample_documents
from boxloop.review.fiftyone.app_view import configure_app, save_view
from boxloop.review.fiftyone.assignment import Assignment, Item
from boxloop.review.fiftyone.review_dataset import ReviewDataset
from boxloop.review.fiftyone.review_status import ReviewStatus, ReviewStatuses
from boxloop.review.fiftyone.sample_documents import FIELD, SHOWN_FIELD, Document
from boxloop.terminal import counted

_KEPT_FIELDS = (
    *("_id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "_media_type"),
    *("_rand", "image_id", "position", SHOWN_FIELD, FIELD),
)
"""What is copied when an image moves to another batch."""

_ASIDE = "sha256:"
"""Before the digest that is a sample's image id where no image of the session has its pixels."""

_MOST_NAMED = 3


def open_dataset(
    assignment: Assignment,
    display: Mapping[str, Path],
    say: Callable[[str], object] = lambda note: None,
) -> ReviewDataset:
    """Open a batch's dataset, and synchronise it with the assignment.

    Work that was begun stays as it is, with the proposals that the person saw, also where its image
    was in another batch then. Where the image has other pixels now, it goes to the image that has
    those, or is set aside until a session has it. Images that nobody touched get the newest
    proposals. It can be killed at any moment, and goes on from there when it is called again.

    Args:
        assignment: of the session.
        display: the file that the App shows, by image id.
        say: told what a person should know.
    """
    dataset = _dataset(assignment.batch)
    samples = dataset._sample_collection
    _recount(samples)
    all_statuses = ReviewStatuses(samples.database)
    places = {
        item.image.id: {
            "image_id": item.image.id,
            "position": position,
            "filepath": str(display[item.image.id].absolute()),
        }
        for position, item in enumerate(assignment.items)
    }
    images = {item.image.id: item.image for item in assignment.items}
    known = _find(dataset, images)
    statuses = all_statuses.read(sample.document["_id"] for sample in known)
    stored, aside = _by_pixels(known, statuses, images)
    for sample, digest in aside:
        change = {"$set": {"image_id": f"{_ASIDE}{digest}"}}
        sample.samples.update_one({"_id": sample.document["_id"]}, change)
    if aside:
        say(_what_was_set_aside([sample.document["image_id"] for sample, _ in aside]))
    new, moved, changes, surplus = [], [], [], []
    changed_statuses: dict[ObjectId, ReviewStatus] = {}
    for item in assignment.items:
        found = stored.get(item.image.id, [])
        if not found:
            new.append(item)
            continue
        chosen = _choose(found, statuses, item)
        surplus += [sample for sample in found if sample is not chosen]
        status = statuses[chosen.document["_id"]]
        change, wanted = sample_documents.repair(chosen.document, status, item)
        if wanted != status:
            changed_statuses[chosen.document["_id"]] = wanted
        if chosen.samples != samples:
            surplus.append(chosen)
            moved.append(_moved(chosen.document, dataset))
        changes += _update(chosen.document, places[item.image.id] | change)
    # In this order: at whatever point it is killed, no image counts as reviewed that was not.
    all_statuses.replace(changed_statuses)
    if moved:
        samples.insert_many(moved)
    if changes:
        samples.bulk_write(changes, ordered=False)
    for sample in surplus:
        sample.samples.delete_one({"_id": sample.document["_id"]})
    if new:
        fields = [places[i.image.id] | sample_documents.new_fields(i) for i in new]
        dataset.add_samples([fo.Sample(**each) for each in fields], progress=False)
    configure_app(dataset, assignment)
    view = save_view(dataset, assignment)
    review_dataset = ReviewDataset(dataset, assignment, all_statuses, view)
    review_dataset.read()  # corrects the grid's tags
    return review_dataset


@dataclass(frozen=True)
class _Stored:
    """A sample of one of the session's images, and the collection that it is in."""

    samples: Any
    document: Document


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
    dataset.add_sample_field(SHOWN_FIELD, fo.StringField)
    dataset.add_sample_field(FIELD, fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    return dataset


def _recount(samples: Any) -> None:
    """Make MongoDB count a collection again after a crash.

    It loses its estimate of a collection's size then, and the App takes an estimate of zero for an
    empty dataset: "No samples yet".
    """
    if samples.estimated_document_count() != samples.count_documents({}):
        samples.database.command("validate", samples.name)


def _find(dataset: Any, images: Mapping[str, ImageRef]) -> list[_Stored]:
    """Return the samples of the session's images, and those set aside; this batch's first.

    There is more than one of an image where another order has moved it to this batch, and where
    somebody has made a copy in the App.
    """
    wanted = [*images, *(f"{_ASIDE}{image.digest}" for image in images.values())]
    # What one person began of a second or third look is nobody else's.
    names = [] if looks.is_own(dataset.name) else fo.list_datasets()
    others = [name for name in names if name != dataset.name and not looks.is_own(name)]
    return [
        _Stored(samples, document)
        for samples in [dataset._sample_collection, *_collections(others)]
        for document in samples.find({"image_id": {"$in": wanted}})
    ]


def _by_pixels(
    known: Iterable[_Stored],
    statuses: Mapping[ObjectId, ReviewStatus],
    images: Mapping[str, ImageRef],
) -> tuple[dict[str, list[_Stored]], list[tuple[_Stored, str]]]:
    """Return the samples of each image; and those of pixels that no image has, with their digest.

    Video frames that are numbered anew are other images by the same names.
    """
    of_pixels = {image.digest: image_id for image_id, image in reversed([*images.items()])}
    stored: dict[str, list[_Stored]] = {}
    aside = []
    for sample in known:
        name, status = sample.document["image_id"], statuses[sample.document["_id"]]
        if name in images:
            digest = sample_documents.other_pixels(sample.document, status, images[name])
        else:
            digest = name.removeprefix(_ASIDE)
        if digest and digest not in of_pixels:
            aside.append((sample, digest))
        else:
            stored.setdefault(of_pixels[digest] if digest else name, []).append(sample)
    return stored, aside


def _what_was_set_aside(image_ids: list[str]) -> str:
    names = ", ".join(image_ids[:_MOST_NAMED]) + (", ..." if len(image_ids) > _MOST_NAMED else "")
    return (
        f"Take note: what was begun on {counted(len(image_ids))} ({names}) is of other pixels than"
        " are there now. It is set aside, and is there again when the image of those pixels is"
        " reviewed."
    )


def _collections(names: Iterable[str]) -> list[Any]:
    return [fo.load_dataset(name)._sample_collection for name in names]


def _choose(found: list[_Stored], statuses: Mapping[ObjectId, ReviewStatus], item: Item) -> _Stored:
    """Return the begun sample that was changed last; else the first."""
    begun = [
        sample
        for sample in found
        if sample_documents.is_begun(sample.document, statuses[sample.document["_id"]], item)
    ]
    return max(begun, key=_changed, default=found[0])


def _changed(sample: _Stored) -> datetime:
    moment = sample.document.get("last_modified_at")
    return moment if isinstance(moment, datetime) else datetime.min


def _moved(document: Document, dataset: Any) -> dict[str, Any]:
    kept = {name: document[name] for name in _KEPT_FIELDS if name in document}
    return {**kept, "_dataset_id": dataset._doc.id}


def _update(document: Document, change: Mapping[str, Any]) -> list[UpdateOne]:
    new = {name: value for name, value in change.items() if document.get(name) != value}
    if not new:
        return []
    if FIELD in new:
        # A window that is still open from another day must not save over it.
        new["last_modified_at"] = datetime.now(UTC)
    return [UpdateOne({"_id": document["_id"]}, {"$set": new})]
