"""Annotators: who corrects the proposals. One file each, made here by their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boxloop.campaign import artifacts
from boxloop.core.types import SIMULATED, Corrections
from boxloop.params import ReviewParams
from boxloop.review.annotators import Annotator
from boxloop.review.people import People
from boxloop.review.simulated import SimulatedAnnotator

__all__ = ["Annotator", "create"]


def create(params: ReviewParams, truth: Path, submissions: Sequence[Corrections]) -> Annotator:
    """The annotator that ``review.annotator`` names.

    Args:
        params: the review section.
        truth: ``truth.json``, which only the simulated annotator opens.
        submissions: what people submitted, oldest first, which only people's annotator uses.
    """
    if params.annotator == SIMULATED:
        return SimulatedAnnotator(artifacts.read_truth(truth), params.iou_threshold)
    return People(params.annotator, submissions)
