"""Processes that share one command's work, on one machine or on many.

The engine is PyTorch's own: its elastic launcher (torchrun) starts the processes and ends all of
them where one fails, and ``torch.distributed`` sends data between them, by NCCL between GPUs and by
Gloo between CPUs. ``--processes N`` launches N on this machine; started by ``torchrun`` itself, a
command joins the processes of all its machines (docs/distribution.md).
"""

from boxloop.distributed.collectives import (
    all_reduce_mean,
    broadcast,
    gather,
    gather_rows,
    wait_for_main,
    wrap_ddp,
)
from boxloop.distributed.launch import launch_processes, report_to_launcher
from boxloop.distributed.process_group import ALONE, World, join, world

__all__ = [
    "ALONE",
    "World",
    "all_reduce_mean",
    "broadcast",
    "gather",
    "gather_rows",
    "join",
    "launch_processes",
    "report_to_launcher",
    "wait_for_main",
    "world",
    "wrap_ddp",
]
