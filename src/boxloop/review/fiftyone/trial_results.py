"""What a session's blind images and planted errors came to, once it is submitted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from boxloop.campaign.missed import review_command
from boxloop.core.catching import in_words, judge_errors, with_own_ids
from boxloop.core.types import Boxes, PlantedError
from boxloop.review.fiftyone.assignment import Assignment, Item
from boxloop.review.validation import Problem
from boxloop.terminal import counted

Planted = Mapping[str, tuple[PlantedError, ...]]


def settle(item: Item, boxes: Boxes, reviewer: str) -> tuple[Boxes, tuple[PlantedError, ...]]:
    """Return the boxes of an image as they are submitted, and its planted errors with the outcome.

    A box that stands for a detector's gets the id of that.
    """
    if not item.planted:
        return boxes, ()
    final = with_own_ids(boxes, item.counted, item.planted)
    return final, judge_errors(item.planted, item.counted, final, reviewer)


def hints(items: Iterable[Item]) -> list[Problem]:
    """Say of errors that were missed what they were, so that the person can decide."""
    return [
        Problem(item.image.id, error.box, in_words(error, item.counted))
        for item in items
        for error in item.planted
        if error.state == "missed"
    ]


def trial_lines(assignment: Assignment, items: Sequence[Item], planted: Planted) -> list[str]:
    """Say what was tried in a session, for its summary; nothing where nothing was.

    Args:
        assignment: of the session.
        items: its images as they were shown, which may be from an earlier session.
        planted: the errors with their outcome, by image.
    """
    lines = []
    blind = sum(item.blind for item in items)
    if blind and not assignment.redo:
        lines.append(f"  shown without proposals, to tell what people find: {counted(blind)}")
    before = {item.image.id: [error.state for error in item.planted] for item in items}
    pairs = [p for i, found in planted.items() for p in zip(before[i], found, strict=True)]
    new = [error for old, error in pairs if old == "open"]
    again = [error for old, error in pairs if old == "missed"]
    if new:
        missed = sum(error.state == "missed" for error in new)
        line = f"  planted among the proposals: {len(new)}, caught {len(new) - missed}"
        images = sum(any(e.state == "missed" for e in errors) for errors in planted.values())
        command = review_command(assignment.batch)
        more = f", missed {missed}: {command} opens {counted(images)} again"
        lines.append(line + (more if missed else ""))
    if again:
        mended = sum(error.state == "mended" for error in again)
        lines.append(f"  looked at again: {len(again)} planted, put right {mended}")
    return lines
