"""Transforms of images: random changes for training, and normalization into batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torchvision import tv_tensors
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.transforms import v2

from boxloop.params import Augmentation

# Strengths follow torchvision's recipe for SSD (references/detection/presets.py, after Liu et al.
# 2016, section 2.2), the zoom limited to a factor of two: small detectors on small images lose
# objects that become four times smaller.
_TRANSFORMS: dict[Augmentation, Callable[[], torch.nn.Module]] = {
    "color": lambda: v2.ColorJitter(brightness=0.2, contrast=0.3, saturation=0.3, hue=0.03),
    "zoom_out": lambda: v2.RandomZoomOut(fill=127, side_range=(1.0, 2.0), p=0.3),
    "iou_crop": lambda: v2.RandomIoUCrop(min_scale=0.4),
    "hflip": v2.RandomHorizontalFlip,
    "vflip": v2.RandomVerticalFlip,
}
"""In the order in which they are applied."""


_AROUND_A_BOX = 0.75
"""Share of the windows that hold a given box of their image."""

_OF_WINDOWS = 0x5BD1E995
"""Sets the numbers that windows are drawn by apart from those of the changes."""


class Augment:
    """Change one image and its boxes at random (torchvision.transforms.v2).

    Every draw is seeded by itself, so that the result depends neither on the order in which
    worker processes happen to run nor on how many there are.
    """

    def __init__(self, names: Sequence[Augmentation], seed: int) -> None:
        """Choose the changes; color comes first, flips come last."""
        self.steps = [(name, make()) for name, make in _TRANSFORMS.items() if name in names]
        self.seed = seed
        self.crops = "iou_crop" in names
        self._sanitize = v2.SanitizeBoundingBoxes(min_size=1.0, labels_getter=lambda s: s[2])

    def __call__(
        self, image: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor, draw: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return a changed copy.

        Args:
            image: (3, h, w) uint8.
            boxes: (n, 4) float32, pixels.
            labels: (n,) int64.
            draw: number of the draw in the training.

        Returns:
            Image, boxes and labels. zoom_out and iou_crop change h and w; a crop drops boxes whose
            centre lies outside it.
        """
        if not self.steps:
            return image, boxes, labels
        canvas = (image.shape[-2], image.shape[-1])
        boxes = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=canvas)
        sample = (tv_tensors.Image(image), boxes, labels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_mixed(self.seed, draw))
            for name, step in self.steps:
                # Without boxes a crop has nothing to keep, and would try in vain for long. Of a
                # pixel or two it would keep none, and divide by them.
                if name == "iou_crop" and (len(sample[1]) == 0 or min(sample[0].shape[-2:]) < 3):
                    continue
                sample = step(sample)
        if any(name in ("zoom_out", "iou_crop") for name, _ in self.steps):
            sample = self._sanitize(sample)
        image, boxes, labels = sample
        return image.as_subclass(torch.Tensor), boxes.as_subclass(torch.Tensor), labels


def cut_window(
    image: torch.Tensor,
    boxes: torch.Tensor,
    labels: torch.Tensor,
    sides: tuple[int, int],
    *,
    seed: int,
    draw: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Cut a window out of an image at random: three of four times around one of its boxes.

    Where objects are few, most windows would otherwise hold none; without the fourth, what is far
    from all objects would never be seen.

    Args:
        image: (3, h, w) uint8.
        boxes: (n, 4) float32, pixels.
        labels: (n,) int64.
        sides: (height, width) of the window; it is not larger than the image.
        seed: of the training.
        draw: number of the draw in the training.

    Returns:
        The window with its boxes, cut at its border, and their labels. Boxes whose middle lies
        outside are left out.
    """
    full = (image.shape[-2], image.shape[-1])
    window = [min(side, whole) for side, whole in zip(sides, full, strict=True)]
    # By the same numbers, what lies high in its window would be flipped, and what lies low not.
    generator = torch.Generator().manual_seed(_mixed(seed, draw) ^ _OF_WINDOWS)
    places = torch.rand(2, generator=generator).tolist()  # of the window, in [0, 1)
    chosen = float(torch.rand(1, generator=generator))
    top, left = (
        place * (whole - side) for place, side, whole in zip(places, window, full, strict=True)
    )
    if len(boxes) and chosen < _AROUND_A_BOX:
        x1, y1, x2, y2 = boxes[int(chosen / _AROUND_A_BOX * len(boxes))].tolist()
        top = (y1 + y2) / 2 - places[0] * window[0]
        left = (x1 + x2) / 2 - places[1] * window[1]
    top, left = (
        round(min(max(0.0, corner), whole - side))
        for corner, side, whole in zip((top, left), window, full, strict=True)
    )
    moved = boxes - torch.tensor([left, top, left, top], dtype=boxes.dtype)
    middle = (moved[:, :2] + moved[:, 2:]) / 2
    ends = torch.tensor([window[1], window[0]], dtype=boxes.dtype)
    inside = ((middle >= 0) & (middle < ends)).all(dim=1)
    cut = torch.minimum(moved[inside].clamp(min=0), ends.repeat(2))
    pixels = image[:, top : top + window[0], left : left + window[1]]
    return pixels.contiguous(), cut, labels[inside]


def _mixed(seed: int, draw: int) -> int:
    # Numbers of successive draws differ in few bits only; the factor spreads them.
    return (seed * 1_000_003 + draw * 7_919 + 1) % 2**63


class NormalizeBatch(GeneralizedRCNNTransform):  # type: ignore[misc]
    """Normalise images that have the model's input size already, and stack them.

    It takes the place of a torchvision model's own transform, which would resize every image at
    every step, in floating point; here that was done once (``dataset.py``), and bytes are what
    travels to the device.
    """

    def __init__(self, mean: list[float], std: list[float], size_divisible: int = 1) -> None:
        """Set mean and deviation of colours in [0, 1], and what divides the sides of a batch."""
        super().__init__(1, 1, mean, std, size_divisible=size_divisible)

    def forward(
        self,
        images: list[torch.Tensor],
        targets: list[dict[str, torch.Tensor]] | None = None,
    ) -> tuple[ImageList, list[dict[str, torch.Tensor]] | None]:
        """Make one normalised batch of (3, h, w) uint8 images, whose sizes may differ.

        Returns:
            (N, 3, H, W) float32 with the images in the upper left corners and zeros (the mean
            colour) elsewhere, with each image's (h, w); and the targets as they are.
        """
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        height, width = self.canvas(*map(max, zip(*sizes, strict=True)))
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

    def canvas(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of the batch that an image of this size would be alone."""
        unit = int(self.size_divisible)
        return -(-height // unit) * unit, -(-width // unit) * unit
