"""Tell of labels in the journal that are newer than what was put together of a batch."""

from __future__ import annotations

from collections.abc import Iterable

from boxloop.campaign import artifacts, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import SIMULATED
from boxloop.core.workload import BatchWorkload


def in_words(paths: CampaignPaths, key: str, newer: int, images: int) -> str:
    """Say how many images of a batch have newer labels, and what brings them in.

    DVC does not watch the journal.
    """
    reviews, made = (
        path.relative_to(paths.root).as_posix() for path in (paths.reviews, paths.corrections(key))
    )
    return (
        f"{reviews}/ holds newer labels of {newer} of the {images} images in {made}:"
        f" '{submissions.take_over(key)}' brings them in"
    )


def read(paths: CampaignPaths, workloads: Iterable[BatchWorkload]) -> list[str]:
    """Say it of each finished batch that has such labels, of those that people reviewed.

    Raises:
        ArtifactError: a file is damaged.
    """
    keys = [workload.batch for workload in workloads if workload.annotator != SIMULATED]
    if not keys:
        return []
    images = artifacts.read_images(paths.images)
    newest = submissions.latest(screening.read(paths.journals, (), images).submissions)
    lines = []
    for key in keys:
        made = artifacts.read_corrections(paths.corrections(key))
        newer = sum(
            submissions.submitted_at(newest[i], i) > submissions.submitted_at(made, i)
            for i in made.boxes
            if i in newest
        )
        if newer:
            lines.append(in_words(paths, key, newer, len(made.boxes)))
    return lines
