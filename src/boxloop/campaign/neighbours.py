"""Mend a batch's proposals by its neighbours' labels, judge that, and say it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.schemas import name_file
from boxloop.core import existing, neighbours
from boxloop.core.crop_classes import crop_boxes, own_boxes
from boxloop.core.evidence import Evidence
from boxloop.core.threshold import PRIOR
from boxloop.core.types import (
    Batch,
    Boxes,
    BoxesByImage,
    Corrections,
    ImageSet,
    Neighbour,
    NeighbourUse,
    Proposals,
)
from boxloop.core.workload import find_cost_model
from boxloop.params import FITTED, Params
from boxloop.terminal import counted, percent


def plan(
    params: Params, batches: Sequence[Batch], features: Path, labeled: Sequence[str]
) -> list[Batch]:
    """Return the batches with the nearest image that is labeled before each of theirs.

    Args:
        params: of the campaign; where ``propose.neighbours`` is off, nothing is read.
        batches: in their order.
        features: the file of all images' vectors.
        labeled: images that came with labels.

    Raises:
        ArtifactError: the file is missing or damaged, or lacks an image.
    """
    if params.propose.neighbours != FITTED:
        return list(batches)
    table = artifacts.read_features(features)
    needed = [*labeled, *(image_id for batch in batches for image_id in batch.image_ids)]
    with name_file(features):
        table.subset(needed)
    found = neighbours.find(table, batches, labeled)
    return [replace(b, neighbours=near) for b, near in zip(batches, found, strict=True)]


def as_proposed(proposals: Proposals) -> Proposals:
    """Return proposals as the detector made them."""
    used = proposals.neighbours
    if used is None:
        return proposals
    # Files of older versions hold here what the detector scored beside labels that exist.
    own = {i: _beside_labels(proposals, boxes) for i, boxes in used.own.items()}
    return replace(proposals, boxes={**proposals.boxes, **own}, neighbours=None)


def mend_by_files(
    params: Params, proposals: Proposals, files: Mapping[str, Path], batch: Batch
) -> Proposals:
    """Return proposals with what neighbours' labels change, where that is expected to pay.

    Labels that images of the batch have already stay as they are.

    Args:
        params: of the campaign.
        proposals: of the whole batch, as they were made or mended.
        files: ``images``, ``evidence``, ``labeled`` and ``training``.
        batch: theirs.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    proposals = as_proposed(proposals)
    off = params.propose.neighbours != FITTED or not existing.of_turns(proposals.detector)
    if off or not batch.neighbours:
        return proposals
    labels = artifacts.read_labeled(files["labeled"]).boxes
    near = _of_one_size(batch.neighbours, artifacts.read_images(files["images"]))
    known = list(artifacts.read_evidence(files["evidence"]))
    held = artifacts.read_training(files["training"]).held_out
    if held is not None and set(held.boxes) <= set(labels):
        final = {image_id: labels[image_id] for image_id in held.boxes}
        shown = dict.fromkeys(params.judged_ious, _fixed(params, held.score_floor))
        crops = proposals.crops is not None and proposals.crops.used
        offered = (crop_boxes if crops else own_boxes)(held) or {}
        rows = neighbours.judge(offered, labels, near, final, shown, held.score_floor)
        known.insert(0, Evidence(held.batch, 0, 0, (1.0,), (), rows))
    model = find_cost_model(params.account.cost_model)
    return mend(proposals, labels, near, neighbours.choose(known, params.judged_ious, model))


def mend(
    proposals: Proposals,
    labels: BoxesByImage,
    near: Mapping[str, Neighbour],
    choice: neighbours.Choice,
) -> Proposals:
    """Return proposals with what the labels of near enough images change.

    Args:
        proposals: as the detector made them; labels among them are a person's, and stay.
        labels: of what is labeled.
        near: neighbours by image id.
        choice: from how near on they are used.

    Returns:
        The very ``proposals`` where nothing changes.
    """
    changed, own, confirmed = {}, {}, 0
    for image_id, boxes in proposals.boxes.items():
        item = near.get(image_id)
        if choice.limit is None or item is None or item.distance > choice.limit:
            continue
        if existing.is_existing(boxes):
            continue
        if item.image in labels:
            merged, pairs = neighbours.merge(boxes, labels[item.image], proposals.score_floor)
            if pairs:
                changed[image_id] = _beside_labels(proposals, merged)
                own[image_id] = boxes
                confirmed += pairs
    if choice.limit is None or not changed:
        return proposals
    used = NeighbourUse(
        choice.limit,
        choice.expected_saving,
        choice.found,
        {image_id: near[image_id] for image_id in changed},
        confirmed,
        own,
    )
    return replace(proposals, boxes={**proposals.boxes, **changed}, neighbours=used)


