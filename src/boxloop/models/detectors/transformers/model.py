"""A network of transformers behind the interface of torchvision's detection models."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from boxloop.models.detectors.transformers.settings import read_normalisation

_CLASS_LOSSES = ("loss_ce", "loss_vfl", "loss_mal", "loss_focal")


class ImagesToBoxes(nn.Module):
    """Takes images and targets as torchvision's models do.

    Attributes:
        network: any that the library's ``AutoModelForObjectDetection`` makes.
        score_thresh: detections that score less are dropped.
        unused_parameters: true, because without a box the queries that learn to denoise boxes
            have nothing to do.
    """

    unused_parameters = True

    _mean: torch.Tensor
    _std: torch.Tensor

    def __init__(self, network: nn.Module, processor: Any) -> None:
        """Take over a network, and the image processor that came with it."""
        super().__init__()
        self.network = network
        self.processor = processor
        self.score_thresh = 0.0
        means, deviations, full = read_normalisation(processor)
        for name, values in (("_mean", means), ("_std", deviations)):
            tensor = full * torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(
        self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]] | None = None
    ) -> Any:
        """Return losses by name in training mode, else detections per image.

        Args:
            images: (3, h, w) uint8, all of one size.
            targets: with ``boxes`` (n, 4) in pixels and ``labels`` (n,); 1 is the first class.
        """
        # The library pairs and decodes boxes in whatever type its network answers in, and boxes in
        # bfloat16 are off by pixels: so it computes in float32.
        with torch.autocast(images[0].device.type, enabled=False):
            return self._in_float32(images, targets)

    def _in_float32(
        self, images: list[torch.Tensor], targets: list[dict[str, torch.Tensor]] | None
    ) -> Any:
        pixels = (torch.stack(images).float() - self._mean) / self._std
        height, width = pixels.shape[-2:]
        if not self.training:
            found = self.processor.post_process_object_detection(
                self.network(pixel_values=pixels),
                threshold=self.score_thresh,
                target_sizes=[(height, width)] * len(images),
            )
            return [{**one, "labels": one["labels"] + 1} for one in found]
        if targets is None:
            raise ValueError("training needs targets")
        labels = [
            {
                "class_labels": target["labels"] - 1,
                "boxes": _relative(target["boxes"], height, width),
            }
            for target in targets
        ]
        try:
            output = self.network(pixel_values=pixels, labels=labels)
        except ValueError:  # the library pairs boxes with targets, and NaN with none
            if self._is_sound(pixels):
                raise
            return {name: pixels.new_tensor(torch.nan) for name in ("classification", "boxes")}
        return self._two_parts(output.loss, output.loss_dict)

    def _is_sound(self, pixels: torch.Tensor) -> bool:
        """Say whether what the network answers is finite."""
        with torch.no_grad():
            output = self.network(pixel_values=pixels)
        return bool(output.logits.isfinite().all() and output.pred_boxes.isfinite().all())

    def _two_parts(
        self, total: torch.Tensor, parts: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Split the network's own loss, of up to forty parts, into that of classes and the rest."""
        weight = getattr(self.network.config, "class_loss_coefficient", 1.0)
        classes = total.new_zeros(())
        for name, value in parts.items():
            if name.startswith(_CLASS_LOSSES):
                # The parts of some networks are weighted already; these have other names.
                classes = classes + value * (weight if name.startswith("loss_ce") else 1.0)
        return {"classification": classes, "boxes": total - classes}


def _relative(boxes: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return boxes (n, 4) in pixels as centre and size, in fractions of the image."""
    upper, lower = boxes[:, :2], boxes[:, 2:]
    size = boxes.new_tensor([width, height])
    return torch.cat([(upper + lower) / 2 / size, (lower - upper) / size], dim=1)
