"""Detectors of the library transformers, trained and used like torchvision's."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from boxloop.errors import ArtifactError, ParamsError, WeightsError
from boxloop.models import devices, weights
from boxloop.models.checkpoint import (
    DetectorCheckpoint,
    read_detector,
    require_sides,
    write_detector,
)
from boxloop.models.detectors.base import Description
from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.torchvision_detector import TorchvisionDetector
from boxloop.models.detectors.transformers import loading
from boxloop.models.detectors.transformers.model import ImagesToBoxes
from boxloop.models.detectors.transformers.settings import read_size
from boxloop.models.detectors.zoom import check_zoom
from boxloop.params import TrainParams
from boxloop.params.section import MOST_PIXELS

_NAME = "transformers"
_SMALLEST = 32
_USUAL_SIDE = 640
_USUAL_UNIT = 32
_LARGEST_UNIT = 1024
"""Pixels that no network's sides have to be multiples of, by which they are rounded up."""


class TransformersDetector(TorchvisionDetector):
    """A network of transformers with the names of its classes; its checkpoint is safetensors."""

    def save(self, path: Path, *, labeled_digest: str) -> None:
        """Write a checkpoint; see :meth:`boxloop.models.detectors.base.Detector.save`."""
        write_detector(path, self.checkpoint(labeled_digest), safetensors=True)

    def checkpoint(self, labeled_digest: str) -> DetectorCheckpoint:
        """Return what is needed to use the detector again, by the library's own names."""
        model: Any = self.model
        return replace(
            super().checkpoint(labeled_digest),
            options={
                "config": model.network.config.to_json_string(),
                "processor": model.processor.to_json_string(),
            },
            state=model.network.state_dict(),
        )


@dataclass(frozen=True)
class TransformersFactory:
    """Makes detectors of whatever architecture ``train.weights`` names."""

    name: str = _NAME

    def describe(self, classes: int) -> Description:
        """Describe it; parameters and size depend on the weights."""
        what = "any network of transformers (RT-DETR v2, D-FINE, ...), named by its weights"
        missing = importlib.util.find_spec(_NAME) is None
        return Description(
            f"{what}; needs pip install 'boxloop[transformers]'" if missing else what
        )

    def check(self, params: TrainParams) -> None:
        """Look through ``params``; see :meth:`boxloop.models.detectors.base.DetectorFactory`."""
        loading.library()
        if not Path(params.weights).expanduser().is_file():
            folder = loading.local_folder(params.weights)
            if folder is not None:
                loading.open_plan(loading.read_plan(folder), ("object",), params.weights)
        sides = _large_enough(params.input_size) or (_USUAL_SIDE, _USUAL_SIDE)
        check_zoom(params.zoom, InputSize(sides, keep_aspect=False), self.name)

    def create(self, params: TrainParams, classes: tuple[str, ...]) -> TransformersDetector:
        """Create one; see :meth:`boxloop.models.detectors.base.DetectorFactory.create`."""
        loading.library()
        device = devices.pick(params.device)
        file = Path(params.weights).expanduser()
        checkpoint = _own_checkpoint(file) if file.is_file() else None
        if checkpoint is None:
            folder = loading.find_folder(params.weights)
            plan = loading.read_plan(folder)
        else:
            plan = _plan(checkpoint)
        config, processor, same = loading.open_plan(plan, classes, params.weights)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(params.seed)
            if checkpoint is None:
                network, fitted = loading.load_network(folder, config)
            else:
                network, fitted = loading.load_state(config, checkpoint.state, params.weights)
            left = set(fitted.left)
            if not same:
                left |= set(loading.renew_heads(network, config))
        fitted = weights.LoadedTensors(fitted.total, tuple(left))
        return TransformersDetector(
            name=self.name,
            model=ImagesToBoxes(network, processor),
            classes=classes,
            size=_size(params.input_size, config, processor),
            options={},
            device=device,
            initial_weights=f"{params.weights} ({fitted} of the detector)",
        )

    def restore(
        self, checkpoint: DetectorCheckpoint, device: str, params: TrainParams | None = None
    ) -> TransformersDetector:
        """Restore one; see :meth:`boxloop.models.detectors.base.DetectorFactory.restore`."""
        chosen = devices.pick(device)
        loading.library()
        try:
            plan = _plan(checkpoint)
            config, processor, _ = loading.open_plan(plan, checkpoint.classes, checkpoint.origin)
            network = loading.build(config)
            network.load_state_dict(checkpoint.state)
            require_sides(checkpoint, _SMALLEST, MOST_PIXELS + _LARGEST_UNIT)
        except (RuntimeError, KeyError, TypeError, ValueError, WeightsError):
            raise ArtifactError(
                f"{checkpoint.origin} does not hold a network of transformers for"
                f" {len(checkpoint.classes)} classes: train it anew"
            ) from None
        sides, origin = checkpoint.input_size, checkpoint.initial_weights
        if params is not None:
            sides = params.input_size or sides
            origin = f"{Path(checkpoint.origin).name} ({checkpoint.steps} steps before)"
        return TransformersDetector(
            name=self.name,
            model=ImagesToBoxes(network, processor),
            classes=checkpoint.classes,
            size=_size(sides, config, processor),
            options={},
            device=chosen,
            initial_weights=origin,
            steps=checkpoint.steps,
        )


def _own_checkpoint(path: Path) -> DetectorCheckpoint:
    """Read a checkpoint of boxloop's that ``train.weights`` names."""
    try:
        checkpoint = read_detector(path)
    except ArtifactError:
        if path.is_file():
            weights.refuse_empty(path)
        raise WeightsError(
            f"train.weights: {path} is neither a folder of transformers nor a checkpoint of boxloop"
        ) from None
    if checkpoint.architecture != _NAME:
        raise WeightsError(f"train.weights: {path} is a {checkpoint.architecture}, not a {_NAME}")
    return checkpoint


def _plan(checkpoint: DetectorCheckpoint) -> loading.Plan:
    """Read what a checkpoint's network is built from.

    Raises:
        WeightsError: it does not tell.
    """
    try:
        config, processor = (
            json.loads(str(checkpoint.options[n])) for n in ("config", "processor")
        )
    except (KeyError, ValueError):
        config = processor = None
    if not isinstance(config, dict) or not isinstance(processor, dict):
        raise WeightsError(
            f"train.weights: {checkpoint.origin} does not say what its network is built from: train"
            " it anew, or choose other weights"
        )
    return loading.Plan(config, processor)


def _large_enough(sides: tuple[int, int] | None) -> tuple[int, int] | None:
    if sides is not None and min(sides) < _SMALLEST:
        raise ParamsError(f"train.input_size must be at least {_SMALLEST} pixels, got {sides}")
    return sides


def _size(sides: tuple[int, int] | None, config: Any, processor: Any) -> InputSize:
    """Return the size that images are squashed to, rounded up to what the network divides by."""
    sides = _large_enough(sides)
    if sides is None:
        sides = read_size(processor) or (_USUAL_SIDE, _USUAL_SIDE)
    body = getattr(config, "backbone_config", None) or config
    unit = _USUAL_UNIT
    if isinstance(patch := getattr(body, "patch_size", None), int):
        unit = patch * max(1, getattr(body, "num_windows", 1))
    height, width = (-(-side // unit) * unit for side in sides)
    return InputSize((height, width), keep_aspect=False)


FACTORY = TransformersFactory()
