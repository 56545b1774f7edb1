"""The interface of detectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.models.progress import ItemProgress, StepProgress
from boxloop.params import TrainParams

if TYPE_CHECKING:
    from boxloop.models.checkpoint import DetectorCheckpoint


@dataclass(frozen=True)
class Description:
    """What ``boxloop detectors`` tells about an architecture.

    Attributes:
        summary: what it is, in a few words.
        parameters: numbers in the model; None where that depends on the weights.
        input_size: (height, width), or (shorter, longer side), in pixels, unless
            ``train.input_size`` says otherwise; None where that depends on the weights.
        weights: names that ``train.weights`` takes, and whether their file is at hand.
    """

    summary: str
    parameters: int | None = None
    input_size: tuple[int, int] | None = None
    weights: Mapping[str, bool] = field(default_factory=dict)


class Proposer(Protocol):
    """A model that proposes boxes.

    Attributes:
        name: the registered name of the architecture, which is also written to its checkpoint;
            :func:`boxloop.models.detectors.create` sets the one that ``train.detector`` has.
        classes: names of the classes it knows, in the dataset's order.
    """

    name: str
    classes: tuple[str, ...]

    def propose(
        self,
        images: Sequence[ImageRef],
        *,
        score_floor: float,
        batch_size: int,
        progress: ItemProgress | None = None,
    ) -> dict[str, Boxes]:
        """Propose boxes for every image.

        Args:
            images: to propose boxes for.
            score_floor: boxes that score less are dropped.
            batch_size: images that the model sees at once.
            progress: called after every batch.

        Returns:
            By image id, in the order of ``images``: scored boxes with ids p0, p1, ..., highest
            score first, inside the image, coordinates rounded to 1/100 pixel and scores to 1e-5,
            none below ``score_floor``.
        """
        ...


class Detector(Proposer, Protocol):
    """A model that is trained on a labeled set and proposes boxes."""

    def train(
        self,
        labeled: LabeledSet,
        images: Sequence[ImageRef],
        params: TrainParams,
        progress: StepProgress | None = None,
    ) -> TrainingLog:
        """Train on ``labeled``, starting from the weights that the detector has now.

        Args:
            labeled: at least one image; images without a box take part as background. Only where
                the detector has a true ``masks_classes`` can it be incomplete: no class may then be
                taken for absent from an image that is not complete for it.
            images: covers every image of ``labeled``; others are ignored.
            params: steps or epochs, batch size, optimiser, augmentation, seed, workers.
            progress: called after every step.

        Raises:
            ArtifactError: ``labeled`` has an image that ``images`` lacks, or an unknown class.
            DivergedError: the loss became NaN or infinite.
        """
        ...

    def save(self, path: Path, *, labeled_digest: str) -> None:
        """Write a checkpoint that :func:`boxloop.models.detectors.load` reads.

        ``labeled_digest`` is that of the labeled set that the detector was trained on.
        """
        ...


class DetectorFactory(Protocol):
    """Makes the detectors of one architecture.

    It may also have ``describe(classes)``, which returns a :class:`Description` of a model for so
    many classes, and returns it quickly: nothing is downloaded or initialised for it. And
    ``check(params)``, which is called before anybody labels the first batch, and raises as
    ``create`` and ``train`` would whatever can be told without downloading or training.
    """

    name: str

    def create(self, params: TrainParams, classes: tuple[str, ...]) -> Detector:
        """Create a detector with the weights, input size and device that ``params`` names.

        Raises:
            ParamsError: the input size or the device does not fit.
            WeightsError: the weights cannot be had or do not fit.
        """
        ...

    def restore(
        self, checkpoint: DetectorCheckpoint, device: str, params: TrainParams | None = None
    ) -> Detector:
        """Restore the detector that was saved as ``checkpoint``.

        Args:
            checkpoint: of this architecture.
            device: "auto", "cpu", "cuda", "cuda:<index>" or "mps".
            params: where training goes on from the checkpoint; its input size then takes effect.

        Raises:
            ArtifactError: the checkpoint does not fit the architecture.
        """
        ...
