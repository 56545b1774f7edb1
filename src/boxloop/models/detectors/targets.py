"""The boxes of a batch's images as one tensor, so that all images are matched at once."""

from __future__ import annotations

import torch


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
