"""What an image was reviewed for: a class that could not be chosen then may be there without a box.

Nothing is known of such a class on such an image, neither where it is nor where it is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from boxloop.core.types import Boxes, BoxesByImage, Corrections, LabeledSet

Incomplete = Mapping[str, tuple[str, ...]]
"""Classes by the image that is not complete for them; complete images have no entry."""


def unseen(classes: Iterable[str], offered: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that were not offered; none where it is not known which were."""
    return tuple(name for name in classes if name not in offered) if offered else ()


def find_incomplete(corrections: Corrections, classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Find the images of a batch that are not complete for some of these classes.

    The simulated annotator labels by the truth, which has all of them.
    """
    offered, common = corrections.offered, corrections.classes
    found = {i: unseen(classes, offered.get(i, common)) for i in corrections.boxes}
    return {image_id: missing for image_id, missing in found.items() if missing}


def known_only(boxes: BoxesByImage, incomplete: Incomplete) -> BoxesByImage:
    """Leave out boxes of which nothing can be said: of a class that their image is incomplete for.

    Returns:
        The very same where no image is incomplete.
    """
    if not any(image_id in boxes for image_id in incomplete):
        return boxes
    return {image_id: _without(item, incomplete.get(image_id)) for image_id, item in boxes.items()}


def only_judgeable(corrections: Corrections, classes: Sequence[str]) -> Corrections:
    """Return corrections without boxes, proposed or final, of which nothing can be said.

    They tell neither how good a detector is nor from where on its proposals pay. Nor do proposals
    that came later, of another detector than the batch's.
    """
    corrections = _as_offered_first(corrections)
    incomplete = find_incomplete(corrections, classes)
    if not incomplete:
        return corrections
    offered = known_only(corrections.proposals.boxes, incomplete)
    return replace(
        _proposing(corrections, offered), boxes=known_only(corrections.boxes, incomplete)
    )


def _as_offered_first(corrections: Corrections) -> Corrections:
    """Return corrections without the proposals that came later; the very same without such."""
    offered = corrections.proposals
    some = {i: boxes.later() for i, boxes in offered.boxes.items() if boxes.later().any()}
    if not some:
        return corrections
    boxes = {i: b.select(~some[i]) if i in some else b for i, b in offered.boxes.items()}
    return _proposing(corrections, boxes)


def _proposing(corrections: Corrections, boxes: BoxesByImage) -> Corrections:
    """Return corrections with a part of their proposals, and of the errors planted among them."""
    planted = {}
    for image_id, errors in corrections.planted.items():
        left = set(boxes[image_id].ids.tolist())
        if own := tuple(error for error in errors if error.box in left):
            planted[image_id] = own
    proposals = replace(corrections.proposals, boxes=boxes)
    return replace(corrections, proposals=proposals, planted=planted)


def _without(boxes: Boxes, classes: Sequence[str] | None) -> Boxes:
    return boxes if not classes else boxes.select(~np.isin(boxes.labels, list(classes)))


def complete_images(labeled: LabeledSet) -> LabeledSet:
    """Return the part of a labeled set that is complete for all of its classes."""
    boxes = {i: item for i, item in labeled.boxes.items() if i not in labeled.incomplete}
    return LabeledSet(labeled.classes, labeled.batches, boxes)
