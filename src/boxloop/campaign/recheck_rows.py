"""Convert second looks to and from the rows of a file of corrections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boxloop.campaign.box_rows import boxes_in, boxes_out
from boxloop.campaign.schemas import RecheckFile
from boxloop.core.types import Recheck
from boxloop.errors import ArtifactError


def rechecks_out(rechecked: Mapping[str, Recheck]) -> dict[str, Any]:
    """Return what a file holds of second looks: nothing where there were none."""
    if not rechecked:
        return {}
    return {
        "before": boxes_out({i: look.before for i, look in rechecked.items()}),
        "reviewer": {i: look.reviewer for i, look in rechecked.items()},
        "by": {i: look.by for i, look in rechecked.items()},
        "seconds": {i: look.seconds for i, look in rechecked.items()},
    }


def rechecks_in(path: Path, rows: RecheckFile | None) -> dict[str, Recheck]:
    """Return second looks by image id.

    Raises:
        ArtifactError: a box is wrong, or an image lacks something; names the file.
    """
    if rows is None:
        return {}
    before = boxes_in(path, rows.before)
    if not before.keys() == rows.reviewer.keys() == rows.by.keys() == rows.seconds.keys():
        raise ArtifactError(f"{path}, at rechecked: its tables are not of the same images")
    return {
        i: Recheck(boxes, rows.reviewer[i], rows.by[i], rows.seconds[i])
        for i, boxes in before.items()
    }
