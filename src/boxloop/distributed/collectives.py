"""What the processes tell each other; in a process of its own, all of this does nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn

from boxloop.distributed.process_group import world

_T = TypeVar("_T")

_SENT_AT_ONCE = 2**28  # bytes


def gathered(part: _T) -> list[_T]:
    """The parts of all processes by rank, in the one that leads; elsewhere nothing."""
    here = world()
    if here.size == 1:
        return [part]
    parts: list[Any] | None = [None] * here.size if here.leads else None
    distributed.gather_object(part, parts)
    return parts or []


def gathered_rows(part: npt.NDArray[np.float32], items: int, unit: int) -> npt.NDArray[np.float32]:
    """The rows of all processes, in the one that leads; elsewhere only its own.

    Args:
        part: (n, D), n as :meth:`World.share` says.
        items: N, rows in all.
        unit: of the shares.

    Returns:
        (N, D) where this process leads. They are received in place: no row is there twice.
    """
    here = world()
    if here.size == 1:
        return part
    rows = max(1, _SENT_AT_ONCE // max(1, part[:1].nbytes))
    if not here.leads:
        for start in range(0, len(part), rows):
            distributed.send(torch.from_numpy(part[start : start + rows]), dst=0)
        return part
    whole = np.empty((items, part.shape[1]), dtype=np.float32)
    whole[: len(part)] = part
    for rank in range(1, here.size):
        share = here.share(items, unit, rank=rank)
        for start in range(share.start, share.stop, rows):
            place = whole[start : min(start + rows, share.stop)]
            distributed.recv(torch.from_numpy(place), src=rank)
    return whole


def mean(values: torch.Tensor) -> torch.Tensor:
    """The mean over all processes, in each of them."""
    here = world()
    if here.size > 1:
        distributed.all_reduce(values)
        values /= here.size
    return values


def as_leader(tensors: Iterable[torch.Tensor]) -> None:
    """Gives tensors the values that they have in the process that leads."""
    if world().size > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def averaging(model: nn.Module, device: torch.device, *, unused: bool = False) -> nn.Module:
    """The model, whose gradients become those of all processes' batches together.

    Layers of batch norm normalise by the images of their own process.

    Args:
        model: on ``device``, the same in all processes.
        device: of this process.
        unused: whether the model has parameters that its output does not depend on.
    """
    if world().size == 1:
        return model
    from torch.nn.parallel import DistributedDataParallel

    # The statistics of batch norm are measured anew after the training.
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        forward_sync_buffers=False,
        find_unused_parameters=unused,
    )
