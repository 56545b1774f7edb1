"""Hold labeled sets against what they are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from boxloop.campaign import artifacts, labeled_files, pixels
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.labeled_set import turns_of
from boxloop.core.types import BoxesByImage, Corrections
from boxloop.errors import ArtifactError


def older_than(labeled: BoxesByImage, made: Mapping[str, Corrections]) -> str | None:
    """Return the first batch whose corrections are not what a labeled set holds of its images."""
    for key, corrections in made.items():
        for image_id, boxes in corrections.boxes.items():
            if image_id not in labeled or not pixels.same(boxes, labeled[image_id]):
                return key
    return None


def of_other_classes(path: Path, images: Path) -> str:
    """Say that a labeled set has other classes than the images, and what mends it."""
    return f"{path} has other classes than {images}: 'dvc repro' brings them together"


def check_classes(paths: CampaignPaths, keys: Sequence[str], classes: Sequence[str]) -> str:
    """Say it of the newest labeled set; nothing where that has the same, or there is none."""
    newest = next((p for p in map(paths.labeled, reversed(keys)) if p.exists()), None)
    with suppress(ArtifactError):  # of a damaged file, which :func:`check` names
        if newest is not None and labeled_files.labeled_classes(newest) != tuple(classes):
            return of_other_classes(newest, paths.images)
    return ""


def check(
    paths: CampaignPaths, keys: Sequence[str], made: Mapping[str, Corrections]
) -> tuple[list[str], str]:
    """Look into the newest labeled set: it must be made of all batches up to its own, as they are.

    Args:
        paths: of the campaign.
        keys: of all batches.
        made: what people's corrections hold of some of them. A simulation's are as they were made,
            and are not compared: there can be very many.

    Returns:
        Sentences about what is wrong, and the first batch whose labeled set is older than what it
        is made of; empty where none is.
    """
    for i in reversed(range(len(keys))):
        if paths.labeled(keys[i]).exists():
            try:
                return _check(paths, keys[: i + 1], made)
            except ArtifactError as error:
                # It names the file of the chain that is wrong, and the way out.
                return [str(error)], ""
    return [], ""


def _check(
    paths: CampaignPaths, expected: Sequence[str], made: Mapping[str, Corrections]
) -> tuple[list[str], str]:
    path, lines = paths.labeled(expected[-1]), []
    batches, older = artifacts.labeled_batches(path), labeled_files.outdated(path)
    found = [] if older is None else [older]
    if turns_of(batches) != list(expected):
        lines.append(
            f"{path} is not made of batches {', '.join(expected)}: 'dvc repro' merges them again"
        )
    else:
        for key in expected:
            if key in made and older_than(
                labeled_files.own_boxes(paths.labeled(key)), {key: made[key]}
            ):
                found.append((paths.labeled(key), paths.corrections(key)))
    found.sort(key=lambda pair: [*expected, pair[0].stem].index(pair[0].stem))
    lines += [
        f"{file} is older than {source}, of which it is made: 'dvc repro' merges them again"
        for file, source in found
    ]
    return lines, found[0][0].stem if found else ""
