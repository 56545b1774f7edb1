"""What a torchvision detection model finds in a batch of images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import nn

from boxloop.models import devices

Found = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Boxes (n, 4) in pixels of the input, labels (n,) and scores (n,) of one image."""


def detect(model: nn.Module, images: Sequence[torch.Tensor], device: torch.device) -> list[Found]:
    """Return what a model in evaluation finds in each of (3, h, w) uint8 images.

    Images of one shape are computed together. None is padded to the shape of another, so what is
    found in it depends on no other image.
    """
    unit = int(getattr(getattr(model, "transform", None), "size_divisible", 1))
    groups = defaultdict(list)
    for place, image in enumerate(images):
        groups[tuple(-(-side // unit) for side in image.shape[-2:])].append(place)
    found: dict[int, Found] = {}
    for places in groups.values():
        outputs = detect_together(model, [images[place] for place in places], device)
        found |= dict(zip(places, outputs, strict=True))
    return [found[place] for place in range(len(images))]


def detect_together(
    model: nn.Module, images: Sequence[torch.Tensor], device: torch.device
) -> list[Found]:
    """Return the same of one batch, in which images are padded to the largest."""
    precision = devices.precision(device)
    with (
        torch.inference_mode(),
        torch.autocast(device.type, precision, enabled=precision is not None),
    ):
        found = model([image.to(device, non_blocking=True) for image in images])
    counts = [len(each["boxes"]) for each in found]
    # Together, because a GPU is waited for at each array that is fetched.
    boxes, labels, scores = (
        torch.split(torch.cat([each[name] for each in found]).cpu(), counts)
        for name in ("boxes", "labels", "scores")
    )
    return [
        (b.numpy(), n.numpy(), s.float().numpy())
        for b, n, s in zip(boxes, labels, scores, strict=True)
    ]
