from .collectives import all_reduce_mean, broadcast, gather, gather_rows, wait_for_main, wrap_ddp
from .launch import launch_processes, report_to_launcher
from .process_group import ALONE, World, join, world

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
