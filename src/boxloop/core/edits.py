"""Count the edits of one image by the ids of its boxes.

A box keeps its id when it is dragged or gets another label, and a drawn one gets an id that no
proposal has. So the edits follow from the shown proposals and the final boxes alone, whatever their
order. Only the net difference counts: what was undone was never done, and a proposal that was
deleted and drawn again is one removal and one addition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boxloop.core.boxes import paired_iou
from boxloop.core.types import Boxes, Floats

EDITS = ("kept", "moved", "relabeled", "removed", "added")
"""The kinds of edits that a :class:`Ledger` counts, in the order of its fields."""

TOLERANCE = 0.01
"""Pixels by which a coordinate may differ before its box counts as moved.

Annotation tools keep coordinates as fractions of the image and give them back with other last
digits. Kept as float32, an edge (a sum of two fractions) of an image of 10,000 pixels is off by up
to 0.002 pixels. A person cannot drag by a fiftieth of a pixel unless the image is enlarged 50
times. The tolerance lies between the two.
"""

PIXEL = 1.0
"""Pixels by which a detector's own arithmetic may carry a box beyond its image."""


@dataclass(frozen=True)
class Ledger:
    """Counts of edits by kind.

    The kinds are finer than the paper's two, so that cost models can price them differently. In the
    paper's count a moved or a relabeled box is one removal and one addition.

    Attributes:
        kept: needed no edit.
        moved: right label, wrong place; the box was dragged into place.
        relabeled: wrong label (whether the box was dragged as well or not).
        removed: no object there, or a second box on one.
        added: objects without a proposal.
    """

    kept: int = 0
    moved: int = 0
    relabeled: int = 0
    removed: int = 0
    added: int = 0

    def __post_init__(self) -> None:
        if min(vars(self).values()) < 0:
            raise ValueError("an edit count cannot be negative")

    def __add__(self, other: Ledger) -> Ledger:
        return Ledger(**{kind: count + vars(other)[kind] for kind, count in vars(self).items()})

    @property
    def additions(self) -> int:
        """An of the paper."""
        return self.added + self.moved + self.relabeled

    @property
    def removals(self) -> int:
        """Rn of the paper."""
        return self.removed + self.moved + self.relabeled


Pairs = list[tuple[int, int]]
"""(index of a proposal, index of a final box) of one image."""


def diff(shown: Boxes, final: Boxes) -> Ledger:
    """Count the exact edits from the proposals of one image to its final boxes.

    A box that was dragged and got another label counts once, as relabeled: a wrong label is the
    graver fault. A box whose coordinates differ by at most :data:`TOLERANCE` pixels was not moved.
    """

    def unmoved(a: Floats, b: Floats) -> NDArray[np.bool_]:
        return np.asarray(np.abs(a - b).max(axis=1, initial=0.0) <= TOLERANCE)

    return tally(shown, final, *_pair(shown, final, unmoved))


def judge(shown: Boxes, final: Boxes, iou_threshold: float) -> Ledger:
    """Count the edits as :func:`diff` does, but ignore small moves, as the paper does.

    A proposal of the right label is kept when its IoU with the box that was made from it reaches
    the threshold, and moved when it does not.
    """
    return tally(shown, final, *paired_by_id(shown, final, iou_threshold))


def paired_by_id(shown: Boxes, final: Boxes, iou_threshold: float) -> tuple[Pairs, Pairs, Pairs]:
    """Pair the boxes of one image by their ids, and tell the edits that :func:`judge` counts.

    Returns:
        The pairs of those kept, relabeled and moved.
    """
    return _pair(shown, final, lambda a, b: paired_iou(a, b) >= iou_threshold)


def _pair(
    shown: Boxes, final: Boxes, unmoved: Callable[[Floats, Floats], NDArray[np.bool_]]
) -> tuple[Pairs, Pairs, Pairs]:
    """Pair boxes of equal ids, given which of two (n, 4) lists of boxes did not move."""
    _, rows, columns = np.intersect1d(shown.ids, final.ids, assume_unique=True, return_indices=True)
    in_place = unmoved(shown.xyxy[rows], final.xyxy[columns])
    same = shown.labels[rows] == final.labels[columns]

    def chosen(mask: NDArray[np.bool_]) -> Pairs:
        return list(zip(rows[mask].tolist(), columns[mask].tolist(), strict=True))

    return chosen(same & in_place), chosen(~same), chosen(same & ~in_place)


def tally(shown: Boxes, final: Boxes, kept: Pairs, relabeled: Pairs, moved: Pairs) -> Ledger:
    """Count the edits of one image from its pairs; boxes in none were removed or added."""
    paired = len(kept) + len(relabeled) + len(moved)
    removed, added = len(shown) - paired, len(final) - paired
    return Ledger(len(kept), len(moved), len(relabeled), removed, added)


def kept_below(offered: Boxes, threshold: float, final: Boxes) -> int:
    """Count the final boxes of one image that were taken from proposals below the threshold.

    They were not drawn at first, but on demand. They are among the added ones: a proposal that was
    not shown saves no search for the object.

    Args:
        offered: all proposals of the image, with scores.
        threshold: those that score at least this were shown.
        final: what the person submitted.
    """
    return int(np.isin(offered.ids[~offered.reach(threshold)], final.ids).sum())
