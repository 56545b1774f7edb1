"""Detector checkpoints: ``.pt`` files that hold tensors and plain values, nothing executable.

The same content gives the same bytes, whatever the file is called, so that DVC recognises a
checkpoint that was trained again to the same weights.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from boxloop.errors import ArtifactError
from boxloop.files import atomic_path
from boxloop.models.weights import read_pickled_tensors

FORMAT = "boxloop/detector@1"


@dataclass(frozen=True)
class Checkpoint:
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


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Writes the checkpoint atomically."""
    content = {
        "format": FORMAT,
        "architecture": checkpoint.architecture,
        "classes": list(checkpoint.classes),
        "input_size": list(checkpoint.input_size),
        "labeled_digest": checkpoint.labeled_digest,
        "initial_weights": checkpoint.initial_weights,
        "steps": checkpoint.steps,
        "options": dict(checkpoint.options),
        # Plain layout and a copy of each tensor: strides and shared storages are part of the bytes.
        "state_dict": {
            name: tensor.detach().to("cpu", copy=True).contiguous()
            for name, tensor in checkpoint.state.items()
        },
    }
    # Into memory first: torch.save writes a path's name into the archive, and turns a full disk
    # into an error of its own.
    archive = io.BytesIO()
    torch.save(content, archive)
    with atomic_path(path) as temporary:
        temporary.write_bytes(archive.getbuffer())


def read(path: Path) -> Checkpoint:
    """Reads a checkpoint without executing anything that it may hold.

    Raises:
        ArtifactError: the file is missing, damaged, or not a detector checkpoint of boxloop.
    """
    try:
        content = read_pickled_tensors(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: run 'boxloop train' first") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ArtifactError(f"{path} is not a detector checkpoint: {error}") from None
    return parse(path, content)


def is_checkpoint(content: Any) -> bool:
    """Whether the content of a ``.pt`` file claims to be a checkpoint of boxloop."""
    return isinstance(content, dict) and str(content.get("format", "")).startswith(
        "boxloop/detector@"
    )


def parse(path: Path, content: Any) -> Checkpoint:
    """Checks the content of a ``.pt`` file.

    Raises:
        ArtifactError: something is missing or of the wrong kind; names the place.
    """
    if not is_checkpoint(content):
        raise ArtifactError(f"{path} is not a detector checkpoint of boxloop: train it anew")
    if content["format"] != FORMAT:
        raise ArtifactError(
            f"{path} has the format {content['format']}, this version reads {FORMAT}: train it anew"
        )

    def get(name: str, kind: type) -> Any:
        value = content.get(name)
        if not isinstance(value, kind):
            raise ArtifactError(f"{path}, at {name}: must be a {kind.__name__}: train it anew")
        return value

    classes, input_size = get("classes", list), get("input_size", list)
    options, state = get("options", dict), get("state_dict", dict)
    if not classes or not all(isinstance(name, str) for name in classes):
        raise ArtifactError(f"{path}, at classes: must be names: train it anew")
    if len(input_size) != 2 or not all(isinstance(side, int) for side in input_size):
        raise ArtifactError(f"{path}, at input_size: must be two integers: train it anew")
    if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ArtifactError(f"{path}, at state_dict: must hold tensors only: train it anew")
    return Checkpoint(
        architecture=get("architecture", str),
        classes=tuple(classes),
        input_size=(input_size[0], input_size[1]),
        labeled_digest=get("labeled_digest", str),
        initial_weights=get("initial_weights", str),
        steps=get("steps", int),
        options=options,
        state=state,
        origin=str(path),
    )
