"""Images as tensors of a wanted size, decoded side by side and ahead of their use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from torch.nn import functional

from boxloop.core.types import ImageRef
from boxloop.datasets.images import read_image

_T = TypeVar("_T")
_R = TypeVar("_R")


def read_resized(image: ImageRef, size: tuple[int, int]) -> torch.Tensor:
    """The image as (3, h, w) uint8 RGB of this (h, w), antialiased.

    Raises:
        DatasetError: the file is missing or damaged, or is not what it was in the dataset.
    """
    pixels = torch.from_numpy(read_image(Path(image.path), image.digest)).permute(2, 0, 1)
    return resized(pixels, size)


def resized(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """``pixels`` (3, h, w) uint8 brought to this (h, w), antialiased; unchanged where it fits."""
    if tuple(pixels.shape[-2:]) == size:
        return pixels.contiguous()
    return functional.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]


def ahead(work: Callable[[_T], _R], items: Iterable[_T], *, depth: int = 32) -> Iterator[_R]:
    """``map(work, items)`` in threads, at most ``depth`` results ahead of the consumer.

    Decoding and resizing release the interpreter lock, so threads run them side by side.
    """
    source = iter(items)
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        waiting: list[Future[_R]] = [pool.submit(work, item) for item in islice(source, depth)]
        try:
            while waiting:
                result = waiting.pop(0).result()
                for item in islice(source, 1):
                    waiting.append(pool.submit(work, item))
                yield result
        finally:
            for future in waiting:
                future.cancel()
