"""People, as a stage of the pipeline sees them: what they have submitted so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from boxloop.campaign import artifacts, missed, screening, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Corrections, ImageRef, Proposals
from boxloop.params import ReviewParams
from boxloop.review.annotators import Annotator


class People:
    """Hands back what people submitted, whatever tool they used.

    They work in sessions of their own, for hours; the stage finds their submissions in the journal
    or says that it has to wait.
    """

    def __init__(self, kind: str, submitted: Sequence[Corrections]) -> None:
        """Takes the submissions of any batches, oldest first, made with a kind of tool."""
        self.kind = kind
        self.submissions = submitted

    def review(
        self, proposals: Proposals, images: Mapping[str, ImageRef], score_threshold: float
    ) -> Corrections:
        """The corrections of one batch; see :class:`~boxloop.review.annotators.Annotator`.

        An image keeps the proposals and the threshold that it was reviewed with.

        Raises:
            ReviewPending: some images of the batch are not submitted yet, or errors that were
                planted are in the labels still.
            ValueError: the batch has no image.
        """
        return missed.require_none(submissions.assemble(self.submissions, proposals))


def read_submissions(
    paths: CampaignPaths, batches: Iterable[str], *, all_: bool = False
) -> list[Corrections]:
    """Read people's submissions that count today: the journal, and what DVC restored of batches.

    With ``all_``, those that do not count as well; see :mod:`boxloop.campaign.screening`.
    """
    restored = map(paths.corrections, batches)
    if not paths.images.exists():  # nothing to hold them against yet
        return submissions.read(*paths.journals)
    images = artifacts.read_images(paths.images)
    return screening.read(paths.journals, restored, images, all_=all_).submissions


def submission_notes(
    paths: CampaignPaths, batches: Iterable[str], offered: Proposals
) -> tuple[str, ...]:
    """Return what a reviewer of a batch should know about submissions of its images."""
    images = artifacts.read_images(paths.images)
    restored = map(paths.corrections, batches)
    return screening.read(paths.journals, restored, images, offered).notes


def create(params: ReviewParams, truth: Path, submitted: Sequence[Corrections]) -> Annotator:
    """Return people's annotator; see :func:`boxloop.review.annotators.create`."""
    return People(params.annotator, submitted)
