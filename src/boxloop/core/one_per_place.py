"""Keep one proposal of several for one place: a detector may offer an object under two classes.

Detectors suppress doubles class by class, so an object that could be one of two is offered twice,
and one of the boxes is to be removed. Across classes the lower score goes as well, unless labels
have objects of the two classes at one place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from boxloop.core.boxes import iou_matrix, paired_iou
from boxloop.core.types import Boxes

OVERLAP = 0.6
"""IoU from which two boxes are at one place. From 0.4 to 0.7 as much was saved on every set tried
(docs/results/many-classes.md)."""

SHARE = 0.02
"""Fraction of a class's objects that lie at the place of one of another class, from which on the
two are taken to do so: a box that is suppressed by mistake costs twice what a double does."""

_AT_ONCE = 200_000
"""Pairs of labeled boxes whose overlap is computed together, unless a single image has more."""

Pairs = frozenset[frozenset[str]]
"""Classes, two by two."""


def at_one_place(labels: Iterable[Boxes]) -> Pairs:
    """Return the pairs of different classes of which labels have objects at one place.

    They have them where that is so of at least :data:`SHARE` of the rarer class: two objects may
    also hide each other by chance.

    Args:
        labels: boxes of a person, image by image.
    """
    by_count: dict[int, list[Boxes]] = {}
    objects: Counter[str] = Counter()
    for boxes in labels:
        objects.update(boxes.labels.tolist())
        if len(boxes) > 1:
            by_count.setdefault(len(boxes), []).append(boxes)
    found: Counter[frozenset[str]] = Counter()
    for count, images in by_count.items():
        first, second = np.triu_indices(count, k=1)
        at_once = max(1, _AT_ONCE // len(first))
        for begin in range(0, len(images), at_once):
            part = images[begin : begin + at_once]
            xyxy = np.stack([boxes.xyxy for boxes in part])
            names = np.stack([boxes.labels for boxes in part])
            a, b = names[:, first].ravel(), names[:, second].ravel()
            other = a != b
            overlap = paired_iou(
                xyxy[:, first].reshape(-1, 4)[other], xyxy[:, second].reshape(-1, 4)[other]
            )
            near = np.flatnonzero(other)[overlap >= OVERLAP]
            found.update(map(frozenset, zip(a[near].tolist(), b[near].tolist(), strict=True)))
    rarer = {pair: min(objects[name] for name in pair) for pair in found}
    return frozenset(pair for pair, count in found.items() if count >= SHARE * rarer[pair])


def sorted_pairs(pairs: Pairs) -> tuple[tuple[str, str], ...]:
    """Return pairs of classes in the order of their names."""
    return tuple(sorted((min(pair), max(pair)) for pair in pairs))


def one_per_place(
    proposals: Mapping[str, Boxes], apart: Pairs, *, own: bool = False
) -> dict[str, Boxes]:
    """Return proposals without boxes that lie where one of another class scores higher.

    Boxes are kept in the order of their scores, and each that is kept suppresses those of other
    classes from an IoU of ``OVERLAP`` on (greedy suppression, as within a class). Of equal scores
    the first is kept.

    Args:
        proposals: scored boxes by image id.
        apart: pairs of classes that may be at one place, and do not suppress each other.
        own: whether boxes suppress those of their own class, too, which a detector has done for the
            classes that it gave them.
    """
    return {image_id: _of_image(boxes, apart, own) for image_id, boxes in proposals.items()}


def _of_image(boxes: Boxes, apart: Pairs, own: bool) -> Boxes:
    assert boxes.scores is not None
    names, codes = np.unique(boxes.labels, return_inverse=True)
    if len(boxes) < 2 or (len(names) < 2 and not own):
        return boxes
    friends = [[not own if a == b else frozenset((a, b)) in apart for b in names] for a in names]
    beaten = (iou_matrix(boxes.xyxy, boxes.xyxy) >= OVERLAP) & ~np.array(friends)[codes][:, codes]
    np.fill_diagonal(beaten, val=False)
    kept = np.ones(len(boxes), bool)
    for row in np.argsort(-boxes.scores, kind="stable"):
        if kept[row]:
            kept &= ~beaten[row]
    return boxes if kept.all() else boxes.select(kept)
