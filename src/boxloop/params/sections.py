"""The sections of params.yaml as frozen, strict objects: one per stage, unknown keys refused."""

from __future__ import annotations

import itertools
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from boxloop.params.account import AccountParams as AccountParams
from boxloop.params.account import CostsParams as CostsParams
from boxloop.params.dataset import DatasetParams as DatasetParams
from boxloop.params.dataset import DemoParams as DemoParams
from boxloop.params.first import FirstParams as FirstParams
from boxloop.params.registry import ANNOTATORS, DETECTORS, ORDERINGS
from boxloop.params.section import (
    MOST_ZOOM,
    BatchSize,
    Fraction,
    IoU,
    NonNegative,
    Pixels,
    PositiveFloat,
)
from boxloop.params.section import Positive as Positive
from boxloop.params.section import Section as Section
from boxloop.params.section import Seed as Seed
from boxloop.params.simnet import Halves as Halves
from boxloop.params.simnet import Optimizer as Optimizer
from boxloop.params.simnet import Schedule as Schedule
from boxloop.params.simnet import SimNetParams as SimNetParams
from boxloop.params.track import TrackParams as TrackParams
from boxloop.params.trials import TrialParams
from boxloop.params.words import EMPTY as EMPTY
from boxloop.params.words import FILE as FILE
from boxloop.params.words import GIVEN as GIVEN
from boxloop.params.words import LABELS as LABELS
from boxloop.params.words import ZERO_SHOT as ZERO_SHOT

Strategy = Annotated[str, AfterValidator(ORDERINGS.check)]
DetectorName = Annotated[str, AfterValidator(DETECTORS.check)]
AnnotatorName = Annotated[str, AfterValidator(ANNOTATORS.check)]
FITTED: Literal["fitted"] = "fitted"
"""The ``review.score_threshold`` that is chosen anew for every batch, and the ``train.zoom`` that
is chosen anew for every training."""


def _fitted_or_from(least: int, most: int) -> BeforeValidator:
    """Accept "fitted" and the numbers from ``least`` to ``most``."""

    def check(value: Any) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value != FITTED and not (number and least <= value <= most):
            raise ValueError(
                f"must be '{FITTED}' or a number from {least} to {most}, got {value!r:.200}"
            )
        return value

    return BeforeValidator(check)


ScoreThreshold = Annotated[float | Literal["fitted"], _fitted_or_from(0, 1)]
Zoom = Annotated[float | Literal["fitted"], _fitted_or_from(1, MOST_ZOOM)]
Linkage = Literal["single", "average", "complete"]
Augmentation = Literal["hflip", "vflip", "color", "zoom_out", "iou_crop"]

SIMNET = "simnet"
"""The ``features.weights`` that the stage of this name makes."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
"""What files and columns may be named after; two such names fit into that of one file."""


class FeaturesParams(Section):
    """How an image becomes a vector (paper, section 3.1).

    Attributes:
        network: any classification network of torchvision's, or of timm's; "timm:NAME" is always
            timm's.
        weights: "none", a name of the library's for this network (of torchvision's enums, or
            timm's tags), "DEFAULT", a local file, or "simnet".
        input_size: side in pixels of the square that images are squashed to.
    """

    network: str = "tf_efficientnet_lite0"
    weights: str = "in1k"
    input_size: Pixels = 224
    batch_size: BatchSize = 32
    seed: Seed = 0
    device: str = "auto"

    @property
    def of_imagenet(self) -> bool:
        """Whether the weights' name says that they are of ImageNet."""
        return self.weights.startswith("IMAGENET") or self.weights.endswith("in1k")


class OrderParams(Section):
    """How all images are ordered before any training (paper, section 3.2)."""

    strategy: Strategy = "dissimilar"
    seed: Seed = 0
    query_size: Positive = 3
    linkage: Linkage = "single"


class BatchParams(Section):
    """How the order is cut: by one of these, or into as many batches as there are iterations."""

    size: Positive | None = None
    count: Positive | None = None
    sizes: tuple[Positive, ...] | None = None

    @model_validator(mode="after")
    def _one_way_only(self) -> BatchParams:
        given = [n for n in ("size", "count", "sizes") if getattr(self, n) is not None]
        if len(given) > 1:
            raise ValueError(
                f"set one of size, count and sizes, not {' and '.join(given)}: null takes one away"
            )
        if self.sizes is not None and not self.sizes:
            raise ValueError("sizes must list at least one batch size")
        return self


