"""Keep a batch open while planted errors that people missed are in its labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from boxloop.campaign import submissions
from boxloop.core.types import Corrections
from boxloop.errors import ReviewPending
from boxloop.terminal import counted


def missed_images(known: Sequence[Corrections], image_ids: Iterable[str]) -> list[str]:
    """Return the images whose newest submission left a planted error, in their order.

    Args:
        known: people's submissions, oldest first.
        image_ids: of a batch.
    """
    newest = submissions.latest(known)
    left = {id(item): set(item.missed) for item in newest.values()}
    return [i for i in image_ids if i in newest and i in left[id(newest[i])]]


def require_none(corrections: Corrections) -> Corrections:
    """Return the corrections of a batch, unless a planted error would get into the labels.

    Raises:
        ReviewPending: people have to look at some images again; names the command.
    """
    images = corrections.missed
    if images:
        errors = sum(e.state == "missed" for i in images for e in corrections.planted[i])
        were = "error that was planted was" if errors == 1 else "errors that were planted were"
        raise ReviewPending(
            f"batch {corrections.batch} waits for a second look: {errors} {were} missed, which"
            f" {review_command(corrections.batch)} opens again ({counted(len(images))}), then 'dvc"
            " repro' goes on"
        )
    return corrections


def review_command(batch: str) -> str:
    """Return the command that opens the images of a batch whose planted errors were missed."""
    return f"'boxloop review {batch} --planted'"


def missed_line(batch: str, images: int) -> str:
    """Return the same with what it is for, as ``boxloop status`` says it."""
    return (
        f"{review_command(batch)[1:-1]}   ({counted(images)} with planted errors that were missed)"
    )
