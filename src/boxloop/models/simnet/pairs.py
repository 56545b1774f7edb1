"""Pairs of image halves, their labels and their batches."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from boxloop.params import Halves


def half_size(size: int, halves: Halves) -> tuple[int, int]:
    """Return (height, width) of half a square of ``size`` pixels."""
    return (size, size // 2) if halves == "left_right" else (size // 2, size)


def split_halves(images: torch.Tensor, halves: Halves) -> torch.Tensor:
    """Split every image into its two halves.

    The halves have one size: the middle line of an odd number of pixels belongs to neither.

    Args:
        images: (B, 3, h, w).
        halves: "left_right" or "top_bottom".

    Returns:
        (2 B, 3, h, w // 2) or (2 B, 3, h // 2, w): the first halves of all images, then the second
        halves in the same order.
    """
    dim = 3 if halves == "left_right" else 2
    length = images.shape[dim] // 2
    first = images.narrow(dim, 0, length)
    second = images.narrow(dim, images.shape[dim] - length, length)
    return torch.cat([first, second])


def pair_labels(images: int) -> torch.Tensor:
    """Label the halves of :func:`split_halves` by image, (2 B,) int64.

    Halves of equal labels are a positive pair, all others a negative one.
    """
    return torch.arange(images).repeat(2)


def batches_per_epoch(images: int, batch_size: int) -> int:
    """Count the batches of :func:`draw_epoch`."""
    return min(-(-images // batch_size), images // 2)


def draw_epoch(images: int, batch_size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Divide the images, in random order, into batches of nearly equal size.

    Sizes differ by one at most, so that no batch is left with a single image, which would have no
    negative pair. (With a ``batch_size`` of 2 and an odd number of images, one batch has three.)

    Args:
        images: how many there are, at least 2.
        batch_size: images in a batch at most, at least 2.
        generator: of the random order.

    Yields:
        Indices of the images of a batch: all different, at least two.
    """
    order = torch.randperm(images, generator=generator)
    for batch in order.tensor_split(batches_per_epoch(images, batch_size)):
        yield batch.tolist()


def shard(batch: list[int], rank: int, size: int) -> list[int]:
    """Return the part of a batch for process ``rank`` of ``size``.

    All take as many images as the others; up to ``size - 1`` of the batch wait for the next epoch,
    whose order is another one.
    """
    count = len(batch) // size
    return batch[rank * count : (rank + 1) * count]
