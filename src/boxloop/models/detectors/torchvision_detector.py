"""Detectors built on torchvision's detection models."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torchvision.models import WeightsEnum

from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.errors import ArtifactError, ParamsError, WeightsError
from boxloop.models import devices, weights
from boxloop.models.checkpoint import (
    DetectorCheckpoint,
    is_detector,
    parse_detector,
    read_option,
    require_sides,
    write_detector,
)
from boxloop.models.detectors.base import Description
from boxloop.models.detectors.dataset import InputSize, LabeledSamples
from boxloop.models.detectors.detecting import detect
from boxloop.models.detectors.postprocess import to_boxes
from boxloop.models.detectors.training import train_model
from boxloop.models.detectors.transforms import Augment
from boxloop.models.detectors.zoom import check_zoom, choose_zoom
from boxloop.models.image_loader import resized_batches
from boxloop.models.progress import ItemProgress, StepProgress
from boxloop.params import TrainParams
from boxloop.params.section import MOST_PIXELS, MOST_ZOOM

Options = Mapping[str, bool | float | str]
"""How a model is built, beyond its classes and input size; part of the checkpoint."""

Source = Literal["scratch", "backbone", "detection"]
"""What initial weights cover: nothing, the classification network, or the whole detector."""


_ZOOM, _CROWD = "zoom", "crowd"
"""Among the options of a checkpoint, where they are not as usual: how many times larger its input
size is than what its model was trained on, and the most boxes that it saw in an image."""

_MOST_BOXES = 1000
"""Boxes that are offered for an image at most, however many it saw."""

_CANDIDATES = 6
"""Positions that may propose a box, for each that is offered. Up to nine of them find the same."""

_REGIONS = 2
"""Regions that a second stage looks at, for each box that is offered."""


@dataclass
class TorchvisionDetector:
    """A torchvision detection model with the names of its classes.

    Attributes:
        name: the registered name of the architecture.
        model: takes (3, h, w) uint8 images of ``size``; moved to ``device``.
        classes: names of the model's outputs 1, 2, ...
        size: of the model's input.
        options: that ``model`` was built with.
        device: to compute on.
        initial_weights: where the model's weights came from, in words.
        steps: that they have been trained for.
        zoom: how many times larger ``size`` is than what the model was trained on.
        crowd: the most boxes that it saw in an image; it offers twice as many where that is more
            than usual. torchvision's 100 are made for COCO, whose images have 7.
    """

    name: str
    model: nn.Module
    classes: tuple[str, ...]
    size: InputSize
    options: Options
    device: torch.device
    initial_weights: str
    steps: int = 0
    zoom: float = 1.0
    crowd: int = 0

    def __post_init__(self) -> None:
        """Move the model to the device."""
        stage = choosing_stage(self.model)
        limits = ("detections_per_img", "topk_candidates")
        self._usual = [int(getattr(stage, name, 0)) for name in limits]
        self._usual_regions = [limit["testing"] for limit in _region_limits(self.model)]
        self._offer_enough()
        # On two cores this memory layout trains SSDlite a fifth faster; on GPUs it helps, too.
        self.model.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    @property
    def masks_classes(self) -> bool:
        """Whether its losses leave out classes that an image is not complete for."""
        return bool(getattr(self.model, "masks_classes", False))

    def train(
        self,
        labeled: LabeledSet,
        images: Sequence[ImageRef],
        params: TrainParams,
        progress: StepProgress | None = None,
    ) -> TrainingLog:
        """Train in place; see :meth:`boxloop.models.detectors.base.Detector.train`."""
        begin = time.perf_counter()
        augment = Augment(params.augment, params.seed)
        window = self.size.zoomed(1 / self.zoom)
        self.zoom = choose_zoom(params.zoom, labeled, images, window, self.name)
        self.size = window.zoomed(self.zoom)
        self.crowd = max(map(len, labeled.boxes.values()), default=0)
        self._offer_enough()
        samples = LabeledSamples(labeled, images, self.classes, window, augment, zoom=self.zoom)
        log = train_model(
            self.model,
            samples,
            params,
            self.device,
            # Batch norm cannot be trained on the 1x1 feature map of a single image.
            min_batch=1 if self.options.get("frozen_norm") else 2,
            preparing_seconds=time.perf_counter() - begin,
            initial_weights=self.initial_weights,
            progress=progress,
        )
        self.steps += log.steps
        return replace(log, zoom=self.zoom)

    def propose(
        self,
        images: Sequence[ImageRef],
        *,
        score_floor: float,
        batch_size: int,
        progress: ItemProgress | None = None,
    ) -> dict[str, Boxes]:
        """Propose boxes; see :meth:`boxloop.models.detectors.base.Detector.propose`."""
        choosing_stage(self.model).score_thresh = score_floor
        self.model.eval()
        # Of as many pixels; a divisor, so that a share of several processes has the same batches.
        most = max(1, int(batch_size / self.zoom**2))
        batch_size = max(n for n in range(1, most + 1) if batch_size % n == 0)
        batches = resized_batches(images, self._input_size, batch_size, self.device)
        result: dict[str, Boxes] = {}
        for inputs in batches:
            batch = images[len(result) : len(result) + len(inputs)]
            found = detect(self.model, inputs, self.device)
            for image, pixels, output in zip(batch, inputs, found, strict=True):
                result[image.id] = to_boxes(
                    *output,
                    input_size=(pixels.shape[-2], pixels.shape[-1]),
                    image_size=(image.height, image.width),
                    classes=self.classes,
                    score_floor=score_floor,
                )
            if progress is not None:
                progress(len(result), len(images))
        return result

    def save(self, path: Path, *, labeled_digest: str) -> None:
        """Write a checkpoint; see :meth:`boxloop.models.detectors.base.Detector.save`."""
        write_detector(path, self.checkpoint(labeled_digest))

    def checkpoint(self, labeled_digest: str) -> DetectorCheckpoint:
        """Return what is needed to use the detector again."""
        return DetectorCheckpoint(
            architecture=self.name,
            classes=self.classes,
            input_size=self.size.sides,
            labeled_digest=labeled_digest,
            initial_weights=self.initial_weights,
            steps=self.steps,
            options=self._all_options(),
            state=self.model.state_dict(),
        )

    def _offer_enough(self) -> None:
        """Have the model offer twice as many boxes as it ever saw in an image."""
        stage, (usual, candidates) = choosing_stage(self.model), self._usual
        most = max(usual, min(2 * self.crowd, _MOST_BOXES))
        self._crowded = 0 < usual < most  # with transformers the number of queries is the limit
        if usual:
            stage.detections_per_img = most
        if candidates:
            enough = _CANDIDATES * most if self._crowded else 0
            stage.topk_candidates = max(candidates, enough)
        limits = zip(_region_limits(self.model), self._usual_regions, strict=True)
        for (limit, regions), each in zip(limits, (_CANDIDATES, _REGIONS), strict=False):
            limit["testing"] = max(regions, each * most if self._crowded else 0)

    def _all_options(self) -> Options:
        """Return the options that the model was built with, and what is unusual about it."""
        zoom = {_ZOOM: self.zoom} if self.zoom != 1 else {}
        crowd = {_CROWD: float(self.crowd)} if self._crowded else {}
        return {**self.options, **zoom, **crowd}

    def _input_size(self, image: ImageRef) -> tuple[int, int]:
        return self.size.of(image.height, image.width)


@dataclass(frozen=True)
class TorchvisionFactory:
    """Makes the detectors of one architecture.

    Attributes:
        name: the registered name.
        size: of the input, unless ``train.input_size`` gives other sides.
        backbone: the classification network, with random weights, for these options.
        assemble: the detector around a backbone, for a number of outputs (background included), a
            (height, width) and options.
        pretrained: torchvision's weights, by what they cover.
        options: by what the initial weights cover; none unless given.
        bundled: reads weights of the backbone that are installed, by name.
        summary: what it is, in a few words.
    """

    name: str
    size: InputSize
    backbone: Callable[[Options], nn.Module]
    assemble: Callable[[nn.Module, int, tuple[int, int], Options], nn.Module]
    pretrained: Mapping[Source, Iterable[WeightsEnum]]
    options: Mapping[Source, Options] = field(default_factory=dict)
    bundled: Mapping[str, Callable[[], Mapping[str, torch.Tensor]]] = field(default_factory=dict)
    summary: str = ""

    def describe(self, classes: int) -> Description:
        """Describe it; see :meth:`boxloop.models.detectors.base.DetectorFactory`."""
        options = self.options.get("scratch", {})
        with torch.device("meta"):  # shapes without numbers
            model = self.assemble(self.backbone(options), classes + 1, self.size.sides, options)
        return Description(
            summary=self.summary,
            parameters=sum(p.numel() for p in model.parameters()),
            input_size=self.size.sides,
            weights={
                **{name: True for name in self.bundled if name != "DEFAULT"},
                **{
                    name: weights.cached_file(member.url).exists()
                    for name, (_, member) in self._known().items()
                    if name == member.name
                },
            },
        )

    def create(self, params: TrainParams, classes: tuple[str, ...]) -> TorchvisionDetector:
        """Create a detector; see :meth:`boxloop.models.detectors.base.DetectorFactory.create`."""
        device = devices.pick(params.device)
        size = self._size(params)
        source, options, tensors = self._initial(params.weights)
        origin = params.weights
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(params.seed)
            backbone = self.backbone(options)
            if source == "backbone":
                fitted = weights.load_matching(backbone, tensors, params.weights)
                origin = f"{params.weights} ({fitted} of the backbone)"
            model = self.assemble(backbone, len(classes) + 1, size.sides, options)
        if source == "detection":
            fitted = weights.load_matching(model, tensors, params.weights)
            origin = f"{params.weights} ({fitted} of the detector)"
        return TorchvisionDetector(self.name, model, classes, size, options, device, origin)

    def restore(
        self, checkpoint: DetectorCheckpoint, device: str, params: TrainParams | None = None
    ) -> TorchvisionDetector:
        """Restore one; see :meth:`boxloop.models.detectors.base.DetectorFactory.restore`."""
        zoom = read_option(checkpoint, _ZOOM, 1, MOST_ZOOM)
        crowd = read_option(checkpoint, _CROWD, 0, 2**53)
        size = replace(self.size, sides=checkpoint.input_size)
        options, origin = _built_from(checkpoint), checkpoint.initial_weights
        if params is not None:
            size = self._size(params).zoomed(zoom)
            origin = f"{Path(checkpoint.origin).name} ({checkpoint.steps} steps before)"
        chosen = devices.pick(device)
        try:
            backbone = self.backbone(options)
            outputs = len(checkpoint.classes) + 1
            model = self.assemble(backbone, outputs, size.sides, options)
            model.load_state_dict(checkpoint.state)
        except (RuntimeError, KeyError, TypeError, ValueError):
            raise ArtifactError(
                f"{checkpoint.origin} does not hold the tensors of a {self.name} for"
                f" {len(checkpoint.classes)} classes: train it anew"
            ) from None
        require_sides(checkpoint, 1, round(MOST_PIXELS * zoom))
        classes, steps = checkpoint.classes, checkpoint.steps
        return TorchvisionDetector(
            self.name, model, classes, size, options, chosen, origin, steps, zoom, int(crowd)
        )

    def check(self, params: TrainParams) -> None:
        """Look through ``params``; see :meth:`boxloop.models.detectors.base.DetectorFactory`."""
        self._check_weights(params.weights)
        check_zoom(params.zoom, self._size(params), self.name)

    def _check_weights(self, name: str) -> None:
        """Refuse weights that are neither known by name nor a file; nothing is downloaded."""
        known = {*self._known(), *self.bundled}
        if name != weights.NONE and name not in known and not Path(name).exists():
            none = f" (torchvision has no detection weights for {self.name})"
            extra = none if self.pretrained and "detection" not in self.pretrained else ""
            raise WeightsError(
                f"train.weights: '{name}' is neither a file nor weights of {self.name}{extra};"
                f" known: {weights.NONE}, {', '.join(sorted(known))}"
            )

    def _size(self, params: TrainParams) -> InputSize:
        sides = params.input_size or self.size.sides
        if self.size.keep_aspect and sides[0] > sides[1]:
            raise ParamsError(
                f"train.input_size of {self.name} is (shorter side, longer side), got {sides}"
            )
        if min(sides) < 32:
            raise ParamsError(f"train.input_size must be at least 32 pixels, got {sides}")
        return replace(self.size, sides=sides)

    def _known(self) -> dict[str, tuple[Source, WeightsEnum]]:
        """Return weights by name, with what they cover.

        DEFAULT is torchvision's choice: of a whole detector where it has one, else of the backbone.
        """
        known: dict[str, tuple[Source, WeightsEnum]] = {}
        sources: tuple[Source, ...] = ("backbone", "detection")
        for source in sources:
            members = {m.name: (source, m) for m in self.pretrained.get(source, ())}
            for _, member in members.values():
                best = type(member).DEFAULT.name
                known["DEFAULT"] = members.get(best, (source, member))
            known |= members
        return known

    def _initial(self, name: str) -> tuple[Source, Options, Mapping[str, torch.Tensor]]:
        """Load weights by name, with what they cover and the options they need."""
        self._check_weights(name)
        if name == weights.NONE:
            return "scratch", self.options.get("scratch", {}), {}
        if name in self.bundled:
            return "backbone", self.options.get("backbone", {}), self.bundled[name]()
        known = self._known()
        if name in known:
            source, member = known[name]
            return source, self.options.get(source, {}), weights.download(name, member.url)
        path = Path(name)
        content = weights.read_weights_file(path)
        if is_detector(content):
            checkpoint = parse_detector(path, content)
            if checkpoint.architecture != self.name:
                raise WeightsError(
                    f"train.weights: {path} is a {checkpoint.architecture}, not a {self.name}"
                )
            return "detection", _built_from(checkpoint), checkpoint.state
        tensors = weights.state_dict_of(content, path)
        # In every detection model of torchvision the classification network is named "backbone".
        whole = any(key.startswith("backbone.") for key in tensors)
        source = "detection" if whole else "backbone"
        return source, self.options.get(source, {}), tensors


def _built_from(checkpoint: DetectorCheckpoint) -> Options:
    """Return the options that the model was built with."""
    own = (_ZOOM, _CROWD)
    return {name: value for name, value in checkpoint.options.items() if name not in own}


def choosing_stage(model: nn.Module) -> Any:
    """Return the part of a model that keeps which boxes are offered: of two stages the second."""
    return getattr(model, "roi_heads", model)


def _region_limits(model: nn.Module) -> list[dict[str, int]]:
    """Return how many regions of a map, and of all, a first stage keeps; nothing without one."""
    first: Any = getattr(model, "rpn", None)
    return [] if first is None else [first._pre_nms_top_n, first._post_nms_top_n]
