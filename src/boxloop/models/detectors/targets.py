"""The targets of a batch's images as tensors, so that all images are matched at once."""

from __future__ import annotations

import torch
from torch.nn import functional


def pad_targets(
    targets: list[dict[str, torch.Tensor]], like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Stack the targets of N images; n is the largest number of boxes, and at least 1.

    Args:
        targets: with ``boxes`` (n, 4) and ``labels`` (n,).
        like: a tensor of the type and on the device that the boxes are to have.

    Returns:
        Boxes (N, n, 4), labels (N, n), and which of them are real (N, n): the others are zeros.
    """
    most = max(1, *(len(target["boxes"]) for target in targets))
    boxes = like.new_zeros(len(targets), most, 4)
    labels = torch.zeros(len(targets), most, dtype=torch.int64, device=like.device)
    real = torch.zeros(len(targets), most, dtype=torch.bool, device=like.device)
    for row, target in enumerate(targets):
        count = len(target["boxes"])
        boxes[row, :count], labels[row, :count] = target["boxes"], target["labels"]
        real[row, :count] = True
    return boxes, labels, real


def ignored_classes(targets: list[dict[str, torch.Tensor]]) -> torch.Tensor | None:
    """Return which classes N images are not complete for, (N, classes + 1) bool.

    None where all are complete, and the loss is that of any other detector. Else a class must get
    no gradient from an image, but where it has a box.
    """
    if "ignored" not in targets[0]:
        return None
    return torch.stack([target["ignored"] for target in targets])


def mask_softmax(logits: torch.Tensor, labels: torch.Tensor, ignored: torch.Tensor) -> torch.Tensor:
    """Take ignored classes out of a softmax, but where one is the right answer.

    Args:
        logits: (..., classes + 1).
        labels: (...) the right answers.
        ignored: bool, of a shape that expands to that of ``logits``.
    """
    right = functional.one_hot(labels, logits.shape[-1]).bool()
    return logits.masked_fill(ignored & ~right, -torch.inf)
