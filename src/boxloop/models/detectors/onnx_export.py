"""A detector of torchvision's family as an ONNX file, checked against torch.

Needs ``boxloop[onnx]``. The graph takes one image as the detector would resize it, ``image`` (3, h,
w) uint8 RGB, and returns ``boxes`` (n, 4) in its pixels, ``labels`` (n,) from 1 and ``scores``
(n,), suppressed and highest score first.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torchvision.models.detection.image_list import ImageList

from boxloop.core.types import Boxes, ImageRef
from boxloop.models.detectors.base import Detector
from boxloop.models.detectors.postprocess import to_boxes
from boxloop.models.detectors.torchvision_detector import TorchvisionDetector, choosing_stage
from boxloop.models.image_loader import read_resized

EXTRA = "boxloop[onnx]"

PIXELS, SCORE = 0.1, 1e-3
"""How far boxes and scores may be off from torch's."""

_LONG = 100
"""Boxes of an image from which on some may have been cut off for their number."""

_OPSET = 17
_OUTPUTS = ("boxes", "labels", "scores")


def export(
    detector: Detector, path: Path, images: Sequence[ImageRef], *, score_floor: float
) -> str | None:
    """Write a detector as ONNX, and compare what it finds on some images with what torch finds.

    Args:
        detector: in evaluation; left as it is.
        path: the file to write.
        images: to compare on, at least one.
        score_floor: boxes that score less are left out by the graph.

    Returns:
        None where the file is there and agrees; otherwise why there is none, in words.
    """
    if not isinstance(detector, TorchvisionDetector):
        return f"the architecture {detector.name} has no export"
    try:
        import onnx
        import onnxruntime
    except ImportError:
        return f"{EXTRA} is not installed"
    del onnx
    model = TorchvisionDetector(
        detector.name,
        detector.model,
        detector.classes,
        detector.size,
        detector.options,
        torch.device("cpu"),
        detector.initial_weights,
        detector.steps,
        detector.zoom,
        detector.crowd,
    )
    try:
        _write(model, path, read_resized(images[0], model.size.of(*_shape(images[0]))), score_floor)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        found = {image.id: run(session, model, image, score_floor) for image in images}
        wanted = model.propose(images, score_floor=score_floor, batch_size=1)
        off = next(
            (i for i, boxes in wanted.items() if not agree(boxes, found[i], score_floor)), None
        )
        reason = None if off is None else f"on image {off} it does not find what torch finds"
    except Exception as error:  # exporters raise nearly anything on what they do not know
        reason = f"{detector.name} cannot be exported: {' '.join(str(error).split())[:200]}"
    finally:
        detector.model.to(getattr(detector, "device", "cpu"))
    if reason is not None:
        path.unlink(missing_ok=True)
    return reason


def run(session: Any, detector: TorchvisionDetector, image: ImageRef, score_floor: float) -> Boxes:
    """Find boxes on one image by an onnxruntime session."""
    size = detector.size.of(*_shape(image))
    outputs: list[NDArray[Any]] = session.run(
        list(_OUTPUTS), {"image": read_resized(image, size).numpy()}
    )
    return to_boxes(
        *outputs,
        input_size=size,
        image_size=_shape(image),
        classes=detector.classes,
        score_floor=score_floor,
    )


def agree(a: Boxes, b: Boxes, score_floor: float) -> bool:
    """Tell whether two lists hold the same boxes; of near-equal scores the order may differ.

    Boxes that score within the tolerance of what is cut off may be missing in one of them: those
    at the floor and, in a list as long as detectors make them, those at its end.
    """
    return _covers(a, b, score_floor) and _covers(b, a, score_floor)


def _covers(a: Boxes, b: Boxes, score_floor: float) -> bool:
    """Tell whether each box of ``a`` that is not at the edge is in ``b``."""
    assert a.scores is not None
    assert b.scores is not None
    edge = SCORE + (float(a.scores.min()) if len(a) >= _LONG else score_floor)
    for i in np.flatnonzero(a.scores > edge):
        near = np.abs(b.xyxy - a.xyxy[i]).max(axis=1, initial=0.0) <= PIXELS
        near &= (b.labels == a.labels[i]) & (np.abs(b.scores - a.scores[i]) <= SCORE)
        if not near.any():
            return False
    return True


def _shape(image: ImageRef) -> tuple[int, int]:
    return image.height, image.width


class _Graph(nn.Module):
    """What is traced: one image in, three tensors out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        [found] = self.model([image])
        return tuple(found[name] for name in _OUTPUTS)


class _OneImage(nn.Module):
    """Normalises and pads one image, whose size stays open in the graph."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, normalize: Any) -> None:
        super().__init__()
        self.unit = int(normalize.size_divisible)
        for name, values in (("mean", normalize.image_mean), ("std", normalize.image_std)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1) * 255.0)

    def forward(self, images: list[torch.Tensor], targets: None = None) -> Any:
        [image] = images
        height, width = image.shape[-2:]
        pixels = (image.float() - self.mean) / self.std
        lower, right = self.canvas(height, width)
        padding = [0, right - width, 0, lower - height]
        batch = functional.pad(pixels, padding)[None] if self.unit > 1 else pixels[None]
        return ImageList(batch, [(height, width)]), targets

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of the batch, as this image is alone in it."""
        return height + (-height) % self.unit, width + (-width) % self.unit

    def postprocess(self, found: Any, *_: Any) -> Any:
        return found


def _write(
    detector: TorchvisionDetector, path: Path, image: torch.Tensor, score_floor: float
) -> None:
    open_axes: dict[str, dict[int, str]] = {name: {0: "n"} for name in _OUTPUTS}
    if detector.size.keep_aspect:
        open_axes["image"] = {1: "height", 2: "width"}
    choosing_stage(detector.model).score_thresh = score_floor
    with _one_image(detector.model), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what tracing makes constant, which is what is wanted
        torch.onnx.export(
            _Graph(detector.model).eval(),
            (image,),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=["image"],
            output_names=list(_OUTPUTS),
            dynamic_axes=open_axes,
        )


@contextmanager
def _one_image(model: Any) -> Iterator[None]:
    before, model.transform = model.transform, _OneImage(model.transform)
    try:
        yield
    finally:
        model.transform = before
        model.eval()
