"""Labels by class names of before a change, which would be taken for those of another class."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from boxloop.campaign import artifacts, merged, submissions
from boxloop.campaign.class_changes import ClassChange, entries_of, read
from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.core.types import Corrections, ImageSet
from boxloop.errors import ArtifactError

_REREAD = "dvc repro --single-item --force dataset"
"""Where a change came from another clone, and DVC sees no reason to read the images anew."""


def refuse(paths: CampaignPaths, changes: Sequence[ClassChange], classes: Sequence[str]) -> None:
    """Refuse to read labels by changes that the classes of the images do not follow.

    The journal may know of a change that params.yaml does not: of an experiment that was queued
    before it, or where it broke off, or was taken back in params.yaml alone.

    Args:
        paths: of the campaign.
        changes: all of its journals, the oldest first.
        classes: of the images' file.

    Raises:
        ArtifactError: a class is listed still that was renamed or merged, and not added again.
    """
    if not changes:
        return
    last = changes[-1].classes
    # 'boxloop classes add' lists a class after all others, also one that was there before.
    added = classes[len(last) :] if tuple(classes[: len(last)]) == last else ()
    today = _of_workspace(paths)
    for change in reversed(changes):
        old = change.old
        if old not in classes or old in last or _is_used_again(old, change, changes):
            continue
        if old in added and (today is None or old in today):
            continue
        raise ArtifactError(
            f"{paths.reviews.name}/{change.entry} says that '{old}' is '{change.new}' now, but"
            f" {paths.images} is of before that, and labels of '{old}' would become ones of"
            f" '{change.new}': {_way(change, paths)}"
        )


def _way(change: ClassChange, paths: CampaignPaths) -> str:
    if workspace_of(paths.root) != paths.root.resolve():
        return "begin this experiment anew"
    names = f"{shlex.quote(change.old)} {shlex.quote(change.new)}"
    return (
        f"'boxloop classes {change.kind} {names}' goes on where it was stopped; where it was taken"
        f" back, move that file away, and where '{change.old}' was added again, list it last"
    )


def _is_used_again(name: str, change: ClassChange, changes: Sequence[ClassChange]) -> bool:
    """Return whether another class got a name, by a change that this one does not know of."""
    return any(other.new == name and other.entry not in (change.known or ()) for other in changes)


def _of_workspace(paths: CampaignPaths) -> tuple[str, ...] | None:
    """Return the classes that the workspace of an experiment's copy has now; None in no copy."""
    workspace = workspace_of(paths.root)
    images = CampaignPaths(workspace).images
    if workspace == paths.root.resolve() or not images.exists():
        return None
    return artifacts.read_images(images).classes


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
    return found, "dvc repro" if known else f"{_REREAD}, then dvc repro"


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
    paths: CampaignPaths, keys: Sequence[str], made: Mapping[str, Corrections], images: ImageSet
) -> Renamed:
    """Look for labels of other classes than the images have, and for names of before.

    Args:
        paths: of the campaign.
        keys: of its turns.
        made: what was put together of each batch that people reviewed whole.
        images: of today.
    """
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
                " since: 'dvc repro' goes by what people submitted"
            )
    return found