class TrainParams(Section):
    """Training of a detector on everything labeled so far (paper, section 3.3).

    Attributes:
        detector: an architecture, which ``boxloop detectors`` lists, or ``module:FACTORY``.
        weights: "none", a name ("in1k" of the default detector; of torchvision's enums COCO_V1,
            IMAGENET1K_V2; DEFAULT), or a local file; for transformers a local folder or a name on
            the Hugging Face hub.
        warm_start: begin from the previous iteration's detector instead of ``weights``.
        input_size: (height, width) in pixels; None takes the architecture's own.
        zoom: how many times images are enlarged beyond the input size, so that small objects are
            found: trained on windows of that size, proposed for whole images; "fitted" makes the
            labeled boxes large enough.
        steps: optimiser steps; exactly one of ``steps`` and ``epochs``.
        epochs: passes over the labeled set.
        batch_size: images per step.
        optimizer: "adamw", or "sgd" with momentum 0.9.
        learning_rate: the largest one of the schedule.
        weight_decay: of weight matrices and kernels; biases and norm layers have none.
        schedule: of the learning rate.
        augment: random changes of the training images.
        held_out: fraction of the first batch for which a detector trained on the rest of it
            proposes first, to fit the review's score threshold by; 0 does without.
        overlap: in a simulation, the share of the last batch that was labeled when the training
            began, as with ``boxloop run --overlap``; None has it begin after all of the batch.
        seed: of the random weights, the order of the images and their changes, the images held out.
        device: "auto", "cpu", "cuda", "cuda:<index>" or "mps".
        workers: processes that read and augment images beside the training.
    """

    detector: DetectorName = "fcos_efficientnet_lite0"
    weights: str = "in1k"
    warm_start: bool = True
    input_size: tuple[Pixels, Pixels] | None = None
    # Left out where it is 1, so that digests of parameters stay as they were.
    zoom: Zoom = Field(default=1.0, exclude_if=lambda value: value == 1)
    steps: Positive | None = None
    epochs: Positive | None = None
    batch_size: BatchSize = 16
    optimizer: Optimizer = "adamw"
    learning_rate: PositiveFloat = 1e-3
    weight_decay: NonNegative = 1e-4
    schedule: Schedule = "one_cycle"
    augment: tuple[Augmentation, ...] = ("hflip",)
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.33
    overlap: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        default=None, exclude_if=lambda value: value is None
    )
    seed: Seed = 0
    device: str = "auto"
    workers: Annotated[int, Field(ge=0, le=128)] = 0

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> TrainParams:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("set exactly one of steps and epochs")
        return self


class ProposeParams(Section):
    """How boxes are offered for the next batch.

    Attributes:
        score_floor: boxes that score less are not stored.
        batch_size: images that the detector sees at once.
        device: "auto", "cpu", "cuda", "cuda:<index>" or "mps".
        neighbours: "fitted" mends the boxes of frames and near-duplicates by the labels of the
            nearest labeled image, where that pays on the batches before; "off" does not.
        crops: "fitted" gives boxes the classes of the labeled crops most like them, where the score
            threshold is fitted, too, and that pays on the batches before; "off" does not.
        first: a foundation model that offers boxes for the first batch; None has it drawn.
    """

    score_floor: Fraction = 0.05
    batch_size: BatchSize = 16
    device: str = "auto"
    # These are left out where they are not set, so that digests of parameters stay as they were.
    neighbours: Literal["off", "fitted"] = Field("off", exclude_if=lambda value: value == "off")
    crops: Literal["off", "fitted"] = Field("fitted", exclude_if=lambda value: value == "fitted")
    first: FirstParams | None = Field(default=None, exclude_if=lambda value: value is None)

    @model_validator(mode="after")
    def _first_are_stored(self) -> ProposeParams:
        if self.first is not None:
            self.first.require_stored(self.score_floor)
        return self


class ReviewParams(TrialParams):
    """Who corrects the proposals, and which of them are shown.

    Attributes:
        annotator: "simulated" compares with the truth; "fiftyone" asks people, in its App.
        score_threshold: proposals that score less are not shown; "fitted" is chosen for each batch
            by what it would have saved on the batches before it.
        iou_threshold: IoU from which the simulated annotator leaves a proposal as it is.
        idle_seconds: a pause of a person that is longer is cut off at this length.
        stop_gain: where the next batch is expected to raise AP at IoU 0.5 by less than this,
            ``boxloop status`` says that stopping is reasonable.
    """

    annotator: AnnotatorName = "simulated"
    score_threshold: ScoreThreshold = "fitted"
    iou_threshold: IoU = 0.5
    idle_seconds: PositiveFloat = 60.0
    stop_gain: Fraction | None = None

    @property
    def asks_people(self) -> bool:
        """Whether people review, in whatever tool."""
        return self.annotator != "simulated"

    @property
    def shown_from_in_words(self) -> str:
        """From which score on proposals are shown, in words."""
        if self.score_threshold == FITTED:
            return "a score fitted to each batch"
        return f"a score of {self.score_threshold:g}"


