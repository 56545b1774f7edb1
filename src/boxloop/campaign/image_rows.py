"""Gather all that a campaign knows about each of its images, whatever stage it is at."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts, class_changes, pixels, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.thresholds import shown_from
from boxloop.core.completeness import unseen
from boxloop.core.edits import Ledger, diff
from boxloop.core.rechecking import as_reviewed
from boxloop.core.types import (
    Boxes,
    Corrections,
    FeatureTable,
    Floats,
    ImageRef,
    ImageSet,
    Ordering,
    Proposals,
)
from boxloop.core.workload import compare, find_cost_model
from boxloop.errors import UserError
from boxloop.files import atomic_path, file_digest
from boxloop.params import EMPTY, GIVEN, Params

REVIEWED, WAITING, LATER = "reviewed", "waits for review", "not proposed yet"
"""Where an image stands; those that came with trusted labels are :data:`~boxloop.params.GIVEN`."""


_MANY = 5_000


@dataclass(frozen=True, slots=True)
class ImageRow:
    """One image of a campaign.

    Attributes:
        image: its file and size.
        status: :data:`REVIEWED`, :data:`WAITING`, :data:`LATER` or ``GIVEN``.
        position: its place in the order, from 1; None where it is not in it.
        batch: key of its batch, if it has one.
        distance: Euclidean distance of its features to the images before it in the order, as the
            ordering took it; None where the order was not chosen by distances, or it began with it.
        detector: what proposed for it, "empty" in the first batch; None before that.
        proposals: those that were shown, or would be, with their scores; None before there are any.
        labels: the final boxes; None before they are reviewed.
        truth: the dataset's own boxes, if it has any.
        edits: from ``proposals`` to ``labels``: of people by the ids of the boxes, of the simulated
            annotator by geometry, at ``review.iou_threshold``.
        saved: boxes' worth of drawing that the proposals saved, by ``account.cost_model``; negative
            where correcting them took longer than drawing. None where nothing proposed.
        seconds: active seconds of its reviewer, where they were measured.
        reviewer: who, where known.
        missing_classes: the campaign's classes that its reviewer could not choose; all of them
            where it is not labeled.
        outdated: whether boxes are left out that were made for other pixels than it has now.
    """

    image: ImageRef
    status: str
    position: int | None = None
    batch: str | None = None
    distance: float | None = None
    detector: str | None = None
    proposals: Boxes | None = None
    labels: Boxes | None = None
    truth: Boxes | None = None
    edits: Ledger | None = None
    saved: float | None = None
    seconds: float | None = None
    reviewer: str | None = None
    missing_classes: tuple[str, ...] = ()
    outdated: bool = False


def read_rows(paths: CampaignPaths, params: Params) -> list[ImageRow]:
    """Read one row per image, in the order of labeling; those outside of the order come last.

    Raises:
        UserError: the images have no order yet.
        ArtifactError: a file is damaged.
    """
    if not paths.images.exists() or not paths.order.exists():
        raise UserError(
            f"there is nothing to look at yet: {paths.order} does not exist, which"
            " 'dvc repro batch' makes"
        )
    images, order = artifacts.read_images(paths.images), artifacts.read_order(paths.order)
    table = images.by_id()
    order_ids = [image_id for image_id in order.image_ids if image_id in table]
    places = {image_id: place for place, image_id in enumerate(order_ids, start=1)}
    distances = read_distances(paths, order)
    batches = artifacts.read_batch_of(map(paths.batch, params.iterations))
    truth = artifacts.read_truth(paths.truth) if paths.truth.exists() else None
    trusted = params.dataset.labels == "trusted" and paths.labeled(EMPTY).exists()
    given = artifacts.read_labeled(paths.labeled(EMPTY)).boxes if trusted else {}
    known, (offered, others) = _Known.read(paths, params), _offered(paths, params, images)
    rows = []
    for image_id in [*order_ids, *(i for i in table if i not in places)]:
        row = ImageRow(
            table[image_id],
            LATER,
            position=places.get(image_id),
            batch=batches.get(image_id),
            distance=distances.get(image_id),
            truth=None if truth is None else truth.get(image_id),
            missing_classes=images.classes,
        )
        made = known.get(image_id)
        by_person = made is not None and made.by_person
        own = given.get(image_id)  # the dataset's, which tell no pixels
        if own is None and made is not None and not by_person:
            own = made.boxes[image_id]
        old = image_id in others or (own is not None and not _is_truth(row, own))
        row = replace(row, outdated=old and not by_person)
        if own is not None and image_id in given and not old:
            row = replace(row, status=GIVEN, batch=GIVEN, labels=own, missing_classes=())
        elif made is not None and (by_person or not old):
            row = _reviewed(row, made, images.classes, params)
        elif image_id in offered:
            proposals, threshold = offered[image_id]
            shown = proposals.boxes[image_id].above(threshold)
            row = replace(row, status=WAITING, detector=proposals.detector, proposals=shown)
        rows.append(row)
    return rows


def read_distances(paths: CampaignPaths, order: Ordering) -> dict[str, float]:
    """Compute the distances that an order was made by; none where it was made otherwise.

    Of many images they are kept in ``.boxloop/distances``: their number grows with the square.

    Raises:
        ArtifactError: the features are damaged.
    """
    # These import scipy, which few who import this file need.
    from boxloop.core.list_distances import list_distances
    from boxloop.core.ordering import DISSIMILAR, SIMILAR, find_strategy

    greedy = find_strategy(order.strategy) in (SIMILAR, DISSIMILAR)
    features = read_features(paths) if greedy else None
    if features is None or not set(order.image_ids) <= set(features.image_ids):
        return {}
    kept = None
    if len(order.image_ids) > _MANY:
        made_of = f"{file_digest(paths.order)}{file_digest(paths.features)}".encode()
        kept = paths.state / "distances" / f"{hashlib.sha256(made_of).hexdigest()[:16]}.npy"
    distances = None if kept is None else _read_kept(kept, len(order.image_ids))
    if distances is None:
        vectors = features.subset(order.image_ids).vectors
        distances = list_distances(vectors, order.query_size, order.linkage)
        if kept is not None:
            with atomic_path(kept) as temporary, temporary.open("wb") as file:
                np.save(file, distances)
    pairs = zip(order.image_ids, distances.tolist(), strict=True)
    return {image_id: distance for image_id, distance in pairs if not np.isnan(distance)}


def _read_kept(path: Path, count: int) -> Floats | None:
    """Return the distances that an earlier call computed; None where there are none to use."""
    try:
        distances: Floats = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return distances if distances.shape == (count,) and distances.dtype == np.float64 else None


def read_features(paths: CampaignPaths) -> FeatureTable | None:
    """Read the features; None where there are none, as where the order needs none."""
    if not paths.features.exists():
        return None
    return artifacts.read_features(paths.features)


def _reviewed(row: ImageRow, made: Corrections, classes: tuple[str, ...], p: Params) -> ImageRow:
    image_id = row.image.id
    offered, final = made.proposals, made.boxes[image_id]
    shown = made.counted_on(image_id)
    by_ids = made.by_person
    reviewed = as_reviewed(made.part([image_id])).boxes[image_id] if by_ids else final
    edits = diff(shown, reviewed) if by_ids else compare(shown, final, p.review.iou_threshold)
    saved = None
    if offered.detector != EMPTY:
        model = find_cost_model(p.account.cost_model)
        saved = len(reviewed) - model.cost(edits)
    return replace(
        row,
        status=REVIEWED,
        detector=offered.detector,
        proposals=shown,
        labels=final,
        edits=edits,
        saved=saved,
        seconds=made.seconds.get(image_id),
        reviewer=submissions.first_reviewer(made, image_id) or made.annotator,
        missing_classes=unseen(classes, made.offered.get(image_id, made.classes)),
    )


def _is_truth(row: ImageRow, boxes: Boxes) -> bool:
    """Tell whether the dataset's own boxes, or those of the simulation, are still what it has."""
    return row.truth is None or pixels.same(boxes, row.truth)


