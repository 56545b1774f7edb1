"""Refuse classes of before a change of them: what people drew as one would be taken for another."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from boxloop.campaign import artifacts
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.errors import ArtifactError


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
