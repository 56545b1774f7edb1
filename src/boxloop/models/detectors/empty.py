"""The detector that proposes nothing, for an empty labeled set.

It lets the first batch go through the same stages as every other one. Its checkpoint is a line of
JSON, so that neither the first turn nor the empty labeled set before it pays for importing torch.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from boxloop.core.names import require_classes
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.errors import ArtifactError
from boxloop.files import (
    DETECTOR,
    EMPTY_DETECTOR,
    MOST_TEXT,
    open_regular,
    read_json,
    write_text,
)
from boxloop.models.detectors.base import Description
from boxloop.models.progress import ItemProgress, StepProgress
from boxloop.params import EMPTY, TrainParams

if TYPE_CHECKING:
    from boxloop.models.checkpoint import DetectorCheckpoint


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
        content = {"architecture": EMPTY, "classes": self.classes, "labeled_digest": labeled_digest}
        write_text(path, json.dumps(content, ensure_ascii=False) + "\n", DETECTOR)


def read_empty(path: Path) -> EmptyDetector | None:
    """Read a checkpoint of the empty detector; None where it is another one's, or missing.

    Raises:
        ArtifactError: it is damaged.
    """
    try:
        with open_regular(path) as file:
            if file.read(len(EMPTY_DETECTOR)) != EMPTY_DETECTOR:
                return None
    except OSError:
        return None
    content = read_json(path, MOST_TEXT)
    classes = content.get("classes")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ArtifactError(f"{path}, at classes: must be a list of names: train it anew")
    if content.keys() != {"architecture", "classes", "labeled_digest"}:
        raise ArtifactError(f"{path} has other keys than boxloop writes: train it anew")
    if not isinstance(content["labeled_digest"], str):
        raise ArtifactError(f"{path}, at labeled_digest: must be a text: train it anew")
    try:
        require_classes(classes)
    except ValueError as error:
        raise ArtifactError(f"{path}, at classes: {error}: train it anew") from None
    return EmptyDetector(tuple(classes))


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
