"""Merge a corrected batch into the labeled set, and split one in two."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from boxloop.core.completeness import find_incomplete
from boxloop.core.types import Boxes, Corrections, LabeledSet
from boxloop.errors import UserError
from boxloop.params.words import GIVEN


def turns_of(batches: Iterable[str]) -> list[str]:
    """Return the batches of a labeled set that went through a turn: not what came labeled."""
    return [batch for batch in batches if batch != GIVEN]


def merge(labeled: LabeledSet, corrections: Corrections) -> LabeledSet:
    """Add a corrected batch to a labeled set.

    Box ids are renumbered, so that equal labels give equal files: no detector is trained again
    because other proposals led to the same labels.

    Raises:
        UserError: the batch, or one of its images, is in the set already, or a label is not among
            its classes.
    """
    if corrections.batch in labeled.batches:
        raise UserError(f"batch {corrections.batch} is in the labeled set already")
    for image_id, boxes in corrections.boxes.items():
        if image_id in labeled.boxes:
            raise UserError(
                f"image {image_id} of batch {corrections.batch} was labeled in an earlier batch"
            )
        unknown = set(boxes.labels.tolist()) - set(labeled.classes)
        if unknown:
            raise UserError(
                f"image {image_id} of batch {corrections.batch} carries the label"
                f" '{min(unknown)}', which is not among the classes: {', '.join(labeled.classes)}"
            )
    merged = dict(labeled.boxes)
    for image_id, boxes in corrections.boxes.items():
        merged[image_id] = Boxes.build(boxes.xyxy, boxes.labels.tolist())
    missing = find_incomplete(corrections, labeled.classes)
    batches = (*labeled.batches, corrections.batch)
    return LabeledSet(labeled.classes, batches, merged, {**labeled.incomplete, **missing})


def split(labeled: LabeledSet, fraction: float, seed: int) -> tuple[LabeledSet, LabeledSet]:
    """Split a labeled set at random into a part to train on and a part to hold out.

    Args:
        labeled: at least two images.
        fraction: of the images to hold out; at least one is, and at least one is not.
        seed: of the choice.

    Returns:
        The rest and the held-out part, each in the order of ``labeled``.

    Raises:
        ValueError: there are fewer than two images.
    """
    count = len(labeled)
    if count < 2:
        raise ValueError(f"{count} image cannot be split in two")
    held = min(max(round(fraction * count), 1), count - 1)
    chosen = set(np.random.default_rng(seed).permutation(count)[:held].tolist())
    parts: tuple[dict[str, Boxes], dict[str, Boxes]] = ({}, {})
    for number, (image_id, boxes) in enumerate(labeled.boxes.items()):
        parts[number in chosen][image_id] = boxes
    rest, out = (
        LabeledSet(
            labeled.classes,
            labeled.batches,
            part,
            {i: missing for i, missing in labeled.incomplete.items() if i in part},
        )
        for part in parts
    )
    return rest, out
