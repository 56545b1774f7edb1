"""Mend a detector's boxes by the labels of the nearest labeled image.

A frame of a video, or a near-duplicate, shows the objects of another image at nearly their places.
Copied labels are at nearly the right place, too, which is often too far off to be kept. So nothing
is copied: a neighbour only confirms, shifts and doubts what the detector found, and only where the
detector finds most of the neighbour's objects. From how near on that is done is judged as a score
threshold is (:mod:`boxloop.core.threshold`): by what it would have saved on what was corrected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boxloop.core.boxes import iou_matrix, match, same_label
from boxloop.core.edits import Ledger
from boxloop.core.evidence import Evidence, NeighbourEdits
from boxloop.core.threshold import DECAY, FITTED_TO_NOTHING, STRENGTH, in_words
from boxloop.core.types import Batch, Boxes, BoxesByImage, FeatureTable, Neighbour
from boxloop.core.workload import CostModel, compare

LIMITS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35)
"""Distances that may be near enough, in units of the median distance of two images. Photographs of
one kind of scene are mostly 0.4 and more apart."""

PRIOR = 0.3
"""The limit where nothing is known; it holds as firmly as that of the score threshold does."""

OVERLAP = 0.3
"""IoU from which a neighbour's box of the same class may be the detector's object."""

SEEN = 0.2
"""Score from which the detector has found an object of the neighbour."""

AGREEMENT = 0.6
"""Fraction of the neighbour's objects that the detector must have found."""

OWN_PLACE = 0.6
"""Weight of the detector's place against the neighbour's."""

DOUBT = 0.7
"""What the score of a box that has none of the neighbour's at its place is multiplied by. (The
score of one that has becomes its square root.)"""

_SAMPLE = 1000
_ROWS = 1024


@dataclass(frozen=True)
class Choice:
    """From how near on neighbours are used.

    Attributes:
        limit: the distance; None where they are not.
        expected_saving: fraction of what correcting such images costs; None where nothing is known.
        found: what it was judged by, in words.
    """

    limit: float | None
    expected_saving: float | None
    found: str


def find(
    features: FeatureTable, batches: Sequence[Batch], labeled: Sequence[str] = ()
) -> list[dict[str, Neighbour]]:
    """Find for each batch the nearest image that will be labeled before it.

    Args:
        features: of all images of the batches, and of ``labeled``.
        batches: in their order.
        labeled: images that are labeled before the first batch.

    Returns:
        Neighbours by image id for each batch, only those within the last of ``LIMITS``. With the
        second batch come those within the first one, by which it is judged. Of equally near images
        the one that is labeled first is taken.
    """
    rows = {image_id: row for row, image_id in enumerate(features.image_ids)}
    vectors = features.vectors
    scale = _median_distance(vectors)
    known, result = list(labeled), []
    for number, batch in enumerate(batches):
        pool = np.array([rows[i] for i in known], np.intp)
        found = dict(_nearest(batch.image_ids, known, pool, rows, vectors, scale))
        if number == 1:
            found |= dict(_nearest(batches[0].image_ids, known, pool, rows, vectors, scale))
        result.append(found)
        known += batch.image_ids
    return result


