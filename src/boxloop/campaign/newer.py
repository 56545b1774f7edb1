"""Tell of labels that are newer than what was made of them: corrections, and labeled sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from boxloop.campaign import artifacts, class_changes, old_classes, screening, submissions
from boxloop.campaign.merged import older_than
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import SIMULATED, Corrections, ImageSet, LabeledSet
from boxloop.core.workload import BatchWorkload
from boxloop.errors import ArtifactError
from boxloop.terminal import counted


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


def find(paths: CampaignPaths, made: Mapping[str, Corrections], images: ImageSet) -> dict[str, int]:
    """Count the images of each batch with such labels; batches without any have no entry.

    Where a change of classes was taken back since, labels as people submitted them are newer than
    those by its names.

    Args:
        paths: of the campaign.
        made: what was put together of each batch; simulated ones have none.
        images: of today.

    Raises:
        ArtifactError: a file is damaged.
    """
    by_people = {key: item for key, item in made.items() if item.by_person}
    if not by_people:
        return {}
    restored = map(paths.corrections, by_people)
    newest = submissions.latest(screening.read(paths.journals, restored, images).submissions)
    known = set(class_changes.entries_of(class_changes.read(*paths.journals)))

    def is_newer(image_id: str, item: Corrections) -> bool:
        now = newest[image_id]
        when, then = (submissions.submitted_at(made, image_id) for made in (now, item))
        if when != then:
            return when > then
        lost = not isinstance(item.changes, int) and bool({*item.changes} - known)
        return lost and now.boxes[image_id] != item.boxes[image_id]

    counts = {
        key: sum(is_newer(i, item) for i in item.boxes if i in newest)
        for key, item in by_people.items()
    }
    return {key: count for key, count in counts.items() if count}


def read(paths: CampaignPaths, workloads: Iterable[BatchWorkload]) -> list[str]:
    """Say it of each finished batch that has such labels, of those that people reviewed.

    Raises:
        ArtifactError: a file is damaged.
    """
    keys = [workload.batch for workload in workloads if workload.annotator != SIMULATED]
    if not keys:
        return []
    made = {key: artifacts.read_corrections(paths.corrections(key)) for key in keys}
    found = find(paths, made, artifacts.read_images(paths.images))
    return [in_words(paths, key, newer, len(made[key].boxes)) for key, newer in found.items()]


def require_newest(
    paths: CampaignPaths,
    labeled: LabeledSet,
    source: Path,
    made: Mapping[str, Corrections],
    images: ImageSet,
) -> None:
    """Refuse labels that people have submitted newer ones in the place of.

    Args:
        paths: of the campaign.
        labeled: what is to leave it.
        source: its file.
        made: the corrections that it is made of, by batch.
        images: of today.

    Raises:
        ArtifactError: corrections are newer, or the journal is, or classes were renamed since;
            names the files and the way out.
    """
    if key := older_than(labeled.boxes, made):
        raise ArtifactError(
            f"{source} is older than {paths.corrections(key)}: run 'dvc repro' first"
        )
    old, way = old_classes.find(paths, made, images)
    if old:
        raise ArtifactError(old_classes.in_words(paths, old, way))
    found = find(paths, made, images)
    if found:
        raise ArtifactError(
            f"{paths.reviews}/ holds newer labels of {counted(sum(found.values()))} than"
            f" {source} is made of: run '{submissions.take_over(*found)}', then 'dvc repro' first"
        )
