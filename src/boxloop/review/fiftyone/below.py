"""Offer the proposals that score less than those shown, where a person asks for them.

A box that is taken from them keeps the proposal's id, so the journal tells which those are. It
counts as added all the same: it was not there when the person looked for objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from boxloop.review.fiftyone.shown_proposals import object_id, to_fractions

if TYPE_CHECKING:
    from boxloop.review.fiftyone.review_dataset import ReviewedImage


def rows(images: Sequence[ReviewedImage], sample_id: str) -> list[dict[str, Any]]:
    """Return what is offered on one image and not taken yet, as the App draws it: best first."""
    image = next((image for image in images if image.sample_id == sample_id), None)
    if image is None:
        return []
    item, boxes = image.shown.item, image.shown.below
    taken = _names(image)
    assert boxes.scores is not None
    found = [
        {
            "id": object_id(item.image.id, str(name)),
            "label": str(label),
            "box": to_fractions(item.image, xyxy.tolist()),
            "score": float(score),
        }
        for name, label, xyxy, score in zip(
            boxes.ids, boxes.labels, boxes.xyxy, boxes.scores, strict=True
        )
        if str(name) not in taken
    ]
    return sorted(found, key=lambda row: -float(row["score"]))


def count_kept(images: Sequence[ReviewedImage]) -> int:
    """Count the boxes that were taken from what is offered."""
    total = 0
    for image in images:
        if len(image.shown.below):
            total += len(_names(image) & set(image.shown.below.ids.tolist()))
    return total


def _names(image: ReviewedImage) -> set[str]:
    """Return the ids of an image's boxes; one from a damaged document can be anything."""
    return {box.id for box in image.boxes if isinstance(box.id, str)}


def doubtful_below(images: Sequence[ReviewedImage]) -> float | None:
    """Return the score below which lies the lowest third of the proposals drawn.

    None where too few are drawn to tell, or all score alike.
    """
    scores = np.concatenate([image.shown.drawn_scores for image in images] or [np.empty(0)])
    if len(scores) < 3 or scores.min() == scores.max():
        return None
    return float(np.quantile(scores, 1 / 3))
