"""Read files of boxes without checking every box: status has to answer at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from boxloop.campaign.class_changes import ClassChange, applying, names_after, names_of
from boxloop.campaign.schemas import SECOND_FORMAT
from boxloop.campaign.screening import Claim
from boxloop.campaign.submissions import parse_time
from boxloop.errors import ArtifactError
from boxloop.files import read_json


def read_boxes(path: Path, kind: str) -> dict[str, Any]:
    """Read a file of boxes, checked less than its own stage does."""
    content = read_json(path)
    wanted = f"boxloop/{kind}@1"
    formats = (wanted, SECOND_FORMAT) if kind == "corrections" else (wanted,)
    if not isinstance(content, dict) or content.get("format") not in formats:
        raise ArtifactError(f"{path} is not a file of format {wanted}")
    boxes = content.get("boxes")
    if not isinstance(boxes, dict) or not all(isinstance(v, list) for v in boxes.values()):
        raise ArtifactError(f"{path}, at boxes: must hold a list for each image")
    return content


def as_reviewed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the boxes of corrections that WB and WT count.

    Those are the first person's where a third decided, and what a second look began with.
    """
    boxes = dict(content["boxes"])
    for part, name in (("decided", "first"), ("rechecked", "before")):
        table = content.get(part)
        earlier = table.get(name) if isinstance(table, dict) else None
        boxes |= earlier if isinstance(earlier, dict) else {}
    return boxes


def read_times(path: Path) -> tuple[dict[str, Any], dict[str, datetime]]:
    """Read corrections, and when people submitted each image."""
    content = read_boxes(path, "corrections")
    finished, submitted = content.get("finished"), content.get("submitted", {})
    try:
        moments = {i: submitted.get(i, finished) for i in content["boxes"]}
        times = {i: parse_time(text) for i, text in moments.items() if text is not None}
    except (AttributeError, TypeError, ValueError):
        raise ArtifactError(f"{path}, at finished or submitted: must hold times") from None
    return content, times


def read_claims(path: Path, changes: Sequence[ClassChange] = ()) -> list[Claim]:
    """Read what a submission labels, by the names after some changes of classes."""
    content, times = read_times(path)
    try:
        digests, classes = content.get("digests", {}), tuple(content.get("classes", ()))
        done, offered = content.get("changes", 0), content.get("offered", {})
        last, planted = max(times.values(), default=None), content.get("planted", {})
        followed = applying(changes, classes, last, done) if last is not None else []
        by_image = {i: names_of(followed, offered.get(i, classes)) for i in times}
        return [
            Claim(
                path,
                image_id,
                str(content["batch"]),
                when,
                set(names_after(followed, (row["label"] for row in content["boxes"][image_id]))),
                content["boxes"][image_id],
                digests.get(image_id, ""),
                by_image[image_id],
                content["versions"].get("boxloop", ""),
                missed=any(row["state"] == "missed" for row in planted.get(image_id, ())),
            )
            for image_id, when in times.items()
        ]
    except (AttributeError, KeyError, TypeError):
        raise ArtifactError(f"{path} is not as boxloop writes submissions") from None
