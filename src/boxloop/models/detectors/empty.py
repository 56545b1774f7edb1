"""The detector that proposes nothing: what training on an empty labeled set gives.

It lets the first batch go through the same stages as every other one. Its checkpoint needs torch
only, so that the first iteration does not pay for the import of torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.models import checkpoint as checkpoints
from boxloop.models.detectors.base import ProposeProgress, TrainingLog, TrainProgress
from boxloop.params import EMPTY, TrainParams


class EmptyDetector:
    """Proposes nothing."""

    name = EMPTY

    def __init__(self, classes: tuple[str, ...]) -> None:
        """A detector for ``classes``, none of which it will ever find."""
        self.classes = classes

    def train(
        self,
        labeled: LabeledSet,
        images: Sequence[ImageRef],
        params: TrainParams,
        progress: TrainProgress | None = None,
    ) -> TrainingLog:
        """Learns nothing."""
        return TrainingLog.of_nothing()

    def propose(
        self,
        images: Sequence[ImageRef],
        *,
        score_floor: float,
        batch_size: int,
        progress: ProposeProgress | None = None,
    ) -> dict[str, Boxes]:
        """No boxes for every image."""
        return {image.id: Boxes.empty(scored=True) for image in images}

    def save(self, path: Path, *, labeled_digest: str) -> None:
        """Writes a checkpoint without tensors."""
        checkpoints.write(
            path,
            checkpoints.Checkpoint(
                architecture=self.name,
                classes=self.classes,
                input_size=(0, 0),
                labeled_digest=labeled_digest,
                initial_weights="none",
                steps=0,
            ),
        )


class EmptyFactory:
    """Makes :class:`EmptyDetector`."""

    name = EMPTY

    def create(self, params: TrainParams, classes: tuple[str, ...]) -> EmptyDetector:
        """A detector for ``classes``."""
        return EmptyDetector(classes)

    def restore(
        self,
        checkpoint: checkpoints.Checkpoint,
        device: str,
        params: TrainParams | None = None,
    ) -> EmptyDetector:
        """The detector that was saved."""
        return EmptyDetector(checkpoint.classes)


FACTORY = EmptyFactory()
