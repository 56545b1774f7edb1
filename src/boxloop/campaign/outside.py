"""Tell of images that are in no batch, and of those of them that people labeled all the same."""

from __future__ import annotations

from collections.abc import Iterable

from boxloop.campaign import artifacts, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Batch
from boxloop.errors import ArtifactError
from boxloop.params import EMPTY


def count_labeled(paths: CampaignPaths, batches: Iterable[Batch]) -> int:
    """Count the images that people labeled, and that are in none of these batches.

    What is damaged holds none here: the stages that need it name it.
    """
    try:
        images = artifacts.read_images(paths.images)
        made = submissions.submission_files(paths.corrections(EMPTY).parent)
        found = screening.read(paths.journals, made, images)
    except ArtifactError:
        return 0
    labeled = {image_id for item in found.submissions for image_id in item.boxes}
    inside = {image_id for batch in batches for image_id in batch.image_ids}
    return len((labeled & {ref.id for ref in images.images}) - inside)


def in_words(images: int, labeled: int, way: str, yet: str = "") -> str:
    """Say how many images are in no batch, the way out, and how many of them people labeled."""
    are = "image is" if images == 1 else "images are"
    verb = "is labeled, and counts" if labeled == 1 else "are labeled, and count"
    some = f" ({labeled} of them {verb} in no batch)" if labeled else ""
    return f"{images} {are} in no batch{yet}: {way}{some}"
