"""Find likely errors in labels by the proposals of a detector that had not seen them.

Four kinds of errors are looked for. The first three, and the idea to score an image by its worst
box, are ObjectLab's (Tkachenko, Thyagarajan and Mueller, "ObjectLab: automated diagnosis of
mislabeled images in object detection data", 2023, arXiv:2309.00832):

- overlooked: a sure proposal where nothing is labeled;
- misplaced: a label that lies beside the proposal of its class;
- mislabeled: a label where the detector sees another class;
- no object: a label where the detector sees nothing.

ObjectLab's scores take a detector's confidence as it is, with fixed limits (0.95 and 0.5) that
detectors early in a campaign never reach. Here the odds of each finding are told by the batch
itself, most of whose labels are right: how often does this detector, where labels are right, give a
proposal of this score in an empty place, overlap as little, prefer another class as much, see as
little? So findings of all kinds become odds that can be compared, whatever the detector.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from boxloop.core.boxes import iou_matrix, match, same_label
from boxloop.core.types import Boxes, BoxesByImage, Floats

Kind = Literal["overlooked", "misplaced", "mislabeled", "no object"]

PRIOR = {"overlooked": 0.05, "misplaced": 0.01, "mislabeled": 0.01, "no object": 0.002}
"""How many labels are expected to have an error of a kind.

