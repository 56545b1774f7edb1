"""Merge a corrected batch into the labeled set."""

from __future__ import annotations

from boxloop.core.types import Boxes, Corrections, LabeledSet
from boxloop.errors import UserError


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
    return LabeledSet(labeled.classes, (*labeled.batches, corrections.batch), merged)
