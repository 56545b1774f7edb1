"""Images as tensors, resized, read ahead of use and kept in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice, tee
from pathlib import Path
from typing import TypeVar

import torch
from torch.nn import functional

from boxloop import distributed
from boxloop.core.types import ImageRef
from boxloop.datasets.images import read_image

MEMORY_BUDGET = 2 * 2**30
"""Bytes of decoded images to keep in memory, on one machine."""

_T = TypeVar("_T")
_R = TypeVar("_R")


class ImageCache:
    """Images, kept in memory where all of them fit; otherwise each use reads them again."""

    def __init__(
        self,
        images: Sequence[ImageRef],
        sizes: Sequence[tuple[int, int]],
        *,
        budget: int | None = None,
    ) -> None:
        """Read all images, if they fit into memory.

        Args:
            images: what to read.
            sizes: (height, width) in pixels that each is resized to.
            budget: bytes; without it, this process's share of :data:`MEMORY_BUDGET`.

        Raises:
            DatasetError: an image is missing or damaged, or is not what it was in the dataset.
        """
        self._images, self._sizes = images, sizes
        budget = MEMORY_BUDGET // distributed.world().local_size if budget is None else budget
        self._kept: list[torch.Tensor] | None = None
        if 3 * sum(height * width for height, width in sizes) <= budget:
            self._kept = list(prefetch(self._read, range(len(images))))

    @property
    def in_memory(self) -> bool:
        """Whether the images are kept."""
        return self._kept is not None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Return an image as (3, h, w) uint8 RGB."""
        return self._read(index) if self._kept is None else self._kept[index]

    def batches(self, indices: Iterable[list[int]], depth: int) -> Iterator[torch.Tensor]:
        """Stack images of equal size, read at most ``depth`` images ahead.

        Yields:
            (B, 3, h, w) uint8 RGB for the indices of each batch.
        """
        if self._kept is not None:
            for batch in indices:
                yield torch.stack([self._kept[i] for i in batch])
            return
        planned, wanted = tee(indices)
        decoded = prefetch(self._read, (i for batch in planned for i in batch), depth=depth)
        for batch in wanted:
            yield torch.stack([next(decoded) for _ in batch])

    def _read(self, index: int) -> torch.Tensor:
        return read_resized(self._images[index], self._sizes[index])


def read_resized(image: ImageRef, size: tuple[int, int]) -> torch.Tensor:
    """Read an image as (3, h, w) uint8 RGB of this size.

    Raises:
        DatasetError: the file is missing or damaged, or is not what it was in the dataset.
    """
    pixels = torch.from_numpy(read_image(Path(image.path), image.digest)).permute(2, 0, 1)
    return resize(pixels, size)


def resize(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize (3, h, w) uint8 to this (h, w), antialiased."""
    if tuple(pixels.shape[-2:]) == size:
        return pixels.contiguous()
    return functional.interpolate(pixels[None], size, mode="bilinear", antialias=True)[0]


def prefetch(work: Callable[[_T], _R], items: Iterable[_T], *, depth: int = 32) -> Iterator[_R]:
    """Map ``work`` over ``items`` in threads, at most ``depth`` results ahead.

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
