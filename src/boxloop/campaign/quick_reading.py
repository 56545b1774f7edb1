"""Read what status needs of the files of boxes: it has to answer at once.

What holds people's labels is checked as every other command does, so that none fails where status
found nothing. Proposals are made anew by a stage, and are checked less.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from boxloop.campaign import artifacts
from boxloop.campaign.claims import Claim, claims_of
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.schemas import read_content
from boxloop.campaign.submissions import named_as_today, parse_time, require_submission
from boxloop.core.types import Corrections
from boxloop.errors import ArtifactError
from boxloop.files import collection_paused


def read_boxes(path: Path, kind: str) -> dict[str, Any]:
    """Read a file of boxes, checked less than its own stage does."""
    with collection_paused():
        content = read_content(path, kind)
    table = content.get("boxes")
    if not isinstance(table, dict) or not all(isinstance(rows, list) for rows in table.values()):
        raise ArtifactError(f"{path}, at boxes: must hold a list for each image")
    return content


def read_times(path: Path) -> tuple[Corrections, dict[str, datetime]]:
    """Read corrections, and when people submitted each image."""
    made = artifacts.read_corrections(path)
    moments = {i: made.submitted.get(i, made.finished) for i in made.boxes}
    try:
        return made, {i: parse_time(text) for i, text in moments.items() if text is not None}
    except ValueError:
        raise ArtifactError(f"{path}, at finished or submitted: must hold times") from None


def read_claims(path: Path, changes: Sequence[ClassChange] = ()) -> list[Claim]:
    """Read what a submission labels, by the names after some changes of classes."""
    made = artifacts.read_corrections(path)
    require_submission(path, made)
    return list(claims_of(path, named_as_today(made, changes)))