class ReportParams(Section):
    """The HTML page, and what metrics.json holds (``by_class``: numbers of each class, too)."""

    title: str = "boxloop campaign"
    sheet_images: Annotated[int, Field(gt=0, le=1000)] = 12
    by_class: bool = Field(False, exclude_if=lambda value: value is False)


class Iteration(Section):
    """One turn of the loop: the batch that carries its name is labeled.

    Attributes:
        previous: the turn before, or "empty".
        proposals: digest of ``proposals/TURN.json``, whose boxes are shown in place of the
            detector's; ``boxloop import-proposals`` writes both.
        labels: digests of ``proposals/labels-DIGEST.json``, labels whose boxes are shown as
            proposals from this turn on; ``boxloop import-labels --as proposed`` writes both.
    """

    previous: str
    proposals: str | None = None
    labels: tuple[str, ...] = ()


def chain(turns: int) -> dict[str, dict[str, str]]:
    """Return the section ``iterations`` of so many turns: b00, b01, ..."""
    names = [EMPTY, *(f"b{i:02d}" for i in range(turns))]
    return {name: {"previous": previous} for previous, name in itertools.pairwise(names)}


def _first_turn() -> dict[str, Iteration]:
    return {"b00": Iteration(previous=EMPTY)}


class Params(Section):
    """The whole of params.yaml."""

    dataset: DatasetParams = DatasetParams()
    simnet: SimNetParams = SimNetParams()
    features: FeaturesParams = FeaturesParams()
    order: OrderParams = OrderParams()
    batch: BatchParams = BatchParams()
    train: TrainParams = TrainParams(steps=150)
    propose: ProposeParams = ProposeParams()
    review: ReviewParams = ReviewParams()
    account: AccountParams = AccountParams()
    track: TrackParams = TrackParams()
    report: ReportParams = ReportParams()
    iterations: dict[str, Iteration] = Field(default_factory=_first_turn)

    @property
    def judged_ious(self) -> tuple[float, ...]:
        """IoU thresholds that score thresholds are fitted for: the review's, then the accounts'."""
        return tuple(dict.fromkeys((self.review.iou_threshold, *self.account.iou_thresholds)))

    @property
    def unused(self) -> set[str]:
        """Sections that the campaign's results do not depend on, because nothing is computed."""
        return set() if self.features.weights == SIMNET else {"simnet"}

    @model_validator(mode="after")
    def _a_chain(self) -> Params:
        if not self.iterations:
            raise ValueError("iterations must list at least one batch")
        previous = EMPTY
        for key, item in self.iterations.items():
            # Files, DVC stages and plot labels are named after it.
            if not NAME.fullmatch(key) or key in (EMPTY, GIVEN):
                raise ValueError(
                    f"iterations: '{key}' cannot name a batch: use up to 100 letters, digits,"
                    f" '_' and '-', and neither '{EMPTY}' nor '{GIVEN}'"
                )
            if item.previous != previous:
                raise ValueError(
                    f"iterations.{key}.previous must be '{previous}', the one above it,"
                    f" got '{item.previous}'"
                )
            previous = key
        return self

    @model_validator(mode="after")
    def _somebody_labels(self) -> Params:
        if self.dataset.labels != "ignored" and not self.review.asks_people:
            left = "label" if self.dataset.labels == "trusted" else "correct"
            raise ValueError(
                f"dataset.labels: {self.dataset.labels} is for people's campaigns: a simulated"
                f" annotator has the labels of all images, and nothing would be left to {left}; set"
                " review.annotator to fiftyone"
            )
        if self.train.overlap is not None and self.review.asks_people:
            raise ValueError(
                "train.overlap is for simulations of people who do not wait for a training: people"
                " who review type 'boxloop run --overlap', and need no parameter; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _shown_are_stored(self) -> Params:
        threshold, floor = self.review.score_threshold, self.propose.score_floor
        if threshold != FITTED and threshold < floor:
            raise ValueError(
                f"review.score_threshold is {threshold:g}, but propose.score_floor {floor:g} stores"
                " nothing that scores less: lower the floor, or raise the threshold"
            )
        return self
