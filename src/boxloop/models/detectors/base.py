"""What every detector can do, and what it tells about its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.params import TrainParams

if TYPE_CHECKING:
    from boxloop.models.checkpoint import Checkpoint

TrainProgress = Callable[[int, int, float], None]
"""Called after a step with the steps done, the steps in all and the loss."""

ProposeProgress = Callable[[int, int], None]
"""Called after a batch with the images done and the images in all."""


@dataclass(frozen=True)
class TrainingLog:
    """How one training went.

    Attributes:
        steps: optimiser steps.
        epochs: passes over the labeled images; a fraction where ``steps`` was set.
        images: labeled images, those without a box included.
        boxes: their boxes.
        batch_size: images per step.
        losses: rows of ``step`` (1-based), ``total``, each component of the loss under its own
            name, ``learning_rate`` and ``time`` (seconds since the first step began). A row is the
            mean over the steps since the row before it; at most 1,000 rows.
        seconds: of all steps, and of measuring batch norm anew after them.
        images_per_second: ``steps * batch_size / seconds``.
        wait_fraction: share of ``seconds`` in which the model waited for its next images.
        preparing_seconds: time to decode and resize the images before the first step.
        parameters: numbers in the model that training could change.
        device: where it was computed, for example "cpu" or "cuda:0".
        initial_weights: where the training started from, in words.
    """

    steps: int
    epochs: float
    images: int
    boxes: int
    batch_size: int
    losses: tuple[Mapping[str, float], ...]
    seconds: float
    images_per_second: float
    wait_fraction: float
    preparing_seconds: float
    parameters: int
    device: str
    initial_weights: str

    def to_json(self) -> dict[str, Any]:
        """As plain dicts, lists, strings and numbers."""
        content = asdict(self)
        content["losses"] = [dict(row) for row in self.losses]
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrainingLog:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: a field is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if set(content) != names:
            odd = ", ".join(sorted(names ^ set(content)))
            raise ValueError(f"a training log has missing or unknown fields: {odd}")
        return cls(**{**content, "losses": tuple(content["losses"])})

    @classmethod
    def of_nothing(cls) -> TrainingLog:
        """The log of a training on no images."""
        return cls(0, 0.0, 0, 0, 0, (), 0.0, 0.0, 0.0, 0.0, 0, "cpu", "none")


class Detector(Protocol):
    """Learns from a labeled set and proposes boxes.

    Attributes:
        name: the registered name of the architecture.
        classes: names of the classes it knows, in the dataset's order.
    """

    name: str
    classes: tuple[str, ...]

    def train(
        self,
        labeled: LabeledSet,
        images: Sequence[ImageRef],
        params: TrainParams,
        progress: TrainProgress | None = None,
    ) -> TrainingLog:
        """Trains on ``labeled``, starting from the weights that the detector has now.

        Args:
            labeled: at least one image; images without a box take part as background.
            images: covers every image of ``labeled``; others are ignored.
            params: steps or epochs, batch size, optimiser, augmentation, seed, workers.
            progress: told after every step.

        Raises:
            ArtifactError: ``labeled`` has an image that ``images`` lacks, or an unknown class.
            DivergedError: the loss became NaN or infinite.
        """
        ...

    def propose(
        self,
        images: Sequence[ImageRef],
        *,
        score_floor: float,
        batch_size: int,
        progress: ProposeProgress | None = None,
    ) -> dict[str, Boxes]:
        """Proposes boxes for every one of ``images``, in their order.

        Returns:
            By image id: scored boxes with ids p0, p1, ..., highest score first, inside the image,
            coordinates rounded to 1/100 pixel and scores to 1e-5, none below ``score_floor``.
        """
        ...

    def save(self, path: Path, *, labeled_digest: str) -> None:
        """Writes a checkpoint that :func:`boxloop.models.detectors.load` reads.

        Args:
            path: the ``.pt`` file.
            labeled_digest: digest of the labeled set that the detector was trained on.
        """
        ...


class DetectorFactory(Protocol):
    """Makes the detectors of one architecture: what a module in the registry offers."""

    name: str

    def create(self, params: TrainParams, classes: tuple[str, ...]) -> Detector:
        """A detector with the initial weights that ``params.weights`` names, yet to be trained.

        Raises:
            ParamsError: the input size or the device does not fit.
            WeightsError: the weights cannot be had or do not fit.
        """
        ...

    def restore(
        self, checkpoint: Checkpoint, device: str, params: TrainParams | None = None
    ) -> Detector:
        """The detector that was saved as ``checkpoint``.

        Args:
            checkpoint: of this architecture.
            device: "auto", "cpu", "cuda" or "cuda:<index>".
            params: where training goes on from the checkpoint; its input size then takes effect.

        Raises:
            ArtifactError: the checkpoint does not fit the architecture.
        """
        ...
