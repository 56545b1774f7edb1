"""The step between images at input size and a torchvision detection model."""

from __future__ import annotations

import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform


class Prepared(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Normalises and batches images that have the model's input size already.

    It takes the place of a model's own transform, which would resize every image at every step,
    in floating point; here that was done once (``dataset.py``), and bytes are what travels to the
    device.
    """

    def __init__(self, mean: list[float], std: list[float], size_divisible: int = 1) -> None:
        """A transform for images normalised by ``mean`` and ``std`` of values in [0, 1].

        Args:
            mean: of red, green and blue.
            std: of red, green and blue.
            size_divisible: height and width of a batch are padded to multiples of it.
        """
        super().__init__(1, 1, mean, std, size_divisible=size_divisible)

    def forward(
        self,
        images: list[torch.Tensor],
        targets: list[dict[str, torch.Tensor]] | None = None,
    ) -> tuple[ImageList, list[dict[str, torch.Tensor]] | None]:
        """One normalised batch.

        Args:
            images: (3, h, w) uint8; sizes may differ.
            targets: returned as they are.

        Returns:
            (N, 3, H, W) float32 with the images in the upper left corners and zeros (the mean
            colour) elsewhere, with each image's (h, w); and the targets.
        """
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        height, width = (self._padded(max(side)) for side in zip(*sizes, strict=True))
        device = images[0].device
        mean = torch.tensor(self.image_mean, device=device).view(1, 3, 1, 1) * 255.0
        std = torch.tensor(self.image_std, device=device).view(1, 3, 1, 1) * 255.0
        if all(size == (height, width) for size in sizes):
            batch = (torch.stack(images).float() - mean) / std
        else:
            batch = torch.zeros(len(images), 3, height, width, device=device)
            for image, (h, w), place in zip(images, sizes, batch, strict=True):
                place[:, :h, :w] = (image.float() - mean[0]) / std[0]
        return ImageList(batch.contiguous(memory_format=torch.channels_last), sizes), targets

    def _padded(self, side: int) -> int:
        unit = int(self.size_divisible)
        return -(-side // unit) * unit