def _offered(
    paths: CampaignPaths, params: Params, images: ImageSet
) -> tuple[dict[str, tuple[Proposals, float]], set[str]]:
    """Return the proposals of each image that has any, and the score that they are shown from.

    And the images that have some for other pixels than theirs of today.
    """
    found, others = {}, set[str]()
    changes, table = class_changes.read(*paths.journals), images.by_id()
    for key in params.iterations:
        path = paths.proposals(key)
        if path.exists():
            proposals, digests = artifacts.read_dated_proposals(path)
            threshold = shown_from(params.review, proposals, path)
            old = pixels.of_other_pixels(digests or {}, table)
            proposals = class_changes.as_today(proposals, changes, images)
            own = (image_id for image_id in proposals.boxes if image_id not in old)
            found.update(dict.fromkeys(own, (proposals, threshold)))
            others |= old
    return found, others


class _Known:
    """What became of each image: people's newest submission, else what the simulation said."""

    def __init__(self, people: Mapping[str, Corrections], others: Mapping[str, Corrections]):
        self._people, self._others = people, others

    @classmethod
    def read(cls, paths: CampaignPaths, params: Params) -> _Known:
        images = artifacts.read_images(paths.images)
        files = [paths.corrections(key) for key in params.iterations]
        people = screening.read(paths.journals, files, images).submissions
        others: dict[str, Corrections] = {}
        for path in files:
            if path.exists():
                made = artifacts.read_corrections(path)
                if not made.by_person:
                    others.update(dict.fromkeys(made.boxes, made))
        return cls(submissions.latest(people), others)

    def get(self, image_id: str) -> Corrections | None:
        return self._people.get(image_id, self._others.get(image_id))
