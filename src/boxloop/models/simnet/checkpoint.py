"""SimNet's file: the trained backbone, tensors and plain values, nothing executable."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from boxloop.errors import ArtifactError
from boxloop.files import atomic_path
from boxloop.models.backbones import Start, Triple
from boxloop.models.weights import read_pickled_tensors

FORMAT = "boxloop/simnet@1"


@dataclass(frozen=True)
class SimNet:
    """A trained backbone.

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
    mean: Triple
    std: Triple
    state: Mapping[str, torch.Tensor]
    origin: str = "SimNet"

    def start(self) -> Start:
        """What a backbone needs in order to begin from here."""
        return Start(self.origin, self.state, self.mean, self.std)


def write(path: Path, simnet: SimNet) -> None:
    """Writes the file atomically; the same content gives the same bytes."""
    content = {
        "format": FORMAT,
        "network": simnet.network,
        "input_size": simnet.input_size,
        "halves": simnet.halves,
        "initial_weights": simnet.initial_weights,
        "steps": simnet.steps,
        "mean": list(simnet.mean),
        "std": list(simnet.std),
        "state_dict": {name: tensor.detach().cpu() for name, tensor in simnet.state.items()},
    }
    # Into memory first: torch.save writes a path's name into the archive.
    archive = io.BytesIO()
    torch.save(content, archive)
    with atomic_path(path) as temporary:
        temporary.write_bytes(archive.getbuffer())


def read(path: Path, network: str) -> SimNet:
    """Reads the file without executing anything that it may hold.

    Args:
        path: what the stage ``simnet`` wrote.
        network: what it must have trained.

    Raises:
        ArtifactError: the file is missing, empty (SimNet was not asked for when the stage ran),
            damaged, or of another network; names the way out.
    """
    again = "run 'boxloop simnet' with 'features.weights: simnet' first"
    try:
        if path.stat().st_size == 0:
            raise ArtifactError(f"{path} is empty, because SimNet was not asked for: {again}")
        content = read_pickled_tensors(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: {again}") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is not a file of SimNet's: {error}") from None
    found = _parse(path, content)
    if found.network != network:
        raise ArtifactError(
            f"{path} is a trained {found.network}, but features.network is {network}: {again}"
        )
    return found


def _parse(path: Path, content: Any) -> SimNet:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ArtifactError(f"{path} is not of the format {FORMAT}: train SimNet anew")

    def get(name: str, kind: type) -> Any:
        value = content.get(name)
        if not isinstance(value, kind):
            raise ArtifactError(f"{path}, at {name}: must be a {kind.__name__}: train SimNet anew")
        return value

    def triple(name: str) -> Triple:
        values = get(name, list)
        if len(values) != 3 or not all(isinstance(value, float) for value in values):
            raise ArtifactError(f"{path}, at {name}: must be three numbers: train SimNet anew")
        return values[0], values[1], values[2]

    state = get("state_dict", dict)
    if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ArtifactError(f"{path}, at state_dict: must hold tensors only: train SimNet anew")
    return SimNet(
        network=get("network", str),
        input_size=get("input_size", int),
        halves=get("halves", str),
        initial_weights=get("initial_weights", str),
        steps=get("steps", int),
        mean=triple("mean"),
        std=triple("std"),
        state=state,
        origin=str(path),
    )
