"""Devices that tensors are computed on: choice, precision, reproducibility."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from boxloop import distributed
from boxloop.errors import ParamsError


def pick(device: str) -> torch.device:
    """Return the torch device of this name.

    Args:
        device: "auto" (a CUDA device where there is one, else the CPU), "cpu", "cuda" (the first
            one), "cuda:<index>", or "mps" (the GPU of an Apple computer). Where processes work
            together, "auto" and "cuda" give each of a machine's processes a CUDA device of its own.

    Raises:
        ParamsError: the name is unknown, or this machine has no such device, or too few.
    """
    here = distributed.world()
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        return torch.device("cpu")
    if device == "mps":
        return _mps(here.local_size)
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index.isdecimal() or device == "cuda"):
        raise ParamsError(f"device must be auto, cpu, cuda, cuda:<index> or mps, got '{device}'")
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


def _mps(processes: int) -> torch.device:
    if not torch.backends.mps.is_available():
        raise ParamsError(
            "device 'mps' is not available: it is the GPU of an Apple computer, on macOS; use"
            " 'auto' or 'cpu'"
        )
    if processes > 1:
        raise ParamsError(
            f"device 'mps' is one device, and there are {processes} processes: use 'cpu'"
        )
    return torch.device("mps")


def precision(device: torch.device) -> torch.dtype | None:
    """Return the type that autocast computes in; None stands for float32."""
    if device.type != "cuda":
        # On CPUs without matrix units bfloat16 is slower, and not all of Apple's GPUs have it.
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def move(value: Any, device: torch.device) -> Any:
    """Move the tensors in nested tuples, lists and dicts to a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, dict):
        return {name: move(item, device) for name, item in value.items()}
    return type(value)(move(item, device) for item in value)


@contextmanager
def reproducible(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch, and use deterministic algorithms on the CPU, inside the context."""
    was_on = torch.are_deterministic_algorithms_enabled()
    was_warning = torch.is_deterministic_algorithms_warn_only_enabled()
    was_filling = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    devices = [device] if device.type == "cuda" else []
    state = torch.mps.get_rng_state() if device.type == "mps" else None  # not one by device
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        try:
            if device.type == "cpu":
                torch.use_deterministic_algorithms(True, warn_only=True)
                torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
            yield
        finally:
            if state is not None:
                torch.mps.set_rng_state(state)
            torch.use_deterministic_algorithms(was_on, warn_only=was_warning)
            torch.utils.deterministic.fill_uninitialized_memory = was_filling  # type: ignore[attr-defined]
