"""Labels that images have already, as proposals to be checked: from the dataset, or imported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from boxloop.campaign import artifacts, class_changes
from boxloop.campaign.box_rows import boxes_out
from boxloop.campaign.digests import digest
from boxloop.campaign.params_file import edit_params, listing
from boxloop.campaign.paths import CampaignPaths
from boxloop.core import existing
from boxloop.core.types import Batch, Boxes, BoxesByImage, Proposals
from boxloop.errors import ArtifactError
from boxloop.files import file_digest
from boxloop.params import LABELS, Params

_DIGITS = 16


def of_dataset(
    params: Params, truth: Path, use: Literal["trusted", "proposed"]
) -> dict[str, Boxes]:
    """Return the boxes of images that came with labels, where ``dataset.labels`` has this use.

    An image without a box is not taken for a labeled one: in most formats nothing tells an image
    that nobody looked at from one that holds no object.

    Raises:
        ArtifactError: the file of the dataset's annotations is missing or damaged.
    """
    if params.dataset.labels != use:
        return {}
    known = artifacts.read_truth(truth) or {}
    return {image_id: boxes for image_id, boxes in known.items() if len(boxes)}


def count_trusted(params: Params, truth: BoxesByImage | None) -> int:
    """Return how many images are in no batch, because their labels in the dataset are trusted."""
    if params.dataset.labels != "trusted":
        return 0
    return sum(1 for boxes in (truth or {}).values() if len(boxes))


def by_turn(
    paths: CampaignPaths, params: Params, dataset: Mapping[str, Boxes]
) -> dict[str, dict[str, Boxes]]:
    """Return the labels that each turn shows, by image: the dataset's, and those imported by then.

    What was imported last counts. Classes are called as they are today.

    Raises:
        ArtifactError: a file of imported labels is missing, or is another one.
    """
    known, result = dict(dataset), {}
    imported = any(turn.labels for turn in params.iterations.values())
    changes = class_changes.read(*paths.journals) if imported else ()
    classes = artifacts.read_images(paths.images).classes if changes else ()
    for key, turn in params.iterations.items():
        for name in turn.labels:
            labels, done = _read(paths, key, name)
            known |= class_changes.named_as_today(labels, changes, classes, done)
        result[key] = dict(known)
    return result


def keep(
    paths: CampaignPaths, params: Params, params_file: Path, key: str, labels: BoxesByImage
) -> Path:
    """Write labels to ``proposals/labels-DIGEST.json``, for a turn and all that follow it.

    DVC sees, by way of the batches' own files, which turns have other proposals.

    Args:
        paths: of the campaign.
        params: its parameters.
        params_file: its params.yaml, whose comments stay.
        key: the first turn that shows them.
        labels: boxes by image, of any images; by the class names of today.

    Returns:
        The file. One that is there already is the same.

    Raises:
        ParamsError: params.yaml cannot be edited; nothing was changed.
    """
    changes = class_changes.entries_of(class_changes.read(*paths.journals))
    name = _name(labels, changes)
    path = paths.imported_labels(name)
    listed = params.iterations[key].labels
    with listing(path):
        artifacts.write_imported_labels(path, labels, changes)
        if name not in listed:
            # In quotes: digits alone, or around one e, would be a number.
            names = ", ".join(f"'{item}'" for item in (*listed, name))
            edit_params(params_file, [f"iterations.{key}.labels=[{names}]"])
    return path


def _read(
    paths: CampaignPaths, key: str, name: str
) -> tuple[dict[str, Boxes], int | tuple[str, ...] | None]:
    path = paths.imported_labels(name)
    again = (
        "bring it back from git, import the labels again with 'boxloop import-labels', or take"
        f" '{name}' out of iterations.{key}.labels"
    )
    if not path.exists():
        raise ArtifactError(f"{path} does not exist, but params.yaml lists it: {again}")
    labels, changes = artifacts.read_imported_labels(path)
    if _name(labels, changes) != name:
        raise ArtifactError(f"{path} is not the file that params.yaml lists: {again}")
    return {image_id: boxes for image_id, boxes in labels.items() if len(boxes)}, changes


def _digest(labels: BoxesByImage) -> str:
    return digest({**boxes_out(labels)})


def _name(labels: BoxesByImage, changes: int | Sequence[str] | None) -> str:
    """Return the name of a file of labels; the same boxes by other names of classes are others."""
    if not changes:
        return _digest(labels)[:_DIGITS]
    return digest({"changes": changes, "boxes": _digest(labels)})[:_DIGITS]


def checkpoint(batch: Batch, made_by: str) -> str:
    """Return the digest of what a batch's proposals are made of.

    Args:
        batch: some of whose images may have labels.
        made_by: digest of what proposes for the others.
    """
    if not batch.labels:
        return made_by
    return ", ".join([_digest(batch.labels), *([made_by] if batch.unlabeled else [])])


def made_of(batch: Batch, detector: Path, origin: str | None = None) -> str:
    """Return the digest of what a batch's proposals are to be made of; see :func:`checkpoint`.

    Args:
        batch: some of whose images may have labels.
        detector: the turn's.
        origin: of the foundation model that proposes in its place.
    """
    if not batch.unlabeled:
        return checkpoint(batch, "")
    return checkpoint(batch, batch.given or origin or file_digest(detector))


def add(batch: Batch, others: Proposals) -> Proposals:
    """Return the proposals of a batch: labels where images have some, the others elsewhere.

    Args:
        batch: the whole of it.
        others: of at least the images without labels; as they are where no image has any.
    """
    if not batch.labels:
        return others
    boxes = {
        image_id: existing.as_proposals(batch.labels[image_id])
        if image_id in batch.labels
        else existing.below_labels(others.boxes[image_id])
        for image_id in batch.image_ids
    }
    detector = f"{LABELS}, {others.detector}" if batch.unlabeled else LABELS
    found = checkpoint(batch, others.checkpoint)
    near, crops = others.neighbours, others.crops
    if crops is not None:
        rest = {i: b for i, b in crops.other.items() if i not in batch.labels}
        below = {image_id: existing.below_labels(boxes) for image_id, boxes in rest.items()}
        crops = replace(crops, other=below)
    floor = others.score_floor
    return Proposals(batch.id, detector, found, floor, boxes, neighbours=near, crops=crops)
