"""What a training has seen that begins while people still correct the batch before its turn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from boxloop.core.training_log import Seen
from boxloop.core.types import Boxes, LabeledSet

BEGIN = 0.5
"""Share of a batch that is submitted when the next detector's training begins."""

_LEAST = 0.125
"""Share of a batch that is new when it is trained again."""


def first_part(
    labeled: LabeledSet, last: Sequence[str], share: float
) -> tuple[LabeledSet, Seen | None]:
    """Return a labeled set as it was when a share of its last batch was labeled.

    Args:
        labeled: everything labeled so far.
        last: images of its last batch, in the order in which they were labeled.
        share: of ``last``, rounded up to whole images; from 0 on, less than 1.

    Returns:
        The smaller set, and what of the last batch it has; the set itself and None where that is
        all of it.
    """
    # 0.55 of 100 is 55.00000000000001 in floating point, and still 55 images.
    seen = tuple(last[: math.ceil(round(share * len(last), 9))])
    if len(seen) == len(last):
        return labeled, None
    absent = set(last) - set(seen)
    boxes = {i: item for i, item in labeled.boxes.items() if i not in absent}
    missing = {i: names for i, names in labeled.incomplete.items() if i not in absent}
    batches = labeled.batches if seen else labeled.batches[:-1]
    part = LabeledSet(labeled.classes, batches, boxes, missing)
    return part, Seen(labeled.batches[-1], seen, len(last))


def is_due(now: Mapping[str, Boxes], before: Mapping[str, Boxes] | None, total: int) -> bool:
    """Return whether it pays to train on what is submitted of a batch so far.

    Args:
        now: labels that are submitted, by image.
        before: those that the last such training saw; None before the first one.
        total: images of the batch.

    Returns:
        First from half of the batch on, rounded down: so many has the first of its two parts, which
        people submit at once. Then whenever half of the rest is new, or a label that was seen has
        changed.
    """
    if before is None:
        return len(now) > 0 and len(now) >= int(BEGIN * total)
    if any(now.get(image_id) != boxes for image_id, boxes in before.items()):
        return True
    return len(now) - len(before) >= max((total - len(before)) / 2, _LEAST * total)