def _median_distance(vectors: NDArray[np.float32]) -> float:
    """Return the median distance of two of the images, or of a sample of them."""
    from scipy.spatial.distance import cdist

    part = vectors[:: -(-len(vectors) // _SAMPLE)].astype(np.float64)
    pairs = cdist(part, part)[np.triu_indices(len(part), 1)]
    return float(np.median(pairs)) if len(pairs) else 0.0


def _nearest(
    image_ids: Sequence[str],
    known: Sequence[str],
    pool: NDArray[np.intp],
    rows: Mapping[str, int],
    vectors: NDArray[np.float32],
    scale: float,
) -> Iterator[tuple[str, Neighbour]]:
    if not len(pool) or scale == 0:
        return
    from scipy.spatial.distance import cdist

    others = vectors[pool].astype(np.float64)
    for start in range(0, len(image_ids), _ROWS):
        part = image_ids[start : start + _ROWS]
        own = np.array([rows[i] for i in part], np.intp)
        distances = cdist(vectors[own].astype(np.float64), others) / scale
        distances[own[:, None] == pool[None, :]] = np.inf
        best = distances.argmin(axis=1)
        for image_id, column, distance in zip(part, best, distances.min(axis=1), strict=True):
            if distance <= LIMITS[-1]:
                yield image_id, Neighbour(known[column], round(float(distance), 4))


def merge(own: Boxes, labels: Boxes, floor: float = 0.0) -> tuple[Boxes, int]:
    """Mend the boxes of one image by the labels of its neighbour.

    Boxes and labels of one class are paired one to one, the highest product of score and IoU
    first, from an IoU of ``OVERLAP`` on. A box that is paired moves towards the label, and its
    score rises to its square root; the scores of all others fall to ``DOUBT`` of theirs.

    Args:
        own: the detector's, scored.
        labels: the neighbour's, in pixels of an image of the same size.
        floor: no score falls below it.

    Returns:
        The same boxes with other places and scores, and how many are paired; ``own`` itself and 0
        where the detector found less than ``AGREEMENT`` of the labels.
    """
    assert own.scores is not None
    if not len(own) or not len(labels):
        return own, 0
    iou = iou_matrix(own.xyxy, labels.xyxy)
    pairs = match(iou * own.scores[:, None], same_label(own, labels) & (iou >= OVERLAP), 0.0)
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    if int((own.scores[rows] >= SEEN).sum()) < AGREEMENT * len(labels):
        return own, 0
    xyxy, scores = own.xyxy.copy(), np.maximum(own.scores * DOUBT, np.minimum(own.scores, floor))
    xyxy[rows] = OWN_PLACE * own.xyxy[rows] + (1 - OWN_PLACE) * labels.xyxy[columns]
    scores[rows] = np.sqrt(own.scores[rows])
    return Boxes(xyxy, own.labels, own.ids, scores), len(pairs)


def judge(
    own: BoxesByImage,
    labels: BoxesByImage,
    neighbours: Mapping[str, Neighbour],
    final: BoxesByImage,
    thresholds: Mapping[float, float],
    floor: float = 0.0,
) -> tuple[NeighbourEdits, ...]:
    """Count the edits of a batch with its neighbours' labels and without, at every limit.

    Args:
        own: the detector's boxes by image id.
        labels: boxes of at least the neighbours that may be used; others are left out.
        neighbours: by image id; those of other images do not matter.
        final: the final boxes.
        thresholds: by IoU, the score from which proposals are shown.
        floor: of the scores.
    """
    changed = []
    for image_id, boxes in final.items():
        near = neighbours.get(image_id)
        if near is not None and near.image in labels and image_id in own:
            merged, pairs = merge(own[image_id], labels[near.image], floor)
            if pairs:
                changed.append((near.distance, own[image_id], merged, boxes))
    rows = []
    for iou, score in thresholds.items():
        for limit in LIMITS:
            part = [item[1:] for item in changed if item[0] <= limit]
            before = (compare(a.above(score), final, iou) for a, _, final in part)
            after = (compare(b.above(score), final, iou) for _, b, final in part)
            sums = sum(before, Ledger()), sum(after, Ledger())
            rows.append(NeighbourEdits(iou, limit, len(part), *sums))
    return tuple(rows)


def choose(evidence: Sequence[Evidence], ious: Sequence[float], model: CostModel) -> Choice:
    """Choose from how near on neighbours are used in the next batch.

    Of the limits that would have saved time at the first IoU, and cost none at the others, it is
    that of the largest ``sum(DECAY**age * saved) - STRENGTH * (limit - PRIOR)**2``, in units of T.
    A limit up to ``PRIOR`` at which no image was judged yet counts as saving nothing; of equal ones
    the smaller is taken.

    Args:
        evidence: of the batches so far, the oldest first; those that were not judged are left out.
        ious: IoU from which a proposal counts as right: the review's, then others.
        model: what edits cost.
    """
    known = [item for item in evidence if item.neighbours]
    best, choice = -np.inf, Choice(None, None, in_words([item.batch for item in known]))
    for limit in LIMITS:
        images, saved, cost = 0, dict.fromkeys(ious, 0.0), 0.0
        for age, item in enumerate(reversed(known)):
            for row in item.neighbours:
                if row.limit == limit and row.iou_threshold in saved:
                    own = model.cost(row.own)
                    saved[row.iou_threshold] += DECAY**age * (own - model.cost(row.merged))
                    if row.iou_threshold == ious[0]:
                        images += row.images
                        cost += DECAY**age * own
        pays = saved[ious[0]] > 0 if images else limit <= PRIOR
        value = round(saved[ious[0]] - STRENGTH * (limit - PRIOR) ** 2, 9)
        if pays and min(saved.values()) >= 0 and value > best:
            best, found = value, in_words([item.batch for item in known])
            expected = saved[ious[0]] / cost if images else None
            choice = Choice(limit, expected, found if images else FITTED_TO_NOTHING)
    return choice
