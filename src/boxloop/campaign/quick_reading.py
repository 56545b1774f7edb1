"""Read files of boxes without checking every box: status has to answer at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import chain
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
    _require_table(path, "boxes", content.get("boxes"))
    for part, name in _EARLIER:
        about = content.get(part)
        if about is not None and not isinstance(about, dict):
            raise ArtifactError(f"{path}, at {part}: must hold tables")
        if about is not None:
            _require_table(path, f"{part}.{name}", about.get(name))
    return content


_EARLIER = (("decided", "first"), ("rechecked", "before"))
"""Parts of corrections with boxes of images as they were before a later look."""


def _require_table(path: Path, place: str, table: Any) -> None:
    if not isinstance(table, dict) or not all(isinstance(rows, list) for rows in table.values()):
        raise ArtifactError(f"{path}, at {place}: must hold a list for each image")


def as_reviewed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the boxes of corrections that WB and WT count.

    Those are the first person's where a third decided, and what a second look began with.
    """
    boxes = dict(content["boxes"])
    for part, name in _EARLIER:
        boxes |= (content.get(part) or {name: {}})[name]
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
        digests, classes = content.get("digests", {}), tuple(content.get("classes", []))
        done, offered = content.get("changes", 0), content.get("offered", {})
        last, planted = max(times.values(), default=None), content.get("planted", {})
        _require_texts(content["batch"], *digests.values(), *content["versions"].values())
        _require_texts(*chain(classes, *offered.values()))
        if not isinstance(done, int):
            _require_texts(*done)
        labels = {i: {row["label"] for row in content["boxes"][i]} for i in times}
        _require_texts(*chain(*labels.values()))
        followed = applying(changes, classes, last, done) if last is not None else []
        by_image = {i: names_of(followed, offered.get(i, classes)) for i in times}
        return [
            Claim(
                path,
                image_id,
                content["batch"],
                when,
                set(names_after(followed, labels[image_id])),
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


def _require_texts(*values: object) -> None:
    if not all(isinstance(value, str) for value in values):
        raise TypeError
