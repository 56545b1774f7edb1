"""Checkpoints: ``.pt`` files that hold tensors and plain values, nothing executable.

They are torch's files, or safetensors with the plain values as JSON in the metadata; which of them
a file is, its content tells.

The same content gives the same bytes, whatever the file is called, so that DVC recognises a
checkpoint that was trained again to the same weights.
"""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from itertools import repeat
from pathlib import Path
from typing import Any, TypeVar

import torch

from boxloop.core.names import fault_of_class, fault_of_id
from boxloop.errors import ArtifactError
from boxloop.files import atomic_path
from boxloop.models.tensor_files import read_tensors, to_safetensors
from boxloop.params.section import MOST_PIXELS, MOST_ZOOM

DETECTOR_FORMAT = "boxloop/detector@1"
SIMNET_FORMAT = "boxloop/simnet@1"


@dataclass(frozen=True)
class DetectorCheckpoint:
    """Everything that is needed to use a detector again.

    Attributes:
        architecture: the registered name.
        classes: names of the classes, in the order of the model's outputs (background not listed).
        input_size: (height, width), or (shorter, longer side), in pixels; (0, 0) where there is
            no model.
        labeled_digest: digest of the labeled set it was trained on.
        initial_weights: where its training started from, in words.
        steps: optimiser steps in all, those of the detectors it was continued from included.
        options: what else the architecture needs in order to be built again.
        state: the model's tensors by name, on the CPU.
        origin: the file it was read from, for messages.
    """

    architecture: str
    classes: tuple[str, ...]
    input_size: tuple[int, int]
    labeled_digest: str
    initial_weights: str
    steps: int
    options: Mapping[str, bool | float | str] = field(default_factory=dict)
    state: Mapping[str, torch.Tensor] = field(default_factory=dict)
    origin: str = "the checkpoint"


@dataclass(frozen=True)
class SimNetCheckpoint:
    """The backbone that SimNet's training ends with.

    Attributes:
        network: as ``features.network`` names it.
        input_size: side in pixels of the square images that its halves were cut from.
        halves: "left_right" or "top_bottom".
        initial_weights: where its training started from.
        steps: optimiser steps.
        mean: of red, green and blue in [0, 1], that its input is normalised by.
        std: their standard deviations.
        state: the network's tensors by its library's names, on the CPU.
        origin: the file it was read from, for messages.
    """

    network: str
    input_size: int
    halves: str
    initial_weights: str
    steps: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    state: Mapping[str, torch.Tensor]
    origin: str = "SimNet"


_Checkpoint = TypeVar("_Checkpoint", DetectorCheckpoint, SimNetCheckpoint)

_TUPLES: dict[str, tuple[type, range, str]] = {
    "tuple[str, ...]": (str, range(1, sys.maxsize), "names"),
    "tuple[int, int]": (int, range(2, 3), "two integers"),
    "tuple[float, float, float]": (float, range(3, 4), "three numbers"),
}
"""By the annotation: type, number and words of the elements of a list."""


def write_detector(
    path: Path, checkpoint: DetectorCheckpoint, *, safetensors: bool = False
) -> None:
    """Write a detector's checkpoint atomically, as a file of torch's or as safetensors."""
    # Plain layout and a copy of each tensor: strides and shared storages are part of the bytes.
    state = {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in checkpoint.state.items()
    }
    _write(path, DETECTOR_FORMAT, checkpoint, state, safetensors=safetensors)


def write_simnet(path: Path, checkpoint: SimNetCheckpoint) -> None:
    """Write SimNet's checkpoint atomically."""
    state = {name: tensor.detach().cpu() for name, tensor in checkpoint.state.items()}
    _write(path, SIMNET_FORMAT, checkpoint, state)


def read_detector(path: Path) -> DetectorCheckpoint:
    """Read a detector's checkpoint without executing anything that it may hold.

    Raises:
        ArtifactError: the file is missing, damaged, or not a detector checkpoint of boxloop.
    """
    missing = "does not exist: run the turn that trains it first"
    return parse_detector(path, _read(path, "a detector checkpoint", missing))


