"""Images as tensors, resized, read ahead of use and kept in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice, tee
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from boxloop import distributed
from boxloop.core.types import ImageRef
from boxloop.datasets.images import read_image
from boxloop.errors import DatasetError, ProcessError

MEMORY_BUDGET = 2 * 2**30
"""Bytes of decoded images to keep in memory, on one machine."""

THREADS = min(8, os.cpu_count() or 1)
"""Threads that :func:`prefetch` works in."""

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


def resized_batches(
    images: Sequence[ImageRef],
    size: Callable[[ImageRef], tuple[int, int]],
    batch_size: int,
    device: torch.device,
) -> Iterator[list[torch.Tensor]]:
    """Read images in batches, ahead of their use; ``size`` gives (height, width) of each.

    For a CUDA device they are read by :func:`reading_processes` and lie in pinned memory. A CPU
    computes more slowly than a few threads decode.

    Yields:
        (3, h, w) uint8 RGB of each image, on the CPU.

    Raises:
        DatasetError: an image is missing or damaged, or is not what it was in the dataset.
        ProcessError: a process that reads was killed.
    """
    if device.type != "cuda":
        decoded = prefetch(lambda i: read_resized(i, size(i)), images, depth=2 * batch_size)
        for begin in range(0, len(images), batch_size):
            count = min(batch_size, len(images) - begin)
            yield [next(decoded) for _ in range(count)]
        return
    batches = _Batches(images, size, batch_size)
    workers = min(reading_processes(), len(batches))
    loader = DataLoader(batches, batch_size=None, num_workers=workers, pin_memory=True)
    yield from read_by_workers(loader, "free some, or lower the batch_size")


def read_by_workers(loader: DataLoader[Any], way: str) -> Iterator[Any]:
    """Read the batches of a loader, whose dataset returns what is wrong with an image.

    What a worker raises would come back with its traceback as the message.

    Args:
        loader: a batch of its is a DatasetError where an image of it cannot be read.
        way: what helps where a worker is killed, for the error.

    Raises:
        DatasetError: it is one.
        ProcessError: a worker was killed.
    """
    gone = (ConnectionError, EOFError, FileNotFoundError) if loader.num_workers else ()
    with told_if_killed(way):
        try:
            for batch in loader:
                if isinstance(batch, DatasetError):
                    raise batch
                yield batch
        except gone as error:
            if "Caught" in str(error):  # by a worker that lives
                raise
            # A process closes its sockets first, then torch is told of its end and raises as well:
            # here, not where that would be in nobody's hands.
            time.sleep(1)
            raise _killed(way) from None


@contextmanager
def told_if_killed(way: str) -> Iterator[None]:
    """Say it in one sentence where torch tells, at any place, that a loader's worker was killed.

    Raises:
        ProcessError: one was.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise _killed(way) from None


def _killed(way: str) -> ProcessError:
    return ProcessError(
        f"a process that reads images was killed, probably for memory; nothing was written: {way}"
    )


def reading_processes() -> int:
    """Return how many processes read images for a GPU: one per core but one, of this process's."""
    cores = len(os.sched_getaffinity(0)) // distributed.world().local_size
    return max(1, cores - 1)


class _Batches(Dataset[list[torch.Tensor] | DatasetError]):
    """Batches of resized images by number, or what is wrong with one."""

    def __init__(
        self,
        images: Sequence[ImageRef],
        size: Callable[[ImageRef], tuple[int, int]],
        batch: int,
    ) -> None:
        self._images, self._size, self._batch = images, size, batch

    def __len__(self) -> int:
        return -(-len(self._images) // self._batch)

    def __getitem__(self, number: int) -> list[torch.Tensor] | DatasetError:
        begin = number * self._batch
        if begin >= len(self._images):
            raise IndexError(number)
        try:
            batch = self._images[begin : begin + self._batch]
            return [read_resized(image, self._size(image)) for image in batch]
        except DatasetError as error:
            return error


def read_resized(image: ImageRef, size: tuple[int, int]) -> torch.Tensor:
    """Read an image as (3, h, w) uint8 RGB of this size.

    Raises:
        DatasetError: the file is missing or damaged, or is not what it was in the dataset.
    """
    pixels = torch.from_numpy(read_image(Path(image.path), image.digest)).permute(2, 0, 1)
    height, width = pixels.shape[-2:]
    if (width, height) != (image.width, image.height):
        raise DatasetError(
            f"{image.path} has {width}x{height} pixels, but images.json says {image.width}x"
            f"{image.height} of {image.id}: run 'boxloop dataset' and what follows it again"
        )
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
    with ThreadPoolExecutor(THREADS) as pool:
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
