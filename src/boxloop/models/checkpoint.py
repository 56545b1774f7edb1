"""Checkpoints: ``.pt`` files that hold tensors and plain values, nothing executable.

The same content gives the same bytes, whatever the file is called, so that DVC recognises a
checkpoint that was trained again to the same weights.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from boxloop.errors import ArtifactError
from boxloop.files import atomic_path
from boxloop.models.weights import read_pickled_tensors

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
    options: Mapping[str, bool | float] = field(default_factory=dict)
    state: Mapping[str, torch.Tensor] = field(default_factory=dict)
    origin: str = "the checkpoint"


@dataclass(frozen=True)
class SimNetCheckpoint:
    """The backbone that SimNet's training ends with.

    Attributes:
        network: torchvision's name.
        input_size: side in pixels of the square images that its halves were cut from.
        halves: "left_right" or "top_bottom".
        initial_weights: where its training started from.
        steps: optimiser steps.
        mean: of red, green and blue in [0, 1], that its input is normalised by.
        std: their standard deviations.
        state: the network's tensors by torchvision's names, on the CPU.
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


def write_detector(path: Path, checkpoint: DetectorCheckpoint) -> None:
    """Write a detector's checkpoint atomically."""
    # Plain layout and a copy of each tensor: strides and shared storages are part of the bytes.
    state = {
        name: tensor.detach().to("cpu", copy=True).contiguous()
        for name, tensor in checkpoint.state.items()
    }
    _write(path, DETECTOR_FORMAT, checkpoint, state)


def write_simnet(path: Path, checkpoint: SimNetCheckpoint) -> None:
    """Write SimNet's checkpoint atomically."""
    state = {name: tensor.detach().cpu() for name, tensor in checkpoint.state.items()}
    _write(path, SIMNET_FORMAT, checkpoint, state)


def read_detector(path: Path) -> DetectorCheckpoint:
    """Read a detector's checkpoint without executing anything that it may hold.

    Raises:
        ArtifactError: the file is missing, damaged, or not a detector checkpoint of boxloop.
    """
    missing = "does not exist: run 'boxloop train' first"
    return parse_detector(path, _read(path, "a detector checkpoint", missing))


def read_simnet(path: Path, network: str) -> SimNetCheckpoint:
    """Read SimNet's checkpoint without executing anything that it may hold.

    Args:
        path: what the stage ``simnet`` wrote.
        network: what it must have trained.

    Raises:
        ArtifactError: the file is missing, empty (SimNet was not asked for when the stage ran),
            damaged, or of another network; names the way out.
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
    found = _Fields(path, content, "train SimNet anew")
    mean = found.get_list("mean", float, 3, "three numbers")
    std = found.get_list("std", float, 3, "three numbers")
    checkpoint = SimNetCheckpoint(
        network=found.get("network", str),
        input_size=found.get("input_size", int),
        halves=found.get("halves", str),
        initial_weights=found.get("initial_weights", str),
        steps=found.get("steps", int),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        state=found.get_state(),
        origin=str(path),
    )
    if checkpoint.network != network:
        raise ArtifactError(
            f"{path} is a trained {checkpoint.network}, but features.network is {network}: {again}"
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
    found = _Fields(path, content, "train it anew")
    height, width = found.get_list("input_size", int, 2, "two integers")
    return DetectorCheckpoint(
        architecture=found.get("architecture", str),
        classes=tuple(found.get_list("classes", str, None, "names")),
        input_size=(height, width),
        labeled_digest=found.get("labeled_digest", str),
        initial_weights=found.get("initial_weights", str),
        steps=found.get("steps", int),
        options=found.get("options", dict),
        state=found.get_state(),
        origin=str(path),
    )


class _Fields:
    """The fields of a checkpoint, each checked when it is taken."""

    def __init__(self, path: Path, content: Mapping[str, Any], remedy: str) -> None:
        self._path, self._content, self._remedy = path, content, remedy

    def get(self, name: str, kind: type) -> Any:
        value = self._content.get(name)
        if not isinstance(value, kind):
            raise self._wrong(name, f"must be a {kind.__name__}")
        return value

    def get_list(self, name: str, kind: type, length: int | None, what: str) -> list[Any]:
        """Return a list of this length, or of at least one value."""
        values: list[Any] = self.get(name, list)
        fits = len(values) == length if length is not None else bool(values)
        if not fits or not all(isinstance(value, kind) for value in values):
            raise self._wrong(name, f"must be {what}")
        return values

    def get_state(self) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = self.get("state_dict", dict)
        if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
            raise self._wrong("state_dict", "must hold tensors only")
        return state

    def _wrong(self, name: str, what: str) -> ArtifactError:
        return ArtifactError(f"{self._path}, at {name}: {what}: {self._remedy}")


def _write(
    path: Path,
    format_: str,
    checkpoint: DetectorCheckpoint | SimNetCheckpoint,
    state: Mapping[str, torch.Tensor],
) -> None:
    plain = {
        item.name: _as_plain(getattr(checkpoint, item.name))
        for item in fields(checkpoint)
        if item.name not in ("state", "origin")
    }
    # Into memory first: torch.save writes a path's name into the archive, and turns a full disk
    # into an error of its own.
    archive = io.BytesIO()
    torch.save({"format": format_, **plain, "state_dict": state}, archive)
    with atomic_path(path) as temporary:
        temporary.write_bytes(archive.getbuffer())


def _as_plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _read(path: Path, what: str, missing: str, *, empty: str | None = None) -> Any:
    try:
        if empty is not None and path.stat().st_size == 0:
            raise ArtifactError(f"{path} {empty}")
        return read_pickled_tensors(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path} {missing}") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is not {what}: {error}") from None