def read_simnet(path: Path, network: str, input_size: int | None = None) -> SimNetCheckpoint:
    """Read SimNet's checkpoint of a ``network``, without executing anything that it may hold.

    Args:
        path: the file.
        network: that it must be of.
        input_size: that it must have been trained at; any unless given.

    Raises:
        ArtifactError: the file is missing, empty (SimNet was not asked for when the stage ran),
            damaged, or of another network or input size; names the way out.
    """
    again = "run 'boxloop simnet' with 'features.weights: simnet' first"
    content = _read(
        path,
        "a file of SimNet's",
        f"does not exist: {again}",
        empty=f"is empty, because SimNet was not asked for: {again}",
    )
    if not isinstance(content, dict) or content.get("format") != SIMNET_FORMAT:
        raise ArtifactError(f"{path} is not of the format {SIMNET_FORMAT}: train SimNet anew")
    checkpoint = _parse(SimNetCheckpoint, path, content, "train SimNet anew")
    if checkpoint.network != network:
        raise ArtifactError(
            f"{path} is a trained {checkpoint.network}, but features.network is {network}: {again}"
        )
    if input_size not in (None, checkpoint.input_size):
        raise ArtifactError(
            f"{path} was trained at an input_size of {checkpoint.input_size}, but"
            f" features.input_size is {input_size}: {again}"
        )
    return checkpoint


def is_detector(content: Any) -> bool:
    """Tell whether a file's content claims to be a detector's checkpoint."""
    return isinstance(content, dict) and str(content.get("format", "")).startswith(
        "boxloop/detector@"
    )


def parse_detector(path: Path, content: Any) -> DetectorCheckpoint:
    """Check the content of a detector's ``.pt`` file.

    Raises:
        ArtifactError: something is missing or of the wrong kind; names the place.
    """
    if not is_detector(content):
        raise ArtifactError(f"{path} is not a detector checkpoint of boxloop: train it anew")
    if content["format"] != DETECTOR_FORMAT:
        raise ArtifactError(
            f"{path} has the format {content['format']}, this version reads {DETECTOR_FORMAT}:"
            " train it anew"
        )
    return _parse(DetectorCheckpoint, path, content, "train it anew")


def require_sides(checkpoint: DetectorCheckpoint, least: int, most: int) -> None:
    """Refuse an input size that no model has.

    Raises:
        ArtifactError: a side is shorter or longer.
    """
    sides = checkpoint.input_size
    if not least <= min(sides) <= max(sides) <= most:
        raise ArtifactError(
            f"{checkpoint.origin}, at input_size: must be {_sides(least, most)}: train it anew"
        )


def read_option(checkpoint: DetectorCheckpoint, name: str, least: int, most: int) -> float:
    """Return a number among the options of a checkpoint, ``least`` where it is not there.

    Raises:
        ArtifactError: it is none, or none that boxloop writes.
    """
    value = checkpoint.options.get(name, least)
    if not isinstance(value, bool | str) and least <= value <= most:
        return float(value)
    large = not isinstance(value, bool | str) and value > most
    wanted = f"at most {most:,}" if large else f"at least {least}"
    raise ArtifactError(
        f"{checkpoint.origin}: its {name} should be {wanted}, got {value!r:.200}: train it anew"
    )


def _sides(least: int, most: int) -> str:
    return f"two sides of {least:,} to {most:,} pixels"


