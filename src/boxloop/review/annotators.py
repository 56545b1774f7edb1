"""What every annotator can do: turn proposals into corrections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from boxloop.core.types import Corrections, ImageRef, Proposals
from boxloop.params import ReviewParams
from boxloop.params.registry import ANNOTATORS


class Annotator(Protocol):
    """People, by what they submitted, or the simulation of one."""

    kind: str
    """Goes into the corrections file, and decides who may replace them."""

    def review(
        self, proposals: Proposals, images: Mapping[str, ImageRef], score_threshold: float
    ) -> Corrections:
        """Corrects the proposals of one batch.

        Args:
            proposals: every image of the batch, with boxes down to the score floor.
            images: the images of the batch by id.
            score_threshold: proposals that score less are not shown.

        Raises:
            ReviewPending: the batch is not finished; nothing was written and nothing is lost.
        """
        ...


def create(params: ReviewParams, truth: Path, submitted: Sequence[Corrections]) -> Annotator:
    """Return the annotator that ``review.annotator`` names.

    Args:
        params: the review section.
        truth: ``truth.json``, which only the simulated annotator opens.
        submitted: what people submitted, oldest first, which only people's annotator uses.
    """
    annotator: Annotator = ANNOTATORS.get(params.annotator)(params, truth, submitted)
    return annotator
