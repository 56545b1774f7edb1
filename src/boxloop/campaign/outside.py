"""Tell of images that are in no batch, and of those of them that people labeled all the same."""

from __future__ import annotations

from collections.abc import Collection

from boxloop.campaign import artifacts, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import LabeledSet
from boxloop.errors import ArtifactError
from boxloop.params import EMPTY, Params
from boxloop.terminal import counted


def count_labeled(paths: CampaignPaths, inside: Collection[str]) -> int:
    """Count the images of today that people labeled, besides those of some ids.

    What is damaged holds none here: the stages that need it name it.
    """
    try:
        images = artifacts.read_images(paths.images)
        made = submissions.submission_files(paths.corrections(EMPTY).parent)
        found = screening.read(paths.journals, made, images)
    except ArtifactError:
        return 0
    labeled = {image_id for item in found.submissions for image_id in item.boxes}
    return len((labeled & images.by_id().keys()).difference(inside))


def in_words(images: int, labeled: int, way: str, yet: str = "") -> str:
    """Say how many images are in no batch, the way out, and how many of them people labeled."""
    are = "image is" if images == 1 else "images are"
    verb = "is labeled, and counts" if labeled == 1 else "are labeled, and count"
    some = f" ({labeled} of them {verb} in no batch)" if labeled else ""
    return f"{images} {are} in no batch{yet}: {way}{some}"


def left_out(paths: CampaignPaths, params: Params, labeled: LabeledSet, made: str) -> str | None:
    """Say how many labeled images are in no batch, and so not in what is made; None for none.

    Args:
        paths: of the campaign.
        params: name the batches.
        labeled: the labels that are taken.
        made: what is made of those, such as "this export".
    """
    batches = artifacts.read_batch_of(map(paths.batch, params.iterations))
    count = count_labeled(paths, batches.keys() | labeled.boxes.keys())
    if not count:
        return None
    are = "is" if count == 1 else "are"
    what = counted(count, "labeled image")
    return f"{what} {are} in no batch, and not in {made}: list more iterations"