def judge_by_files(
    params: Params, corrections: Corrections, files: Mapping[str, Path], evidence: Evidence
) -> Evidence:
    """Return a batch's evidence with what its neighbours' labels would have saved.

    Args:
        params: of the campaign.
        corrections: of the batch.
        files: ``images``, ``batch``, ``proposals`` and, of the turn before, ``labeled``.
        evidence: of the batch.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    by_turns = existing.of_turns(corrections.proposals.detector)
    if params.propose.neighbours != FITTED or not by_turns:
        return evidence
    batch = artifacts.read_batch(files["batch"])
    if not batch.neighbours:
        return evidence
    # People may have corrected what another detector proposed; that of now is judged.
    offered = as_proposed(artifacts.read_proposals(files["proposals"]))
    near = _of_one_size(batch.neighbours, artifacts.read_images(files["images"]))
    fitted = {iou: offered.fitted(iou) for iou in params.judged_ious}
    usual = _fixed(params, offered.score_floor)
    shown = {iou: usual if found is None else found.score for iou, found in fitted.items()}
    labels, floor = artifacts.read_labeled(files["labeled"]).boxes, offered.score_floor
    final = {i: corrections.boxes[i] for i in existing.without_labels(corrections)}
    rows = neighbours.judge(offered.boxes, labels, near, final, shown, floor)
    return replace(evidence, neighbours=rows)


def in_words(used: NeighbourUse) -> str:
    """Say in half a sentence what neighbours' labels changed."""
    return _say(len(used.images), used.confirmed, used.limit, used.expected_saving, used.found)


def recorded(content: Any) -> str:
    """Return :func:`in_words` of what a file of proposals records; "" of nothing."""
    try:
        names = ("confirmed", "limit", "expected_saving", "found")
        return "" if content is None else _say(len(content["images"]), *map(content.get, names))
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""


def mended(paths: CampaignPaths, params: Params, keys: Iterable[str]) -> dict[str, str]:
    """Return :func:`in_words` for those of these batches whose proposals were mended.

    Raises:
        ArtifactError: a file of proposals is damaged.
    """
    if params.propose.neighbours != FITTED:
        return {}
    files = {key: paths.proposals(key) for key in keys}
    found = {key: artifacts.read_proposals(p).neighbours for key, p in files.items() if p.exists()}
    return {key: in_words(used) for key, used in found.items() if used is not None}


def _say(count: int, confirmed: Any, limit: Any, saved: Any, found: Any) -> str:
    why = "of which nothing is known yet"
    if saved is not None:
        why = f"which would have saved {percent(saved)} of correcting such images on {found}"
    return (
        f"{counted(count)} mended by the labels of one not farther than {limit:g}"
        f" ({counted(confirmed, 'box')} confirmed), {why}"
    )


def _beside_labels(proposals: Proposals, boxes: Boxes) -> Boxes:
    """Return an image's boxes of these proposals, none of which scores as labels do."""
    if existing.is_existing(boxes) or not existing.has_labels(proposals):
        return boxes
    return existing.below_labels(boxes)


def _fixed(params: Params, floor: float) -> float:
    threshold = params.review.score_threshold
    return max(PRIOR, floor) if threshold == FITTED else float(threshold)


def _of_one_size(near: Mapping[str, Neighbour], images: ImageSet) -> dict[str, Neighbour]:
    """Leave out neighbours of another size: their boxes are in other pixels."""
    size = {ref.id: (ref.width, ref.height) for ref in images.images}
    return {i: n for i, n in near.items() if i in size and size[i] == size.get(n.image)}
