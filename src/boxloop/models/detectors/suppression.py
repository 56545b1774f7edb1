"""Suppression of overlapping detections, for all images of a batch at once."""

from __future__ import annotations

from typing import Any

import torch
from torchvision.ops import batched_nms


def detections(
    boxes: torch.Tensor,
    labels: torch.Tensor,
    scores: torch.Tensor,
    image: torch.Tensor,
    sizes: list[tuple[int, int]],
    *,
    nms_threshold: float,
    most: int,
) -> list[dict[str, torch.Tensor]]:
    """Choose the detections of each image from the candidates of a batch.

    Args:
        boxes: (n, 4) candidates; they are cut at the border of their image.
        labels: (n,) their classes.
        scores: (n,) their scores.
        image: (n,) the index of the image that each belongs to.
        sizes: (height, width) of the images.
        nms_threshold: IoU from which a box suppresses another one of its class.
        most: detections per image.

    Returns:
        By image, ``boxes``, ``labels`` and ``scores``, the highest first, as torchvision's models
        return them.
    """
    borders = _borders(sizes).to(boxes)
    boxes = torch.minimum(boxes.clamp(min=0), borders[image])
    # One suppression for all: boxes of another image or class are of another group.
    classes = labels.max() + 1 if len(labels) else 1
    kept = _suppress(boxes, scores, image * classes + labels, nms_threshold)
    if len(sizes) == 1:
        few = kept[:most]
        return [{"boxes": boxes[few], "labels": labels[few], "scores": scores[few]}]
    # By image, and in each the highest score first: a stable sort leaves that order as it is.
    kept = kept[image[kept].argsort(stable=True)]
    counts = torch.bincount(image[kept], minlength=len(sizes)).tolist()
    parts = (torch.split(values[kept], counts) for values in (boxes, labels, scores))
    return [
        {"boxes": b[:most], "labels": c[:most], "scores": s[:most]}
        for b, c, s in zip(*parts, strict=True)
    ]


def _suppress(
    boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, threshold: float
) -> torch.Tensor:
    """Return the indices of the boxes that are kept, the highest score first."""
    tracing: Any = torch.jit
    kept: torch.Tensor
    if tracing.is_tracing():  # of one image alone, and ONNX's operator takes float32 alone
        kept = batched_nms(boxes, scores, groups, threshold)
        return kept
    # Groups are kept apart by shifting them: by 1 million pixels for the last of 16 images of 800
    # pixels with 80 classes, where float32 goes in steps of a sixteenth of a pixel.
    device = "cpu" if boxes.device.type == "mps" else boxes.device  # which has no float64
    exact = (values.to(device).double() for values in (boxes, scores))
    kept = batched_nms(*exact, groups.to(device), threshold)
    return kept.to(boxes.device)


def _borders(sizes: list[tuple[int, int]]) -> torch.Tensor:
    """Return (N, 4) the width and height of each image, twice."""
    tracing: Any = torch.jit
    if tracing.is_tracing():  # for ONNX, sizes are tensors that must stay in the graph
        sides = [torch.as_tensor(side) for h, w in sizes for side in (w, h, w, h)]
        return torch.stack(sides).view(-1, 4)
    return torch.tensor([(w, h, w, h) for h, w in sizes])
