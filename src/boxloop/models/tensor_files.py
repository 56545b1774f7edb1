"""Files of tensors, told apart by their content: torch's own, and safetensors."""

from __future__ import annotations

import json
import pickle
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from boxloop.files import open_regular, parse_json, require_regular

_DAMAGED = (
    SafetensorError,  # torch looks for that format, too
    *(pickle.UnpicklingError, zipfile.BadZipFile, EOFError, RuntimeError),
    *(AttributeError, LookupError, TypeError, ValueError, AssertionError, ArithmeticError),
    *(NotImplementedError, MemoryError, RecursionError, ImportError, zlib.error, struct.error),
)
"""What torch raises where a file is none of its own."""

_KEY = "boxloop"
"""Of a safetensors file's metadata: everything but the tensors, as JSON."""


def read_tensors(path: Path) -> Any:
    """Read a file of tensors on the CPU, without executing anything that it may hold.

    Returns:
        Its content; of a safetensors file, its tensors under "state_dict" beside the plain values
        that :func:`to_safetensors` stored with them.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is damaged, or holds anything but tensors and plain values.
    """
    require_regular(path)
    if not is_safetensors(path):
        return _read_pickled(path)
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = parse_json((file.metadata() or {}).get(_KEY, "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except _DAMAGED:
        raise ValueError("the file is damaged") from None
    return {**(header if isinstance(header, dict) else {}), "state_dict": state}


def is_safetensors(path: Path) -> bool:
    """Say whether a file begins as safetensors do: the length of a JSON object, and the object.

    Raises:
        OSError: it is missing or cannot be read.
    """
    with open_regular(path) as file:
        start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    return start[8:] == b"{" and length <= path.stat().st_size


def to_safetensors(plain: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> bytes:
    """Return the bytes of a safetensors file; equal content gives equal bytes.

    Args:
        plain: what JSON can hold, for the metadata.
        state: contiguous tensors on the CPU that share no memory.
    """
    from safetensors.torch import save

    return save(dict(state), {_KEY: json.dumps(plain)})


def _read_pickled(path: Path) -> Any:
    """Read the content of a file of torch's with its restricted unpickler."""
    try:
        with warnings.catch_warnings():
            # torch asks to be told about other pickle protocols; here they are just foreign files.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGED as error:
        reason = "the file is damaged or not a torch file"
        unpickling = str(error) if isinstance(error, pickle.UnpicklingError) else ""
        if "Unsupported global" in unpickling or "weights_only" in unpickling.lower():
            reason = "it holds something other than tensors and plain values, and was not loaded"
        raise ValueError(reason) from None
