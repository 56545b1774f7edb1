"""From images to halves with their labels: what one step of SimNet's training is made of."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from boxloop.params import Halves


def half_size(size: int, halves: Halves) -> tuple[int, int]:
    """(height, width) of a half of a square image of ``size`` pixels."""
    return (size, size // 2) if halves == "left_right" else (size // 2, size)


def cut(images: torch.Tensor, halves: Halves) -> torch.Tensor:
    """Both halves of every image.

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


def labels(images: int) -> torch.Tensor:
    """(2 B,) the number within its batch of the image that each half of :func:`cut` is from.

    Halves of equal labels are a positive pair, all others a negative one.
    """
    return torch.arange(images).repeat(2)


def batches_per_epoch(images: int, batch_size: int) -> int:
    """Batches that one pass over so many images takes; see :func:`epoch`."""
    return min(-(-images // batch_size), images // 2)


def epoch(images: int, batch_size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """One pass over the images in a new random order: every image is in exactly one batch.

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


def part(batch: list[int], rank: int, size: int) -> list[int]:
    """What the process ``rank`` of ``size`` takes of a batch.

    All take as many images as the others; up to ``size - 1`` of the batch wait for the next epoch,
    whose order is another one.
    """
    count = len(batch) // size
    return batch[rank * count : (rank + 1) * count]
