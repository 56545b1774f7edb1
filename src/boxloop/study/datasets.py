"""Read the datasets of a study: the whole one, its part of each class, the test set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boxloop import datasets
from boxloop.campaign import artifacts
from boxloop.campaign.digests import content_digest, digest
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Boxes, ImageSet
from boxloop.datasets import Dataset, faults_payload
from boxloop.errors import DatasetError, ParamsError
from boxloop.params import Params
from boxloop.study.spec import Spec


@dataclass(frozen=True)
class AnnotatedDataset:
    """Images with ground-truth boxes.

    Attributes:
        images: in temporal order.
        truth: the boxes of every image.
        digest: of ids, pixels, classes and truth.
        images_digest: of ids and pixels.
        faults: content of faults.json; None for a part of a dataset.
    """

    images: ImageSet
    truth: Mapping[str, Boxes]
    digest: str
    images_digest: str
    faults: Mapping[str, Any] | None = None

    @classmethod
    def of(
        cls, images: ImageSet, truth: Mapping[str, Boxes], faults: Mapping[str, Any] | None = None
    ) -> AnnotatedDataset:
        """Build one, computing its digests."""
        pixels = digest([[image.id, image.digest] for image in images.images])
        return cls(images, truth, content_digest(images, truth), pixels, faults)

    @property
    def objects(self) -> int:
        """The number of boxes."""
        return sum(map(len, self.truth.values()))

    def write(self, paths: CampaignPaths) -> None:
        """Write the files of the stage ``dataset``; images stay where they are."""
        artifacts.write_images(paths.images, self.images)
        artifacts.write_truth(paths.truth, self.truth)
        if self.faults is not None:
            artifacts.write(paths.faults, "faults", self.faults)


def load_annotated(
    params: Params, drawn: Path, progress: Callable[[int, int], None] | None
) -> AnnotatedDataset:
    """Read a dataset with ground truth.

    A study reads it at every start, as nothing else shows that its files have changed.

    Raises:
        DatasetError: it cannot be used, or has no annotations.
    """
    found: Dataset = datasets.load(params.dataset, drawn.absolute(), progress)
    if found.truth is None:
        raise DatasetError(
            f"{params.dataset.path} has no annotations, and a study corrects by the truth"
        )
    return AnnotatedDataset.of(found.images, found.truth, faults_payload(found))


def split_by_class(spec: Spec, whole: AnnotatedDataset) -> dict[str | None, AnnotatedDataset]:
    """Return the dataset of each class to label alone, or the whole one under None.

    Raises:
        ParamsError: ``classes`` names one that the dataset does not have.
    """
    chosen = spec.axes.classes
    if chosen is None:
        return {None: whole}
    labels = whole.images.classes if chosen == "each" else chosen
    parts: dict[str | None, AnnotatedDataset] = {}
    for label in labels:
        if label not in whole.images.classes:
            raise ParamsError(
                f"{spec.path}: classes names '{label}', and the dataset has"
                f" {', '.join(whole.images.classes)}"
            )
        truth = {k: b.select(b.labels == label) for k, b in whole.truth.items()}
        if spec.axes.class_images == "containing":
            truth = {k: b for k, b in truth.items() if len(b)}
        if not any(map(len, truth.values())):
            occurring = {str(name) for boxes in whole.truth.values() for name in boxes.labels}
            known = [name for name in whole.images.classes if name in occurring]
            way = f"list classes that occur, of {', '.join(known)}" if known else "there is no box"
            raise ParamsError(f"{spec.path}: classes: no image contains a {label}: {way}")
        kept = tuple(image for image in whole.images.images if image.id in truth)
        parts[label] = AnnotatedDataset.of(ImageSet(kept, (label,)), truth)
    return parts


def load_test_set(
    params: Params,
    drawn: Path,
    whole: AnnotatedDataset,
    progress: Callable[[int, int], None] | None,
) -> AnnotatedDataset:
    """Read the test set, with the classes of the whole dataset.

    Raises:
        DatasetError: it cannot be used.
    """
    classes = whole.images.classes
    dataset = params.dataset.model_copy(update={"classes": None})
    found = load_annotated(params.model_copy(update={"dataset": dataset}), drawn, progress)
    occurring = {str(label) for boxes in found.truth.values() for label in boxes.labels}
    if not occurring:
        raise DatasetError(
            f"{params.dataset.path} holds no box to evaluate by: name a set whose images are"
            " labeled, or take out test"
        )
    truth = {k: b.select(np.isin(b.labels, classes)) for k, b in found.truth.items()}
    if not any(map(len, truth.values())):
        raise DatasetError(
            f"{params.dataset.path} has none of the classes {', '.join(classes)}, but"
            f" {', '.join(sorted(occurring))}"
        )
    return AnnotatedDataset.of(ImageSet(found.images.images, classes), truth)


def count_shared_images(first: AnnotatedDataset, second: AnnotatedDataset) -> int:
    """Count the images of ``second`` that ``first`` holds too, byte for byte."""
    known = {image.digest for image in first.images.images}
    return sum(image.digest in known for image in second.images.images)
