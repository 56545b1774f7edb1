"""Where tensors are computed: ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` as a torch device."""

from __future__ import annotations

import torch

from boxloop.errors import ParamsError


def pick(device: str) -> torch.device:
    """The torch device of this name.

    Args:
        device: "auto" (a CUDA device where there is one, else the CPU), "cpu", "cuda" (the first
            one) or "cuda:<index>".

    Raises:
        ParamsError: the name is unknown, or this machine has no such device.
    """
    if device == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        return torch.device("cpu")
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index.isdecimal() or device == "cuda"):
        raise ParamsError(f"device must be auto, cpu, cuda or cuda:<index>, got '{device}'")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(index or 0)
    if number >= count:
        found = "none" if count == 0 else f"{count} (cuda:0 to cuda:{count - 1})"
        raise ParamsError(
            f"device '{device}' is not available, CUDA devices found: {found}; use 'auto' or 'cpu'"
        )
    return torch.device("cuda", number)
