"""Hold labels against the images of today: their pixels, and the dataset's own boxes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.labeled_set import turns_of
from boxloop.core.types import (
    SIMULATED,
    Boxes,
    BoxesByImage,
    Corrections,
    ImageRef,
    ImageSet,
    LabeledSet,
)
from boxloop.errors import ArtifactError
from boxloop.params import EMPTY, GIVEN

_WAY_OUT = (
    "run 'dvc repro' first, which takes labels along with their pixels, or says what waits for a"
    " person"
)


def of_other_pixels(digests: Mapping[str, str], images: Mapping[str, ImageRef]) -> set[str]:
    """Return the images of a file whose pixels are others now, by its ``digests`` of them.

    What does not tell of which pixels it is (the simulated annotator's labels, and older files)
    counts by name, and images that are gone are none of them.
    """
    return {i for i, digest in digests.items() if i in images and images[i].digest != digest}


def require_same(
    paths: CampaignPaths,
    labeled: LabeledSet,
    made: Mapping[str, Corrections],
    images: Mapping[str, ImageRef],
) -> None:
    """Refuse labels of images that are gone, or are others now.

    What the dataset itself has boxes of tells no pixels; it is held against ``truth.json``, which
    is read with the images.

    Args:
        paths: of the campaign.
        labeled: what is to leave it.
        made: the corrections that it is made of, by batch.
        images: of today, by id.

    Raises:
        ArtifactError: there is such an image; names the files and the way out.
    """
    own: list[tuple[Path, BoxesByImage]] = []
    if GIVEN in labeled.batches:
        people = {image_id for item in made.values() for image_id in item.boxes}
        given = {i: boxes for i, boxes in labeled.boxes.items() if i not in people}
        own.append((paths.labeled(EMPTY), given))
    for key, corrections in made.items():
        source = paths.corrections(key)
        require_same_pixels(corrections, source, images, paths.images)
        if corrections.annotator == SIMULATED:
            own.append((source, corrections.boxes))
    truth = artifacts.read_truth(paths.truth) if own and paths.truth.exists() else None
    truth = truth or {}  # without any there is nothing to hold them against
    for source, table in own:
        for image_id, boxes in table.items():
            if image_id in truth and not same(boxes, truth[image_id]):
                raise ArtifactError(
                    f"{source} has other boxes of image {image_id} than {paths.truth} has now:"
                    f" {_WAY_OUT}"
                )


def require_same_by_files(
    paths: CampaignPaths, labeled: LabeledSet, images: Mapping[str, ImageRef], read: Path
) -> None:
    """Refuse labels as :func:`require_same` does, by what the campaign has of their batches.

    All of it is read only where the dataset was written after labels were merged: between two turns
    it was not, and there can be very much.
    """
    keys = turns_of(labeled.batches)
    merged = [paths.labeled(key) for key in keys if paths.labeled(key).exists()]
    dataset = max(path.stat().st_mtime_ns for path in (read, paths.truth) if path.exists())
    if all(path.stat().st_mtime_ns >= dataset for path in merged):
        return
    files = {key: paths.corrections(key) for key in keys}
    made = {key: artifacts.read_corrections(p) for key, p in files.items() if p.exists()}
    require_same(paths, labeled, made, images)


def require_same_pixels(
    corrections: Corrections, source: Path, images: Mapping[str, ImageRef], read: Path
) -> None:
    """Refuse corrections of images that are gone, or are others now.

    Args:
        corrections: of a batch.
        source: their file.
        images: of today, by id.
        read: the file of these.

    Raises:
        ArtifactError: there is such an image; names the files and the way out.
    """
    others = of_other_pixels(corrections.digests, images)
    for image_id in corrections.boxes:
        if image_id not in images:
            fault = f"image {image_id}, which is not in {read} now"
        elif image_id in others:
            fault = f"other pixels than image {image_id} has now in {read}"
        else:
            continue
        raise ArtifactError(f"{source} labels {fault}: {_WAY_OUT}")


def require_proposed(path: Path, digests: Mapping[str, str] | None, images: ImageSet) -> None:
    """Refuse proposals for other pixels than an image has now.

    Args:
        path: the file of the proposals.
        digests: that it has; None of older ones, which count by name.
        images: of today.

    Raises:
        ArtifactError: there is such an image; names the file and the way out.
    """
    others = of_other_pixels(digests or {}, images.by_id())
    if others:
        raise ArtifactError(
            f"{path} has boxes for other pixels than image {min(others)} has now: run 'dvc repro'"
            " first, which makes them anew"
        )


def same(a: Boxes, b: Boxes) -> bool:
    """Compare boxes without their ids, which a labeled set makes anew."""
    return np.array_equal(a.xyxy, b.xyxy) and np.array_equal(a.labels, b.labels)
