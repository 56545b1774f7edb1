"""What leaves the campaign: boxes that a person checked, or proposals that wait for one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import SIMULATED, Boxes, BoxesByImage, ImageRef, LabeledSet
from boxloop.datasets.file_listing import within
from boxloop.errors import ArtifactError, DatasetError, ParamsError, UserError
from boxloop.files import file_digest
from boxloop.params import Params


@dataclass(frozen=True)
class Content:
    """What a writer writes, whatever its format.

    Attributes:
        classes: in the campaign's order; all of them, used or not.
        images: in the order of labeling.
        names: file name by image id, below the folder of images: the id and the file's own ending.
        boxes: by image id; scored where they are proposals.
        about: one line that says what it is.
        tag: of the file of proposals; None where the boxes are labels.
    """

    classes: tuple[str, ...]
    images: tuple[ImageRef, ...]
    names: dict[str, PurePosixPath]
    boxes: BoxesByImage
    about: str
    tag: str | None = None


def labeled_so_far(paths: CampaignPaths, params: Params) -> Content:
    """The newest labeled set that is made of every batch up to its own.

    Args:
        paths: where the campaign's files are.
        params: names the batches.

    Raises:
        UserError: nothing is labeled yet.
        ArtifactError: a file is missing or damaged, or the labeled set is not what the corrections
            say, because they changed after it was made.
    """
    labeled, path = _newest(paths, list(params.iterations))
    images = artifacts.read_images(paths.images)
    if images.classes != labeled.classes:
        raise ArtifactError(
            f"{path} has other classes than {paths.images}: 'dvc repro' brings them together"
        )
    kinds: dict[str, list[str]] = {}
    reviewers: dict[str, None] = {}
    for key in labeled.batches:
        corrections = artifacts.read_corrections(paths.corrections(key))
        for image_id, boxes in corrections.boxes.items():
            if image_id not in labeled.boxes or not _same(boxes, labeled.boxes[image_id]):
                raise ArtifactError(
                    f"{path} is older than {paths.corrections(key)}: run 'dvc repro', then export"
                )
        kinds.setdefault(corrections.annotator, []).append(key)
        if corrections.reviewer:
            reviewers[corrections.reviewer] = None
    about = f"batches {', '.join(labeled.batches)}"
    if reviewers:
        about += f", reviewed by {', '.join(reviewers)}"
    if SIMULATED in kinds:
        about += (
            f"; {', '.join(kinds[SIMULATED])}: the boxes are the dataset's own, handed back by"
            " the simulated annotator, and were not checked by a person"
        )
    refs = images.subset(list(labeled.boxes))
    return Content(images.classes, refs, file_names(refs), labeled.boxes, about)


def shown_proposals(paths: CampaignPaths, params: Params, key: str) -> Content:
    """The proposals of a batch that are shown to a person, with their ids.

    Args:
        paths: where the campaign's files are.
        params: for ``review.score_threshold``.
        key: of the batch.

    Raises:
        ParamsError: there is no such batch.
        ArtifactError: a file is missing or damaged.
    """
    require_batch(params, key)
    images = artifacts.read_images(paths.images)
    proposals = artifacts.read_proposals(paths.proposals(key))
    threshold = params.review.score_threshold
    boxes = {image_id: b.above(threshold) for image_id, b in proposals.boxes.items()}
    with artifacts.faults_of(paths.proposals(key)):
        refs = images.subset(list(boxes))
    about = (
        f"proposals for batch {key} by {proposals.detector}, from score {threshold:g}: not checked"
        " by anyone yet"
    )
    tag = proposals_tag(paths, key)
    return Content(images.classes, refs, file_names(refs), boxes, about, tag)


def proposals_tag(paths: CampaignPaths, key: str) -> str:
    """Tells the proposals of a batch from those that another detector made, or will make."""
    return file_digest(paths.proposals(key))[:8]


def require_batch(params: Params, key: str) -> None:
    """Refuses a batch that params.yaml does not list.

    Raises:
        ParamsError: it does not.
    """
    if key not in params.iterations:
        raise ParamsError(
            f"there is no batch {key!r}: params.yaml lists {', '.join(params.iterations)}"
        )


def file_names(images: tuple[ImageRef, ...]) -> dict[str, PurePosixPath]:
    """File name by image id: the id and the ending of the image's own file.

    So an importer finds the same ids, whatever folders the images come from.

    Raises:
        DatasetError: an id cannot be a file name.
    """
    names = {}
    for image in images:
        name = PurePosixPath(image.id + PurePosixPath(image.path).suffix)
        # Judged as text: an id with "..", "//" or a leading "/" would lead to another place.
        if within(Path("x"), str(name)) != Path("x") / name or name == PurePosixPath(
            image.id, ".."
        ):
            raise DatasetError(f"image {image.id!r} has an id that cannot be a file name")
        names[image.id] = name
    if len(set(names.values())) < len(names):
        raise DatasetError("two images would have the same file name: their ids differ too little")
    return names


def _newest(paths: CampaignPaths, keys: list[str]) -> tuple[LabeledSet, Path]:
    for i in reversed(range(len(keys))):
        path = paths.labeled(keys[i])
        if path.exists():
            labeled = artifacts.read_labeled(path)
            if list(labeled.batches) == keys[: i + 1]:
                return labeled, path
    raise UserError(
        f"nothing is labeled yet in {paths.images.parent}: 'dvc repro' says what comes first"
    )


def _same(a: Boxes, b: Boxes) -> bool:
    """Whether the boxes are the same but for their ids, which a labeled set makes anew."""
    return np.array_equal(a.xyxy, b.xyxy) and np.array_equal(a.labels, b.labels)
