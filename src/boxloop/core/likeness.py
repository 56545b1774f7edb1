"""Estimate how much of a batch is like the images that its score threshold is judged by.

Before the second batch that is a part of the first one, held out by chance. Where the order follows
clips or likeness, the second batch shows what the first one did not, and the scores of its
proposals tell: images like those judged get scores like theirs. If a share s of the batch is like
them, the batch has, per image, at least s times as many proposals above every score; so s is at
most the smallest ratio of the two counts (the proportion of a mixture: Blanchard, Lee and Scott
2010, Semi-Supervised Novelty Detection, JMLR 11). Counts vary, so the limit taken is the upper end
of each ratio's one-sided 95 % interval: what chance explains changes nothing. Nor do the highest
scores, which two detectors give the more differently, the further they are trained apart, also on
images that are alike: scores are compared down from where a good part of the proposals is shown.

What is shown beyond that share is taken to be wrong: a class or a place that was never labeled. A
limit of a few percent is no estimate: most often nothing is alike there, and none is taken to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from boxloop.core.evidence import Evidence
from boxloop.core.types import NOTHING, BoxesByImage, Floats
from boxloop.core.workload import CostModel

Z = 1.645
"""Standard errors from a ratio's logarithm to the upper end of its one-sided 95 % interval."""

USUAL = 0.5
"""The score from which a good part of the proposals is shown."""

PART = 0.5
"""Scores count that show at least this part of what those judged show from ``USUAL`` on."""

ALIKE = 0.25
"""A share below this counts as none."""

FEWEST = 2
"""Images from which on a count's variance can be told."""


@dataclass(frozen=True)
class Likeness:
    """How much of a batch is like the images judged, and what is shown of the rest.

    Attributes:
        batch: what the evidence of the images judged is called.
        share: at most this fraction of the batch is like them; 1 where the scores do not tell the
            two apart.
        beyond: (S,) proposals that are shown of what is not ``alike`` at each score of the
            evidence, for as many images as were judged; 0 at the last, which shows none.
    """

    batch: str
    share: float
    beyond: Floats

    @property
    def alike(self) -> float:
        """The fraction of the batch that is taken to be like the images judged."""
        return _alike(self.share)

    def costs(self, judged: Floats, model: CostModel) -> Floats:
        """Return (S,) what as many images of the batch are expected to cost, in units of T.

        Args:
            judged: (S,) what the images judged would have cost; the last draws every box, as it is
                needed for the rest at any score.
            model: what a removal costs.
        """
        expected: Floats = self.alike * judged + (1 - self.alike) * judged[-1]
        return expected + model.removed * self.beyond

    def in_words(self) -> str:
        """Say how much is alike; nothing where that is all."""
        most = f"{100 * self.share:.0f} %"
        return "" if self.share == 1 else f" (at most {most} of this batch is like it)"


def likeness(evidence: Evidence, judged: BoxesByImage, coming: BoxesByImage) -> Likeness:
    """Compare the scores of a batch's proposals with those of the images judged.

    Args:
        evidence: of the images judged.
        judged: their proposals, of a detector that had not seen them.
        coming: the batch's proposals, of a detector that was trained alike.
    """
    before, after = (_shown(boxes, evidence.scores) for boxes in (judged, coming))
    share = 1.0
    if min(len(before), len(after)) >= FEWEST:
        usual = int(np.argmin(np.abs(np.array(evidence.scores) - USUAL)))
        shown = before.sum(axis=0)
        told = (shown > 0) & (shown >= PART * shown[usual])
        ratios = _upper_ratios(before[:, told], after[:, told])
        share = min(share, float(ratios.min(initial=1.0)))
    if share == 1.0:
        return Likeness(evidence.batch, share, np.zeros(len(evidence.scores)))
    more = after.mean(axis=0) - _alike(share) * before.mean(axis=0)
    beyond = len(before) * np.maximum(more, 0)
    return Likeness(evidence.batch, share, beyond)


def _alike(share: float) -> float:
    return share if share >= ALIKE else 0.0


def _shown(boxes: BoxesByImage, scores: Sequence[float]) -> Floats:
    """Return (images, S) how many proposals are shown at each score; none at ``NOTHING``."""
    floors = np.array([np.inf if score >= NOTHING else score for score in scores])
    scored = [np.empty(0) if found.scores is None else found.scores for found in boxes.values()]
    rows = [(found[:, None] >= floors).sum(axis=0) for found in scored]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(floors))


def _upper_ratios(before: Floats, after: Floats) -> Floats:
    """Return the upper ends of the ratios of means; something was shown before at each score.

    By the delta method on the logarithm. Proposals of one image come together, so that counts vary
    more than a Poisson count: by the larger factor of the two, as where little is shown its own
    tells nothing. Half a box is added to a count that may be zero.
    """
    totals, later = before.sum(axis=0), after.sum(axis=0) + 0.5
    spread = np.maximum(_spread(before), _spread(after))
    errors = np.sqrt(spread * (1 / totals + 1 / later))
    ratios: Floats = (later / len(after)) / (totals / len(before)) * np.exp(Z * errors)
    return ratios


def _spread(shown: Floats) -> Floats:
    """Return the variance of each column over its mean, at least 1."""
    mean = shown.mean(axis=0)
    found: Floats = np.maximum(shown.var(axis=0, ddof=1) / np.where(mean > 0, mean, 1), 1)
    return found
