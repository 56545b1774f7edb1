"""Write and read what third looks decided, as a part of corrections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boxloop.campaign.box_rows import boxes_in, boxes_out
from boxloop.campaign.moments import parse_time
from boxloop.campaign.schemas import DecidedFile, name_file
from boxloop.core.types import Decision


def decided_out(decided: Mapping[str, Decision]) -> dict[str, Any]:
    """Return decisions, by image id, as a file holds them; see :class:`DecidedFile`."""
    about = {
        image_id: {k: v for k, v in vars(item).items() if k not in ("first", "shown")}
        for image_id, item in decided.items()
    }
    return {
        "images": about,
        "first": boxes_out({image_id: item.first for image_id, item in decided.items()}),
        "shown": boxes_out({image_id: item.shown for image_id, item in decided.items()}),
    }


def decided_in(path: Path, file: DecidedFile) -> dict[str, Decision]:
    """Return the decisions of a file, by image id.

    Raises:
        ArtifactError: its tables are of different images, or a look has no time; names the file.
    """
    first, shown = boxes_in(path, file.first), boxes_in(path, file.shown)
    with name_file(path):
        if not file.images.keys() == first.keys() == shown.keys():
            raise ValueError("decided: its tables must be of the same images")
        for about in file.images.values():
            for moment in filter(None, about.looks):  # empty where nothing tells it
                parse_time(moment)
        return {
            image_id: Decision(first[image_id], shown[image_id], **vars(about))
            for image_id, about in file.images.items()
        }
