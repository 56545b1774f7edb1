"""Annotators: who corrects the proposals. One file each, made here by their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boxloop import storage
from boxloop.annotators.base import Annotator
from boxloop.annotators.people import People
from boxloop.annotators.simulated import SimulatedAnnotator
from boxloop.params import ReviewParams
from boxloop.types import SIMULATED, Corrections

__all__ = ["Annotator", "create"]


def create(params: ReviewParams, truth: Path, submissions: Sequence[Corrections]) -> Annotator:
    """The annotator that ``review.annotator`` names.

    Args:
        params: the review section.
        truth: ``truth.json``, which only the simulated annotator opens.
        submissions: what people submitted, oldest first, which only people's annotator uses.
    """
    if params.annotator == SIMULATED:
        return SimulatedAnnotator(storage.read_truth(truth), params.iou_threshold)
    return People(params.annotator, submissions)