People overlook objects far more often than they draw a box around nothing, so where the detector
misses an object that has a label, the detector is to blame, mostly.
"""

_SAME, _NEAR, _TOUCH = 0.5, 0.3, 0.1  # IoU
_FAINT = 0.02  # the score that stands for no proposal at all
_STEPS = 25
_SHRINK = 0.1  # of the fitted line, towards scores that are chances as they are


@dataclass(frozen=True)
class Doubt:
    """One likely label error.

    Attributes:
        image: its id.
        kind: what seems to be wrong.
        chance: that it is an error, in [0, 1]; only the order of these is meant to be relied on.
        label: position of the label among the image's; None where one is missing.
        proposal: position of the proposal that speaks against it; None where there is none.
        iou: of the two; 0 where one is missing.
    """

    image: str
    kind: Kind
    chance: float
    label: int | None
    proposal: int | None
    iou: float


def find(labels: BoxesByImage, proposals: BoxesByImage) -> list[Doubt]:
    """Find the likely label errors of images that one detector made proposals for.

    Args:
        labels: final boxes by image id.
        proposals: scored boxes by image id, by a detector that was not trained on these labels;
            images without an entry are passed over.

    Returns:
        The worst first; of one image there may be several, or none. Every label and every proposal
        in an empty place is judged, so most are of little doubt.
    """
    images = [i for i in labels if i in proposals]
    pairs = [
        _Pairing(i, labels[i], proposals[i], labels[images[place - 1]])
        for place, i in enumerate(images)
    ]
    found = [*_overlooked(pairs), *_misplaced(pairs), *_mislabeled(pairs), *_unseen(pairs)]
    return sorted(found, key=_worst_first)


def worst_of_images(doubts: Iterable[Doubt]) -> list[Doubt]:
    """Return the greatest doubt of each image, the worst first."""
    first: dict[str, Doubt] = {}
    for doubt in sorted(doubts, key=_worst_first):
        first.setdefault(doubt.image, doubt)
    return list(first.values())


def _worst_first(doubt: Doubt) -> tuple[float, str, str]:
    return -doubt.chance, doubt.image, doubt.kind


class _Pairing:
    """The labels of one image against its proposals.

    Attributes:
        image: its id.
        iou: (labels, proposals).
        scores: of the proposals.
        own: of each label the proposal of its class that belongs to it, -1 where there is none.
        rival: of each label the best proposal of another class at its place, or -1.
        nearest: of each label the best proposal of any class near it, or -1.
        empty: proposals where nothing is labeled, the best of each place.
        elsewhere: the best scores near boxes where nothing is labeled: another image's labels.
    """

    def __init__(self, image: str, labels: Boxes, proposals: Boxes, others: Boxes) -> None:
        assert proposals.scores is not None
        self.image, self.scores = image, proposals.scores
        self.iou = iou_matrix(labels.xyxy, proposals.xyxy)
        same = same_label(labels, proposals)
        self.own, taken = [-1] * len(labels), np.zeros(len(proposals), bool)
        # By overlap alone, a faint proposal beside an object would go with a misplaced label.
        for row, p in match(self.iou * self.scores, same & (self.iou >= _TOUCH), 0.0):
            self.own[row], taken[p] = p, True
        self.rival = self._best((self.iou >= _SAME) & ~same & ~taken)
        self.nearest = self._best(self.iou >= _NEAR)
        free = ~taken & (self.iou.max(axis=0, initial=0.0) < _NEAR)
        self.empty: list[int] = []
        for p in np.argsort(-self.scores, kind="stable").tolist():
            better = proposals.xyxy[self.empty]
            if free[p] and (iou_matrix(proposals.xyxy[p : p + 1], better) < _NEAR).all():
                self.empty.append(p)

        vacant = others.xyxy[(iou_matrix(others.xyxy, labels.xyxy) < _TOUCH).all(axis=1)]
        near = iou_matrix(vacant, proposals.xyxy) >= _NEAR
        self.elsewhere = (near * self.scores).max(axis=1, initial=0.0).tolist()

    def _best(self, allowed: NDArray[np.bool_]) -> list[int]:
        if not self.iou.size:
            return [-1] * len(self.iou)
        best = np.where(allowed, self.scores, -1.0).argmax(axis=1)
        found: list[int] = np.where(allowed.any(axis=1), best, -1).tolist()
        return found


def _overlooked(pairs: Sequence[_Pairing]) -> Iterator[Doubt]:
    """Judge proposals in empty places by how often one of that score is an object."""
    right = [p.scores[o] for p in pairs for r, o in enumerate(p.own) if o >= 0 and _is_at(p, r, o)]
    wrong = [pair.scores[e] for pair in pairs for e in pair.empty]
    slope, offset = _fit_line(_logit(np.array(right)), _logit(np.array(wrong)))
    for pair in pairs:
        for e in pair.empty:
            odds = float(np.exp(slope * _logit(pair.scores[[e]])[0] + offset))
            yield Doubt(pair.image, "overlooked", _chance("overlooked", odds), None, e, 0.0)


def _misplaced(pairs: Sequence[_Pairing]) -> Iterator[Doubt]:
    """Judge labels by how far they lie from the proposal of their class.

    The logit of the overlap is taken for a line in the logit of the score, with logistic noise; a
    misplaced label overlaps by anything up to 0.8. Nothing is cut off there: where the detector's
    boxes are very exact, a label that overlaps by a little more stands out, too.
    """
    rows = [(pair, r, own) for pair in pairs for r, own in enumerate(pair.own) if own >= 0]
    if not rows:
        return
    iou = np.clip([pair.iou[r, own] for pair, r, own in rows], 0.02, 0.98)
    sure = _logit(np.array([pair.scores[own] for pair, _, own in rows]))
    overlap = np.log(iou / (1 - iou))
    from_mean = sure - sure.mean()
    residual = overlap - float((from_mean * overlap).sum() / ((from_mean**2).sum() + 1)) * sure
    middle, width = _spread(residual)
    usual = _bell((residual - middle) / width) / width
    odds = iou * (1 - iou) / 0.8 / usual
    for (pair, r, own), value, ratio in zip(rows, residual, odds, strict=True):
        if value < middle:
            yield _doubt(pair, "misplaced", ratio, r, own)


def _mislabeled(pairs: Sequence[_Pairing]) -> Iterator[Doubt]:
    """Judge labels by how much the detector prefers another class at their place.

    For a swapped label the two classes have changed places: the odds are those of the lead seen
    from the other side.
    """
    rows = [(pair, row) for pair in pairs for row in range(len(pair.own))]
    if not rows:
        return
    lead = np.array([_lead(pair, row) for pair, row in rows])
    middle, width = _spread(lead)
    odds = _bell((-lead - middle) / width) / _bell((lead - middle) / width)
    for (pair, row), value, ratio in zip(rows, lead, odds, strict=True):
        if value > 0:
            yield _doubt(pair, "mislabeled", ratio, row, pair.rival[row])


def _lead(pair: _Pairing, row: int) -> float:
    """Return by how much the score of the best other class leads, in logits."""
    own, rival = pair.own[row], pair.rival[row]
    mine = pair.scores[own] if own >= 0 and pair.iou[row, own] >= _NEAR else _FAINT
    theirs = pair.scores[rival] if rival >= 0 else _FAINT
    lead = _logit(np.array([theirs])) - _logit(np.array([mine]))
    return float(lead[0]) if rival >= 0 else min(float(lead[0]), 0.0)


def _unseen(pairs: Sequence[_Pairing]) -> Iterator[Doubt]:
    """Judge labels by how rarely the detector sees as little at one, and how often elsewhere."""
    rows = [(pair, row, near) for pair in pairs for row, near in enumerate(pair.nearest)]
    seen = np.array([pair.scores[near] if near >= 0 else 0.0 for pair, _, near in rows])
    elsewhere = np.array([score for pair in pairs for score in pair.elsewhere])
    here = np.searchsorted(np.sort(seen), seen, side="right")
    there = len(elsewhere) - np.searchsorted(np.sort(elsewhere), seen, side="left")
    odds = (there + 1) / (len(elsewhere) + 2) * (len(seen) + 1) / (here + 1)
    for (pair, row, near), ratio in zip(rows, odds, strict=True):
        yield _doubt(pair, "no object", ratio, row, near)


def _doubt(pair: _Pairing, kind: Kind, odds: float, row: int, proposal: int) -> Doubt:
    there = proposal >= 0
    iou = float(pair.iou[row, proposal]) if there else 0.0
    return Doubt(pair.image, kind, _chance(kind, odds), row, proposal if there else None, iou)


def _is_at(pair: _Pairing, row: int, proposal: int) -> bool:
    return bool(pair.iou[row, proposal] >= _SAME)


def _chance(kind: Kind, odds: float) -> float:
    return float(PRIOR[kind] * odds / (1 + PRIOR[kind] * odds))


def _logit(scores: Floats) -> Floats:
    clipped = np.clip(scores, _FAINT / 2, 1 - 1e-4)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _bell(z: Floats) -> Floats:
    """Return the density of the logistic distribution, whose tails are wider than a normal's."""
    small = np.exp(-np.abs(z))
    return np.asarray(small / (1 + small) ** 2)


def _spread(values: Floats) -> tuple[float, float]:
    """Return location and scale of a logistic distribution, untouched by a few strange values."""
    middle = float(np.median(values))
    return middle, max(float(np.median(np.abs(values - middle))) / np.log(3), 0.05)


def _fit_line(right: Floats, wrong: Floats) -> tuple[float, float]:
    """Fit the log-odds of being right as a line, by ridge-penalised logistic regression."""
    x = np.concatenate([right, wrong])
    design = np.stack([x, np.ones_like(x)], axis=1)
    target = np.concatenate([np.ones(len(right)), np.zeros(len(wrong))])
    start = np.array([1.0, 0.0])

    def loss(line: Floats) -> float:
        z, off = design @ line, line - start
        return float((np.logaddexp(0, z) - target * z).sum() + _SHRINK * (off @ off) / 2)

    line = start
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ line, -30, 30)))
        slope = design.T @ (chance - target) + _SHRINK * (line - start)
        curve = (design * (chance * (1 - chance))[:, None]).T @ design + _SHRINK * np.eye(2)
        step = np.linalg.solve(curve, slope)
        while loss(line - step) > loss(line):  # Newton's whole steps may lead ever farther away
            step = step / 2
        line = line - step
    return float(line[0]), float(line[1])
