"""What the files of a journal say of each image, to be held against each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from boxloop.campaign.submissions import submitted_at
from boxloop.core.types import Boxes, Corrections


@dataclass(frozen=True)
class Claim:
    """That a file holds the labels of one image.

    Attributes:
        file: of the submission.
        image_id: of the image, by its name then.
        batch: of the submission.
        when: it was submitted.
        labels: classes of its boxes.
        content: the boxes, to be compared with others'.
        digest: of the image's file then; empty where it is not told.
        classes: those that could be chosen; empty where it is not told.
        boxloop: the version that wrote it; empty where it is not told.
        in_journal: whether people submitted it so; files that DVC restored may have been edited.
        missed: whether a planted error that was missed is in the labels.
        given: whether they were imported and trusted, and no person reviewed them.
        changes: entries of renamed and merged classes that the labels follow, or how many of them.
    """

    file: Path
    image_id: str
    batch: str
    when: datetime
    labels: Collection[str]
    content: object
    digest: str = ""
    classes: tuple[str, ...] = ()
    boxloop: str = ""
    in_journal: bool = True
    missed: bool = False
    given: bool = False
    changes: int | tuple[str, ...] = 0


def claims_of(file: Path, item: Corrections, *, in_journal: bool = True) -> Iterable[Claim]:
    """Yield what a submission labels, one claim for each image."""
    missed, given = set(item.missed), set(item.given)
    for image_id, boxes in item.boxes.items():
        yield Claim(
            file,
            image_id,
            item.batch,
            submitted_at(item, image_id),
            set(boxes.labels.tolist()),
            boxes,
            item.digests.get(image_id, ""),
            item.offered.get(image_id, item.classes),
            item.versions.get("boxloop", ""),
            in_journal,
            image_id in missed,
            image_id in given,
            item.changes,
        )


def taken_back(claims: Sequence[Claim]) -> list[Claim]:
    """Return what DVC holds of an image by names that people's own submission does not follow.

    Where git takes a renamed or merged class back (a revert, another branch), its entry leaves the
    journal, and files that DVC has not made anew follow it still.

    Args:
        claims: of one image.
    """
    own = [claim for claim in claims if claim.in_journal]
    held = [claim for claim in claims if not claim.in_journal]
    return [claim for claim in held if any(_is_renamed(claim, other) for other in own)]


def _is_renamed(claim: Claim, other: Claim) -> bool:
    """Return whether a claim is another one, but for names that follow a change more."""
    if claim.when != other.when or not _follows_more(claim.changes, other.changes):
        return False
    boxes, known = claim.content, other.content
    if not (isinstance(boxes, Boxes) and isinstance(known, Boxes) and len(boxes) == len(known)):
        return False
    return boxes != known and replace(boxes, labels=known.labels) == known


def _follows_more(changes: int | tuple[str, ...], known: int | tuple[str, ...]) -> bool:
    if isinstance(changes, int):
        return isinstance(known, int) and changes > known
    return not {*changes} <= {*(() if isinstance(known, int) else known)}
