"""Labels by class names of before a change, which would be taken for those of another class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from boxloop.campaign import artifacts, merged, submissions
from boxloop.campaign.class_changes import ClassChange, entries_of, read
from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.core.types import Corrections, ImageSet
from boxloop.errors import ArtifactError

AFRESH = "dvc repro --single-item --force dataset, then dvc repro"
"""Where a change came or went by git, and DVC sees no reason to read the images anew."""


def refuse(paths: CampaignPaths, changes: Sequence[ClassChange], classes: Sequence[str]) -> None:
    """Refuse to read labels in an experiment's copy that was queued before a change of classes.

    The copy reads the journal of its workspace, and with it changes that its own classes do not
    follow.

    Args:
        paths: of the campaign.
        changes: all of its journals, the oldest first.
        classes: of the images' file.

    Raises:
        ArtifactError: a class of the copy was renamed or merged, and its workspace has it no more.
    """
    workspace = workspace_of(paths.root)
    images = CampaignPaths(workspace).images
    if not changes or workspace == paths.root.resolve() or not images.exists():
        return
    today = artifacts.read_images(images).classes
    for change in reversed(changes):
        if change.old in classes and change.old not in today:
            raise ArtifactError(
                f"{paths.reviews.name}/{change.entry} says that '{change.old}' is '{change.new}'"
                f" now, but {paths.images} is of before that, and labels of '{change.old}' would"
                f" become ones of '{change.new}': begin this experiment anew"
            )


def find(
    paths: CampaignPaths, made: Mapping[str, Corrections], images: ImageSet
) -> tuple[list[str], str]:
    """Return the batches that were put together before classes were renamed or merged.

    Their labels fit today's classes, where a name was given to another class later, and say
    something else.

    Args:
        paths: of the campaign.
        made: what was put together of each batch.
        images: of today.

    Returns:
        The batches, and what brings them up to date.

    Raises:
        ArtifactError: an entry of a change is damaged.
    """
    changes = read(*paths.journals)
    found = []
    for key, item in made.items() if changes else ():
        today = submissions.named_as_today(item, changes) if item.by_person else item
        names = {name for boxes in today.boxes.values() for name in boxes.labels.tolist()}
        if replace(today, changes=item.changes) != item and names <= set(images.classes):
            found.append(key)
    known = set(entries_of(changes)) <= set(images.changes)
    return found, "dvc repro" if known else AFRESH


def in_words(paths: CampaignPaths, keys: Iterable[str], way: str) -> str:
    """Say that batches have class names of before, and what brings them up to date."""
    made = ", ".join(paths.corrections(key).relative_to(paths.root).as_posix() for key in keys)
    return f"classes were renamed or merged since {made} was put together: run '{way}' first"


@dataclass(frozen=True)
class Renamed:
    """What is to be made anew because classes were renamed or merged.

    Attributes:
        lines: what to say of it; empty where nothing is.
        way: what brings batches up to date that have names of before; empty without any.
    """

    lines: tuple[str, ...] = ()
    way: str = ""


def check(
    paths: CampaignPaths,
    keys: Sequence[str],
    made: Mapping[str, Corrections],
    images: ImageSet,
    back: Sequence[str] = (),
) -> Renamed:
    """Look for labels of other classes than the images have, and for names of before.

    Args:
        paths: of the campaign.
        keys: of its turns.
        made: what was put together of each batch that people reviewed whole.
        images: of today.
        back: what :func:`taken_back` says.
    """
    if back:
        return Renamed(tuple(back), AFRESH)
    with suppress(ArtifactError):  # of an entry that is damaged, which those who read it name
        old, way = find(paths, made, images)
        named = in_words(paths, old, way) if old else ""
        lines = filter(None, (named, merged.check_classes(paths, keys, images.classes)))
        return Renamed(tuple(lines), way if old else "")
    return Renamed()


def taken_back(
    paths: CampaignPaths,
    hidden: Iterable[tuple[Path, str]],
    made: Mapping[Path, Corrections | None],
    changes: Sequence[ClassChange],
) -> list[str]:
    """Name the corrections that follow a change which the journal lost, as by ``git revert``.

    Args:
        paths: of the campaign.
        hidden: files and images of what does not count beside what people submitted.
        made: what people's corrections hold, by file.
        changes: of all journals.
    """
    known, found = set(entries_of(changes)), []
    for path in sorted({path for path, _ in hidden}):
        item = made.get(path)
        if item is not None and not isinstance(item.changes, int) and {*item.changes} - known:
            found.append(
                f"{path.relative_to(paths.root)} follows a change of classes that was taken back"
                f" since: '{AFRESH}' goes by what people submitted"
            )
    return found