def _parse(
    kind: type[_Checkpoint], path: Path, content: Mapping[str, Any], remedy: str
) -> _Checkpoint:
    """Check the stored value of every field by the type that the field is annotated with."""

    def require(fits: bool, name: str, what: str) -> None:
        if not fits:
            raise ArtifactError(f"{path}, at {name}: must {what}: {remedy}")

    found: dict[str, Any] = {"origin": str(path)}
    for item in fields(kind):
        if item.name in found:
            continue
        name = "state_dict" if item.name == "state" else item.name
        value = found[item.name] = content.get(name)
        annotation = str(item.type)
        stored = list if annotation in _TUPLES else {"str": str, "int": int}.get(annotation, dict)
        require(
            isinstance(value, stored) and not isinstance(value, bool),
            name,
            f"be a {stored.__name__}",
        )
        if isinstance(value, list):
            element, lengths, what = _TUPLES[annotation]
            fits = len(value) in lengths and all(
                isinstance(each, element) and not isinstance(each, bool) for each in value
            )
            numbers = [each for each in value if element is not str]
            fits = fits and all(math.isfinite(each) and abs(each) < 2**20 for each in numbers)
            require(fits, name, f"be {what}")
            found[item.name] = tuple(value)
            if name == "input_size":
                sound = not any(value) or 1 <= min(value) <= max(value) <= MOST_PIXELS * MOST_ZOOM
                require(sound, name, f"be {_sides(1, MOST_PIXELS * MOST_ZOOM)}, or 0 and 0")
        elif name == "state_dict":
            for key, each in content[name].items():
                require(isinstance(key, str) and isinstance(each, torch.Tensor), name, _TENSORS)
                require(_is_finite(each), f"{name}, {key[:100]!a}", "be finite")
        elif isinstance(value, dict):
            plain = all(isinstance(k, str) and isinstance(v, _PLAIN) for k, v in value.items())
            require(plain, name, "hold plain values by name")
        elif isinstance(value, int):
            require(0 <= value < 2**53, name, "be a count")
        else:
            require(not value or fault_of_id(value) is None, name, "be one line of text")
    require(all(map(isinstance, content, repeat(str))), "the top", "hold values by name")
    expected = {"format", "state_dict", *(item.name for item in fields(kind))} - {"state", "origin"}
    odd = min(content.keys() - expected, default="")
    require(not odd, f"{odd[:100]!a}", "not be there: boxloop writes no such key")
    classes = found.get("classes", ())
    wrong = next((why for name in classes if (why := fault_of_class(name)) is not None), None)
    require(wrong is None, "classes", f"hold names only, and one {wrong}")
    require(len(set(classes)) == len(classes), "classes", "not repeat a name")
    return kind(**found)


_PLAIN = (bool, int, float, str)
_TENSORS = "hold tensors only, each by its name"


def _is_finite(tensor: torch.Tensor) -> bool:
    """Tell whether every number of a tensor is one, in a single pass over it."""
    if tensor.is_sparse or tensor.is_quantized or tensor.is_meta:
        return False
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    return bool(torch.isfinite(tensor).all())


def _write(
    path: Path,
    format_: str,
    checkpoint: DetectorCheckpoint | SimNetCheckpoint,
    state: Mapping[str, torch.Tensor],
    *,
    safetensors: bool = False,
) -> None:
    plain: dict[str, Any] = {"format": format_}
    for item in fields(checkpoint):
        value = getattr(checkpoint, item.name)
        if item.name not in ("state", "origin"):
            plain[item.name] = list(value) if isinstance(value, tuple) else value
    # Into memory first: torch.save writes a path's name into the archive, and turns a full disk
    # into an error of its own.
    archive = io.BytesIO()
    if safetensors:
        archive.write(to_safetensors({**plain, "options": dict(plain["options"])}, state))
    else:
        torch.save({**plain, "state_dict": state}, archive)
    with atomic_path(path, format_.partition("@")[0]) as temporary:
        temporary.write_bytes(archive.getbuffer())


def _read(path: Path, what: str, missing: str, *, empty: str | None = None) -> Any:
    try:
        if empty is not None and path.stat().st_size == 0:
            raise ArtifactError(f"{path} {empty}")
        return read_tensors(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path} {missing}") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise ArtifactError(
            f"{path} is not {what}: {error}: bring it back, or train it anew"
        ) from None
