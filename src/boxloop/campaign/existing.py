"""Labels that images have already, as proposals to be checked: from the dataset, or imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np

from boxloop.campaign import artifacts, class_changes
from boxloop.campaign.box_rows import boxes_in, boxes_out
from boxloop.campaign.by_pixels import names_today
from boxloop.campaign.digests import digest
from boxloop.campaign.params_file import edit_params, listing
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.schemas import TruthFile, parse
from boxloop.campaign.screening import name_images
from boxloop.core import existing
from boxloop.core.types import Batch, Boxes, BoxesByImage, Proposals
from boxloop.errors import ArtifactError
from boxloop.files import collection_paused, file_digest
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
    paths: CampaignPaths,
    params: Params,
    dataset: Mapping[str, Boxes],
    say: Callable[[str], object] | None = None,
) -> dict[str, dict[str, Boxes]]:
    """Return the labels that each turn shows, by image: the dataset's, and those imported by then.

    What was imported last counts. Images and classes are called as they are today; labels of images
    that are gone are left out, and named by ``say``.

    Raises:
        ArtifactError: a file of imported labels is missing, or is another one.
    """
    if not any(turn.labels for turn in params.iterations.values()):
        return {key: dict(dataset) for key in params.iterations}
    known, result = dict(dataset), {}
    changes = class_changes.read(*paths.journals)
    images = artifacts.read_images(paths.images)
    for key, turn in params.iterations.items():
        for name in turn.labels:
            labels, done, digests = _read(paths, key, name)
            labels = class_changes.named_as_today(labels, changes, images.classes, done)
            today = names_today(labels, digests, images.images)
            known |= {today[i]: boxes for i, boxes in labels.items() if i in today}
            gone = [i for i in labels if i not in today]
            if gone and say is not None:
                what = "that the dataset does not have now"
                if digests is not None:
                    what = "whose pixels are not in the dataset now"
                say(
                    f"{paths.imported_labels(name)} has labels of {name_images(gone)} {what}, and"
                    " they are not shown: bring the images back, or import their labels again with"
                    " 'boxloop import-labels'"
                )
        result[key] = dict(known)
    return result


def require_of_today(paths: CampaignPaths, params: Params, batch: Batch) -> dict[str, Boxes]:
    """Refuse to show labels for other pixels than the dataset has now.

    Classes may have been renamed since.

    Returns:
        The labels of the batch's images by the names of today, by image; none where the parameters
        are others.

    Raises:
        ArtifactError: the batch has other boxes than the labels that its images have today.
    """
    listed = any(turn.labels for turn in params.iterations.values())
    if not batch.labels or not (listed or params.dataset.labels == "proposed"):
        return {}  # other parameters, which are the stage batch's to notice
    dataset = of_dataset(params, paths.truth, "proposed")
    today = by_turn(paths, params, dataset).get(batch.id, {})
    for image_id, boxes in batch.labels.items():
        if image_id not in today or not np.array_equal(boxes.xyxy, today[image_id].xyxy):
            raise ArtifactError(
                f"{paths.batch(batch.id)} shows other labels on image {image_id} than it has now:"
                " run 'dvc repro', or 'boxloop batch' first"
            )
    return {image_id: today[image_id] for image_id in batch.labels}


def keep(
    paths: CampaignPaths,
    params: Params,
    params_file: Path,
    key: str,
    labels: BoxesByImage,
    digests: Mapping[str, str] | None = None,
) -> Path:
    """Write labels to ``proposals/labels-DIGEST.json``, for a turn and all that follow it.

    DVC sees, by way of the batches' own files, which turns have other proposals.

    Args:
        paths: of the campaign.
        params: its parameters.
        params_file: its params.yaml, whose comments stay.
        key: the first turn that shows them.
        labels: boxes by image, of any images; by the class names of today.
        digests: of the images' files: the labels are theirs, whatever they are called later.

    Returns:
        The file. One that is there already is the same.

    Raises:
        ParamsError: params.yaml cannot be edited; nothing was changed.
    """
    changes = class_changes.entries_of(class_changes.read(*paths.journals))
    name = _name(labels, changes, digests)
    path = paths.imported_labels(name)
    listed = params.iterations[key].labels
    with listing(path):
        content = {"boxes": boxes_out(labels), "changes": list(changes)}
        if digests is not None:
            content["digests"] = dict(digests)
        artifacts.write(path, "truth", content)
        if name not in listed:
            # In quotes: digits alone, or around one e, would be a number.
            names = ", ".join(f"'{item}'" for item in (*listed, name))
            edit_params(params_file, [f"iterations.{key}.labels=[{names}]"])
    return path


def _read(
    paths: CampaignPaths, key: str, name: str
) -> tuple[dict[str, Boxes], int | tuple[str, ...] | None, dict[str, str] | None]:
    path = paths.imported_labels(name)
    again = (
        "bring it back from git, import the labels again with 'boxloop import-labels', or take"
        f" '{name}' out of iterations.{key}.labels"
    )
    if not path.exists():
        raise ArtifactError(f"{path} does not exist, but params.yaml lists it: {again}")
    labels, changes, digests = read_file(path)
    if _name(labels, changes, digests) != name:
        raise ArtifactError(f"{path} is not the file that params.yaml lists: {again}")
    kept = {image_id: boxes for image_id, boxes in labels.items() if len(boxes)}
    return kept, changes, digests


def read_file(
    path: Path,
) -> tuple[dict[str, Boxes], int | tuple[str, ...] | None, dict[str, str] | None]:
    """Read labels to be shown, the changes that their names follow, and their images' digests.

    Older files say how many changes, or nothing, and have no digests.
    """
    with collection_paused():
        file = parse(path, "truth", TruthFile)
        boxes = {} if file.boxes is None else boxes_in(path, file.boxes)
        return boxes, file.changes, file.digests


def _digest(labels: BoxesByImage) -> str:
    return digest({**boxes_out(labels)})


def _name(
    labels: BoxesByImage,
    changes: int | Sequence[str] | None,
    digests: Mapping[str, str] | None,
) -> str:
    """Return the name of a file of labels.

    The same boxes by other names of classes are others, and so are those of other pixels.
    """
    content: dict[str, object] = {"boxes": _digest(labels)}
    if changes:
        content["changes"] = changes
    if digests is not None:
        content["digests"] = dict(digests)
    return (digest(content) if len(content) > 1 else _digest(labels))[:_DIGITS]


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


def add(
    batch: Batch, others: Proposals, today: Mapping[str, Boxes] = MappingProxyType({})
) -> Proposals:
    """Return the proposals of a batch: labels where images have some, the others elsewhere.

    Args:
        batch: the whole of it.
        others: of at least the images without labels; as they are where no image has any.
        today: the labels of the batch, where classes may be called otherwise by now.
    """
    if not batch.labels:
        return others
    boxes = {
        image_id: existing.as_proposals(today.get(image_id, batch.labels[image_id]))
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
