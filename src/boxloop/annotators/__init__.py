"""Annotators: who corrects the proposals. One file each, made here by their names."""

from __future__ import annotations

from pathlib import Path

from boxloop import storage
from boxloop.annotators.base import Annotator
from boxloop.annotators.simulated import SimulatedAnnotator
from boxloop.params import ReviewParams

__all__ = ["Annotator", "create"]


def create(params: ReviewParams, truth: Path) -> Annotator:
    """The annotator that ``review.annotator`` names.

    Args:
        params: the review section.
        truth: ``truth.json``, which only the simulated annotator opens.
    """
    return SimulatedAnnotator(storage.read_truth(truth), params.iou_threshold)
