"""What the files of a journal say of each image, to be held against each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from boxloop.campaign.submissions import submitted_at
from boxloop.core.types import Corrections


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
        )
