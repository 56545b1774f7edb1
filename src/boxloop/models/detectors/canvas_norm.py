"""Group norm that normalises each image of a padded batch as if it were alone.

Images of different shapes are padded to one shape. The statistics of group norm (Wu and He 2018,
arXiv:1803.08494) over a whole map would count the padding, so what is found in an image would
depend on the shapes of those beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count

import torch
from torch import nn

Masks = Mapping[tuple[int, int], torch.Tensor]
"""Where each image's own canvas is, (N, 1, h, w) of 0 and 1, by the (h, w) of a feature map."""


class CanvasGroupNorm(nn.GroupNorm):
    """Group norm whose statistics are those of each image's own canvas; see :func:`norms_within`.

    Without masks it is ``torch.nn.GroupNorm``, with whose state dict it is compatible.
    """

    masks: Masks = {}  # noqa: RUF012 - never changed in place

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise (N, C, h, w); what lies outside a canvas is shifted and scaled alike."""
        mask = self.masks.get((input.shape[-2], input.shape[-1]))
        if mask is None:
            return super().forward(input)
        n, _, height, width = input.shape
        x = input.float().reshape(n, self.num_groups, -1, height, width)  # (N, G, C / G, h, w)
        inside = mask[:, None].float()  # also within autocast, as torch's own
        number = inside.sum((2, 3, 4), keepdim=True) * x.shape[2]
        mean = (x * inside).sum((2, 3, 4), keepdim=True) / number
        centred = x - mean
        variance = (centred.square() * inside).sum((2, 3, 4), keepdim=True) / number
        normal: torch.Tensor = (centred * (variance + self.eps).rsqrt()).flatten(1, 2)
        return normal * self.weight[:, None, None] + self.bias[:, None, None]


def canvas_masks(
    canvases: Sequence[tuple[int, int]], maps: Sequence[torch.Tensor], batch: tuple[int, int]
) -> Masks:
    """Return where each image's canvas is on each feature map; nothing where all fill the batch.

    Args:
        canvases: (height, width) in pixels of each image's canvas, in the upper left corner.
        maps: (N, C, h, w) feature maps of the batch, whose strides are powers of two.
        batch: (height, width) of it in pixels.
    """
    if all(canvas == batch for canvas in canvases):
        return {}
    masks = {}
    for features in maps:
        size = (features.shape[-2], features.shape[-1])
        # The smallest that fits: larger ones do only where one position is left of a side.
        stride = next(s for s in (2**k for k in count()) if size == _positions(batch, s))
        mask = features.new_zeros(len(canvases), 1, *size)
        for own, canvas in zip(mask, canvases, strict=True):
            height, width = _positions(canvas, stride)
            own[:, :height, :width] = 1
        masks[size] = mask
    return masks


def _positions(canvas: tuple[int, int], stride: int) -> tuple[int, int]:
    """Return the (h, w) of a canvas's feature map."""
    return -(-canvas[0] // stride), -(-canvas[1] // stride)


@contextmanager
def norms_within(module: nn.Module, masks: Masks) -> Iterator[None]:
    """Have the norms of a module count only what is inside the masks, as long as it lasts."""
    norms = [norm for norm in module.modules() if isinstance(norm, CanvasGroupNorm)]
    for norm in norms:
        norm.masks = masks
    try:
        yield
    finally:
        for norm in norms:
            norm.masks = {}
