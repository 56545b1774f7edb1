"""Several processes, on one machine or on many, that do one command's work together.

The engine is PyTorch's own: its elastic launcher (torchrun) starts the processes and ends all of
them where one fails, and ``torch.distributed`` carries what they tell each other, by NCCL between
GPUs and by Gloo between CPUs. ``--processes N`` launches N on this machine; started by ``torchrun``
itself, a command joins the processes of all its machines (docs/distribution.md).
"""

from boxloop.distributed.collectives import as_leader, averaging, gathered, gathered_rows, mean
from boxloop.distributed.launch import failing_quietly, launched
from boxloop.distributed.process_group import ALONE, World, joined, world

__all__ = [
    "ALONE",
    "World",
    "as_leader",
    "averaging",
    "failing_quietly",
    "gathered",
    "gathered_rows",
    "joined",
    "launched",
    "mean",
    "world",
]
