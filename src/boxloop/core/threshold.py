"""Choose the score threshold from which a batch's proposals are shown.

It is the one that is expected to cost least, by what was corrected so far, judged by proposals for
images that their detector had not seen (:mod:`boxloop.core.evidence`). Detectors improve from turn
to turn and their scores shift: the newest evidence counts most, a threshold is judged together with
those beside it, and while few batches were judged the choice stays near a prior. What the next
batch has that the images judged had not is expected to be proposed wrongly
(:mod:`boxloop.core.likeness`). Where even the best threshold is expected to save next to nothing,
none is shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from boxloop.core.evidence import Evidence
from boxloop.core.likeness import Likeness
from boxloop.core.types import NOTHING, FittedThreshold, Floats
from boxloop.core.workload import PAPER, CostModel

PRIOR = 0.5
"""The threshold where nothing is known: a usual choice, and what ``boxloop init`` once set."""

STRENGTH = 20.0
"""How firmly a prior holds at least, in boxes: what is off by d from it counts 20 d^2 boxes more.
Of what costs the same, the one nearer to the prior is chosen."""

FIRMNESS = 0.5
"""How firmly that of the threshold holds beside, as a fraction of the batches judged on average."""

FIRMNESS_ABOVE = 2.0
"""The same for thresholds above it. Where a detector errs much only what it is surest of pays; the
next one, which was trained on more, errs less."""

FIRMNESS_HELD_OUT = 3.0
"""The same for a held-out part: it is small, and its detector was trained on what is left."""

SHIFT = 0.025
"""By how much the scores of the next detector are expected to be off, as a standard deviation."""

WORTH = 0.01
"""Share of the time that proposals are shown for only where more of it should be saved. Less is a
matter of chance, and batches unlike those judged (of a new class) can lose many times that."""

DECAY = 0.5
"""What a batch's evidence counts against that of the batch after it."""

FITTED_TO_NOTHING = "prior"
"""How a threshold was found where there was no evidence."""

LABELS_ALONE = "labels that exist"
"""How a threshold was found where only such labels are shown, whatever it is."""

NO_PROPOSALS = "nothing to show"
"""How a threshold was found for the detector that proposes nothing."""


def fit(
    evidence: Sequence[Evidence],
    iou_threshold: float,
    model: CostModel = PAPER,
    *,
    floor: float = 0.0,
    like: Likeness | None = None,
    held_out: str | None = None,
) -> FittedThreshold:
    """Choose the score threshold for the next batch.

    With ``cost`` and ``drawing`` summed over the n batches judged, each weighed by ``DECAY**age``,
    it minimises ``mean(cost) + (STRENGTH + FIRMNESS * drawing / n) * (threshold - PRIOR)**2`` in
    units of T over the thresholds that all evidence has; of equal ones the higher, which shows
    less. Above ``PRIOR`` that is ``FIRMNESS_ABOVE``, and the drawing of a held-out part counts with
    ``FIRMNESS_HELD_OUT``. The mean is that over all thresholds, weighed by a normal density of
    standard deviation ``SHIFT`` around this one. Nothing is shown where no threshold's mean saves
    more than ``WORTH`` of the time; what the best saves is the expected saving.

    Args:
        evidence: of the batches so far, the oldest first.
        iou_threshold: IoU from which a proposal counts as right; evidence without it is left out.
        model: what edits cost.
        floor: of the scores that were stored; no threshold is below it.
        like: how far the next batch is like the images of one of the evidences, where that was
            compared.
        held_out: which evidence is of a held-out part.
    """
    known = [item for item in evidence if iou_threshold in item.iou_thresholds]
    scores = common_scores(known, floor)
    if not known or len(scores) == 0:
        return FittedThreshold(iou_threshold, max(PRIOR, floor), None, FITTED_TO_NOTHING)
    if like is not None and like.batch not in [item.batch for item in known]:
        like = None  # it compares with what is not judged by
    cost, drawing, below, above = np.zeros(len(scores)), 0.0, 0.0, 0.0
    for age, item in enumerate(reversed(known)):
        costs = item.costs(iou_threshold, model)
        if like is not None and like.batch == item.batch:
            costs = like.costs(costs, model)
        cost += DECAY**age * costs[[item.scores.index(score) for score in scores]]
        drawn = DECAY**age * float(costs[-1])
        drawing += drawn
        below += drawn * (FIRMNESS_HELD_OUT if item.batch == held_out else FIRMNESS)
        above += drawn * (FIRMNESS_HELD_OUT if item.batch == held_out else FIRMNESS_ABOVE)
    cost = _beside(np.array(scores)) @ cost
    off = np.array(scores) - PRIOR
    firm = np.where(off > 0, above, below) / len(known)
    total = np.round(cost + (STRENGTH + firm) * off**2, 9)
    best = int(np.flatnonzero(total == total.min())[-1])
    least = float(cost.min())
    saved = drawing - least
    found = in_words([item.batch for item in known]) + ("" if like is None else like.in_words())
    if round(saved - WORTH * drawing, 9) <= 0:
        return FittedThreshold(iou_threshold, NOTHING, 1 - model.added, found)
    scratch = drawing / model.added  # what savings are told against
    saving = (scratch - least) / scratch
    return FittedThreshold(iou_threshold, scores[best], saving, found)


def fit_all(
    evidence: Sequence[Evidence],
    iou_thresholds: Iterable[float],
    model: CostModel = PAPER,
    *,
    floor: float = 0.0,
    like: Likeness | None = None,
    held_out: str | None = None,
) -> tuple[FittedThreshold, ...]:
    """Choose a threshold per IoU; see :func:`fit`."""
    ious = dict.fromkeys(iou_thresholds)
    return tuple(
        fit(evidence, iou, model, floor=floor, like=like, held_out=held_out) for iou in ious
    )


def no_proposals(
    iou_thresholds: Iterable[float], *, floor: float = 0.0, found: str = NO_PROPOSALS
) -> tuple[FittedThreshold, ...]:
    """Return the thresholds for a detector that proposes nothing: the prior, which is as good."""
    score = max(PRIOR, floor)
    ious = dict.fromkeys(iou_thresholds)
    return tuple(FittedThreshold(iou, score, None, found) for iou in ious)


def _beside(scores: Floats) -> Floats:
    """Return (S, S) what each threshold counts where another one is judged; rows sum to 1."""
    weights = np.exp(-(((scores[:, None] - scores) / SHIFT) ** 2) / 2)
    found: Floats = weights / weights.sum(axis=1, keepdims=True)
    return found


def common_scores(evidence: Sequence[Evidence], floor: float) -> list[float]:
    """Return the thresholds that all evidence has, without that of showing nothing."""
    grids = [item.scores for item in evidence]
    common = set.intersection(*map(set, grids)) if grids else set()
    return sorted(score for score in common if floor <= score < NOTHING)


def in_words(batches: Sequence[str]) -> str:
    """List the batches; of many, only the first and the last."""
    return ", ".join(batches) if len(batches) <= 4 else f"{batches[0]} to {batches[-1]}"
