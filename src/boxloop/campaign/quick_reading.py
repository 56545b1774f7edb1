"""Read what status needs of the files of boxes: it has to answer at once.

What holds people's labels is checked as every other command does, so that none fails where status
found nothing. Proposals are made anew by a stage, and are checked less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from boxloop.campaign import artifacts
from boxloop.campaign.claims import Claim, claims_of
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.schemas import read_content
from boxloop.campaign.submission_names import keep_both
from boxloop.campaign.submissions import named_as_today, parse_time, require_submission
from boxloop.core.rechecking import as_reviewed
from boxloop.core.types import Corrections
from boxloop.errors import ArtifactError, MergeConflictError
from boxloop.files import collection_paused


def read_boxes(path: Path, kind: str) -> dict[str, Any]:
    """Read a file of boxes, checked less than its own stage does."""
    with collection_paused():
        content = read_content(path, kind)
    table = content.get("boxes")
    if not isinstance(table, dict) or not all(isinstance(rows, list) for rows in table.values()):
        raise ArtifactError(f"{path}, at boxes: must hold a list for each image")
    return content


@dataclass(frozen=True)
class Made:
    """What a file of corrections says, without its boxes: a large simulation has very many.

    Attributes:
        images: of the batch.
        times: when people submitted each image.
        objects: final boxes.
        reviewed: those of them that a review left, whatever a third look decided.
        rechecked: whether there was one.
        by_people: the corrections, where people made them.
    """

    images: frozenset[str]
    times: Mapping[str, datetime]
    objects: int
    reviewed: int
    rechecked: bool
    by_people: Corrections | None


def read_made(path: Path) -> Made:
    """Read what became of a batch."""
    made = artifacts.read_corrections(path)
    moments = {i: made.submitted.get(i, made.finished) for i in made.boxes}
    try:
        times = {i: parse_time(text) for i, text in moments.items() if text is not None}
    except ValueError:
        raise ArtifactError(f"{path}, at finished or submitted: must hold times") from None
    return Made(
        frozenset(made.boxes),
        times,
        sum(map(len, made.boxes.values())),
        sum(map(len, as_reviewed(made).boxes.values())),
        bool(made.rechecked),
        made if made.by_person else None,
    )


def read_claims(path: Path, changes: Sequence[ClassChange] = ()) -> list[Claim]:
    """Read what a submission labels, by the names after some changes of classes."""
    try:
        made = artifacts.read_corrections(path)
    except MergeConflictError as error:
        raise MergeConflictError(f"{error}; {keep_both(path)}") from None
    require_submission(path, made)
    return list(claims_of(path, named_as_today(made, changes)))
