"""The detector that proposes nothing, for an empty labeled set.

It lets the first batch go through the same stages as every other one. Its checkpoint needs torch
only, so that the first iteration does not pay for the import of torchvision.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.models.checkpoint import DetectorCheckpoint, write_detector
from boxloop.models.detectors.base import Description
from boxloop.models.progress import ItemProgress, StepProgress
from boxloop.params import EMPTY, TrainParams


class EmptyDetector:
    """A detector that proposes nothing."""

    name = EMPTY

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes

    def train(
        self,
        labeled: LabeledSet,
        images: Sequence[ImageRef],
        params: TrainParams,
        progress: StepProgress | None = None,
    ) -> TrainingLog:
        """Learn nothing."""
        return TrainingLog.of_nothing()

    def propose(
        self,
        images: Sequence[ImageRef],
        *,
        score_floor: float,
        batch_size: int,
        progress: ItemProgress | None = None,
    ) -> dict[str, Boxes]:
        """Return no boxes for every image."""
        return {image.id: Boxes.empty(scored=True) for image in images}

    def save(self, path: Path, *, labeled_digest: str) -> None:
        """Write a checkpoint without tensors."""
        checkpoint = DetectorCheckpoint(EMPTY, self.classes, (0, 0), labeled_digest, "none", 0)
        write_detector(path, checkpoint)


class EmptyFactory:
    """Makes :class:`EmptyDetector`."""

    name = EMPTY

    def describe(self, classes: int) -> Description:
        """Describe it."""
        return Description("proposes nothing; what the first batch is labeled with")

    def create(self, params: TrainParams, classes: tuple[str, ...]) -> EmptyDetector:
        """Create a detector for ``classes``."""
        return EmptyDetector(classes)

    def restore(
        self, checkpoint: DetectorCheckpoint, device: str, params: TrainParams | None = None
    ) -> EmptyDetector:
        """Restore the detector that was saved."""
        return EmptyDetector(checkpoint.classes)


FACTORY = EmptyFactory()
