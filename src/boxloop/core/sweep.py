"""Count the fewest edits of a batch at many score and IoU thresholds at once.

The counts are those of :func:`boxloop.core.workload.compare`, image by image and threshold by
threshold. Pairs of overlapping boxes are looked for in all images together, and matched anew only
at scores where a proposal that overlaps an object comes or goes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from boxloop.core.boxes import paired_iou
from boxloop.core.edits import EDITS
from boxloop.core.types import NOTHING, Boxes, BoxesByImage

MOVE_IOU = 0.1
"""IoU from which a person would move a box of the right class rather than remove it.

The background threshold of TIDE (Bolya et al. 2020, section 2.2).
"""

_KEPT, _MOVED, _RELABELED, _REMOVED, _ADDED = range(len(EDITS))

_AT_ONCE = 200_000
"""Pairs of boxes whose overlap is computed together, unless a single image has more."""

_Pair = tuple[int, int, float, bool]  # proposal, final box, IoU, whether of one label

Counts = dict[float, dict[str, NDArray[np.int64]]]
"""By IoU threshold and class: (kinds of edits, scores) counts."""


def sweep_counts(
    proposed: BoxesByImage,
    final: BoxesByImage,
    iou_thresholds: Iterable[float],
    scores: Sequence[float],
) -> Counts:
    """Count the edits of a batch at every pair of thresholds.

    Args:
        proposed: scored boxes by image id; images outside ``final`` are left out.
        final: the final boxes.
        iou_thresholds: IoU from which a proposal counts as right.
        scores: ascending score thresholds.

    Returns:
        For each class that occurs, in their order. Kept, moved, relabeled and removed proposals
        count under the class that was proposed, added boxes under their own.
    """
    empty = Boxes.empty(scored=True)
    shown = [proposed.get(image_id, empty) for image_id in final]
    offered, wanted = _Columns(shown), _Columns(list(final.values()))
    names = sorted(
        {name for b in (*proposed.values(), *final.values()) for name in b.labels.tolist()}
    )
    classes = {name: number for number, name in enumerate(names)}
    own, theirs = ([classes[name] for name in side.labels] for side in (offered, wanted))
    grid = [score for score in scores if score < NOTHING]
    # A proposal is shown at the thresholds of places 0 to below its level; at NOTHING none is.
    levels = np.searchsorted(grid, offered.scores, side="right")
    # The counts differ at each threshold from the one below it; the last place is beyond all.
    base = np.zeros((len(classes), len(EDITS), len(scores) + 1), np.int64)
    mine, removed, added = np.array(own, np.int64), base[:, _REMOVED], base[:, _ADDED]
    np.add.at(removed, (mine, np.zeros_like(mine)), levels > 0)
    np.subtract.at(removed, (mine, levels), levels > 0)
    added[:, 0] = np.bincount(np.array(theirs, np.int64), minlength=len(classes))
    level = levels.tolist()
    steps = {iou: base.tolist() for iou in dict.fromkeys(iou_thresholds)}
    for pairs in _overlapping(offered, wanted, levels, min([MOVE_IOU, *steps])):
        for iou, changes in steps.items():
            _match(changes, pairs, iou, level, own, theirs)
    return {
        iou: dict(
            zip(names, np.cumsum(np.array(c), axis=2)[:, :, :-1] if names else (), strict=True)
        )
        for iou, c in steps.items()
    }


class _Columns:
    """The boxes of all images, one after the other."""

    def __init__(self, images: Sequence[Boxes]) -> None:
        self.counts = np.array([len(boxes) for boxes in images], np.int64)
        self.starts = np.cumsum(self.counts) - self.counts
        self.xyxy = np.concatenate([np.empty((0, 4)), *(boxes.xyxy for boxes in images)])
        self.labels = [name for boxes in images for name in boxes.labels.tolist()]
        scores = (boxes.scores for boxes in images if boxes.scores is not None)
        self.scores = np.concatenate([np.empty(0), *scores])


def _overlapping(
    offered: _Columns, wanted: _Columns, levels: NDArray[np.int64], minimum: float
) -> Iterator[list[_Pair]]:
    """Yield the pairs of each image that reach an IoU, in the order of matching.

    Only of proposals that are shown at some threshold; images without such a pair are left out.
    """
    pairs = offered.counts * wanted.counts
    parts = (np.cumsum(pairs) - 1) // _AT_ONCE
    for part in np.unique(parts[pairs > 0]).tolist():
        images = np.flatnonzero((parts == part) & (pairs > 0))
        count = pairs[images]
        image = np.repeat(images, count)
        place = np.arange(len(image)) - np.repeat(np.cumsum(count) - count, count)
        rows = offered.starts[image] + place // wanted.counts[image]
        columns = wanted.starts[image] + place % wanted.counts[image]
        shown = levels[rows] > 0
        image, rows, columns = image[shown], rows[shown], columns[shown]
        iou = paired_iou(offered.xyxy[rows], wanted.xyxy[columns])
        near = iou >= minimum
        image, rows, columns, iou = image[near], rows[near], columns[near], iou[near]
        order = np.lexsort((columns, rows, -iou, image))
        image, found = image[order], []
        for row, column, value in zip(
            rows[order].tolist(), columns[order].tolist(), iou[order].tolist(), strict=True
        ):
            found.append((row, column, value, offered.labels[row] == wanted.labels[column]))
        ends = np.flatnonzero(np.diff(image, append=-1)) + 1
        for start, end in itertools.pairwise([0, *ends.tolist()]):
            yield found[start:end]


def _match(
    changes: list[list[list[int]]],
    pairs: Sequence[_Pair],
    threshold: float,
    level: Sequence[int],
    own: Sequence[int],
    theirs: Sequence[int],
) -> None:
    """Add the edits of one image at an IoU threshold."""
    passes = (
        (_KEPT, [(r, c) for r, c, iou, same in pairs if same and iou >= threshold]),
        (_RELABELED, [(r, c) for r, c, iou, same in pairs if not same and iou >= threshold]),
        (_MOVED, [(r, c) for r, c, iou, same in pairs if same and iou >= MOVE_IOU]),
    )
    # The pairs are the same at all thresholds between two levels of proposals that have one.
    tops = sorted({level[row] for _, some in passes for row, _ in some}, reverse=True)
    for top, below in itertools.pairwise([*tops, 0]):
        rows, columns = set[int](), set[int]()
        for kind, some in passes:
            for row, column in some:
                if level[row] >= top and row not in rows and column not in columns:
                    rows.add(row)
                    columns.add(column)
                    mine = changes[own[row]]
                    for edits, change in (
                        (mine[kind], 1),
                        (mine[_REMOVED], -1),
                        (changes[theirs[column]][_ADDED], -1),
                    ):
                        edits[below] += change
                        edits[top] -= change
