"""Where and how tensors are computed: the device by name, its precision, repeatable results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from boxloop import distributed
from boxloop.errors import ParamsError


def pick(device: str) -> torch.device:
    """The torch device of this name.

    Args:
        device: "auto" (a CUDA device where there is one, else the CPU), "cpu", "cuda" (the first
            one) or "cuda:<index>". Where processes work together, "auto" and "cuda" give each of
            a machine's processes a CUDA device of its own.

    Raises:
        ParamsError: the name is unknown, or this machine has no such device, or too few.
    """
    here = distributed.world()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index.isdecimal() or device == "cuda"):
        raise ParamsError(f"device must be auto, cpu, cuda or cuda:<index>, got '{device}'")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index and here.local_size > 1:
        raise ParamsError(
            f"device '{device}' is one device, and there are {here.local_size} processes: use"
            " 'auto', 'cuda' or 'cpu'"
        )
    number = int(index or here.local_rank)
    if not index and count and number >= count:
        raise ParamsError(
            f"{here.local_size} processes need as many CUDA devices, and there are {count}: lower"
            " --processes"
        )
    if number >= count:
        found = "none" if count == 0 else f"{count} (cuda:0 to cuda:{count - 1})"
        raise ParamsError(
            f"device '{device}' is not available, CUDA devices found: {found}; use 'auto' or 'cpu'"
        )
    return torch.device("cuda", number)


def precision(device: torch.device) -> torch.dtype | None:
    """What autocast uses; None for float32 (on CPUs without matrix units bfloat16 is slower)."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


@contextmanager
def reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch, and asks for deterministic algorithms on the CPU; both as before afterwards."""
    was_on = torch.are_deterministic_algorithms_enabled()
    was_warning = torch.is_deterministic_algorithms_warn_only_enabled()
    was_filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        try:
            if device.type == "cpu":
                torch.use_deterministic_algorithms(True, warn_only=True)
                torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            yield
        finally:
            torch.use_deterministic_algorithms(was_on, warn_only=was_warning)
            torch.utils.deterministic.fill_uninitialized_memory = was_filling  # type: ignore[attr-defined]
