"""Collective operations of the processes; a single process has nothing to exchange."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed, nn

from boxloop.distributed.process_group import world

_T = TypeVar("_T")

_BYTES_PER_MESSAGE = 2**28


def gather(part: _T) -> list[_T]:
    """Gather all parts by rank in the main process; others get none."""
    here = world()
    if here.size == 1:
        return [part]
    parts: list[Any] | None = [None] * here.size if here.is_main else None
    distributed.gather_object(part, parts)
    return parts or []


def gather_rows(part: npt.NDArray[np.float32], items: int, unit: int) -> npt.NDArray[np.float32]:
    """Gather all rows in the main process; others keep their own.

    Args:
        part: (n, D), n as :meth:`World.share` says.
        items: N, rows in all.
        unit: of the shares.

    Returns:
        (N, D) in the main process. Rows are received in place, so that none is held twice.
    """
    here = world()
    if here.size == 1:
        return part
    rows = max(1, _BYTES_PER_MESSAGE // max(1, part[:1].nbytes))
    if not here.is_main:
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


def all_reduce_mean(values: torch.Tensor) -> torch.Tensor:
    """Compute the mean over all processes, in each of them; changes ``values``."""
    here = world()
    if here.size > 1:
        distributed.all_reduce(values)
        values /= here.size
    return values


def broadcast(tensors: Iterable[torch.Tensor]) -> None:
    """Broadcast tensors from rank 0."""
    if world().size > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def wait_for_main() -> None:
    """Wait until the main process has come to here, too: what it wrote before is there."""
    broadcast([torch.zeros(1)])


def wrap_ddp(
    model: nn.Module, device: torch.device, *, unused_parameters: bool = False
) -> nn.Module:
    """Wrap a model so that gradients are averaged over the processes.

    The model is on ``device`` and the same in all processes. Layers of batch norm normalise by the
    images of their own process. With ``unused_parameters`` the output may not depend on some.
    """
    if world().size == 1:
        return model
    from torch.nn.parallel import DistributedDataParallel

    # The statistics of batch norm are recomputed after the training.
    return DistributedDataParallel(
        model,
        device_ids=[device] if device.type == "cuda" else None,
        forward_sync_buffers=False,
        find_unused_parameters=unused_parameters,
    )
