"""The group of processes that work together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed

_FOREVER = timedelta(days=365)
"""How long processes wait for each other. The launcher ends all of them where one ends too soon."""


@dataclass(frozen=True)
class World:
    """Rank and size of the group of processes.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes, on all machines.
        local_rank: number of this process on its machine, from 0.
        local_size: processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def share(self, items: int, unit: int = 1, *, rank: int | None = None) -> range:
        """Return the consecutive items that this process works on.

        Args:
            items: how many there are.
            unit: items that are done at once. Shares begin at multiples of it, so that batches are
                what they are in one process, to the last bit of what a network makes of them.
            rank: of another process, whose share is asked for.
        """
        rank = self.rank if rank is None else rank
        units = -(-items // unit)
        # Rounded up: the main process, which reports progress, has no less than others.
        first, last = (-(-units * r // self.size) for r in (rank, rank + 1))
        return range(min(first * unit, items), min(last * unit, items))


ALONE = World()


def world() -> World:
    """Return the group that was joined; :data:`ALONE` outside :func:`join`."""
    if not distributed.is_initialized():
        return ALONE
    return World(
        distributed.get_rank(),
        distributed.get_world_size(),
        int(os.environ.get("LOCAL_RANK", 0)),
        int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
    )


@contextmanager
def join() -> Iterator[World]:
    """Join the processes that were launched together with this one, if any."""
    if not distributed.is_torchelastic_launched() or distributed.is_initialized():
        yield world()
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(backend, timeout=_FOREVER)
    yield world()
    # After an error the others may wait for this process: then it just ends, and they are ended.
    distributed.destroy_process_group()
