"""Random changes of training images and their boxes (torchvision.transforms.v2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from boxloop.params import Augmentation

# Strengths follow torchvision's recipe for SSD (references/detection/presets.py, after Liu et al.
# 2016, section 2.2), the zoom limited to a factor of two: small detectors on small images lose
# objects that become four times smaller.
_TRANSFORMS: dict[Augmentation, Callable[[], torch.nn.Module]] = {
    "hflip": v2.RandomHorizontalFlip,
    "vflip": v2.RandomVerticalFlip,
    "color": lambda: v2.ColorJitter(brightness=0.2, contrast=0.3, saturation=0.3, hue=0.03),
    "zoom_out": lambda: v2.RandomZoomOut(fill=127, side_range=(1.0, 2.0), p=0.3),
    "iou_crop": lambda: v2.RandomIoUCrop(min_scale=0.4),
}
_ORDER: tuple[Augmentation, ...] = ("color", "zoom_out", "iou_crop", "hflip", "vflip")


class Augment:
    """Applies the chosen changes to one image.

    Every draw is seeded by itself, so that the result depends neither on the order in which
    worker processes happen to run nor on how many there are.
    """

    def __init__(self, names: Sequence[Augmentation], seed: int) -> None:
        """The changes in ``names``, always applied in the same order: color first, flips last."""
        self.steps = [(name, _TRANSFORMS[name]()) for name in _ORDER if name in names]
        self.seed = seed
        self._sanitize = v2.SanitizeBoundingBoxes(min_size=1.0, labels_getter=lambda s: s[2])

    def __call__(
        self, image: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor, draw: int
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One changed copy.

        Args:
            image: (3, h, w) uint8.
            boxes: (n, 4) float32, pixels.
            labels: (n,) int64.
            draw: number of the draw in the training.

        Returns:
            The three again. zoom_out and iou_crop change h and w; a crop drops boxes whose centre
            lies outside it.
        """
        if not self.steps:
            return image, boxes, labels
        height, width = image.shape[-2:]
        sample = (
            tv_tensors.Image(image),
            tv_tensors.BoundingBoxes(
                boxes,
                format=tv_tensors.BoundingBoxFormat.XYXY,
                canvas_size=(height, width),
            ),
            labels,
        )
        with torch.random.fork_rng(devices=[]):
            # Numbers of successive draws differ in few bits only; the factor spreads them.
            torch.manual_seed((self.seed * 1_000_003 + draw * 7_919 + 1) % 2**63)
            for name, step in self.steps:
                # Without boxes a crop has nothing to keep, and would try in vain for long.
                if name == "iou_crop" and len(sample[1]) == 0:
                    continue
                sample = step(sample)
        if any(name in ("zoom_out", "iou_crop") for name, _ in self.steps):
            sample = self._sanitize(sample)
        return (
            sample[0].as_subclass(torch.Tensor),
            sample[1].as_subclass(torch.Tensor),
            sample[2],
        )
