"""Initial weights, by name from where their library keeps them, or from a local file.

Files are read by means that execute nothing.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import nn

from boxloop.errors import WeightsError
from boxloop.files import EMPTY_DETECTOR
from boxloop.models.tensor_files import read_tensors

NONE = "none"
"""The name that means: train from scratch."""


@dataclass(frozen=True)
class LoadedTensors:
    """The result of :func:`load_matching`.

    Attributes:
        total: tensors of the model.
        left: names of the model's tensors that kept their own value.
    """

    total: int
    left: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.total - len(self.left)} of {self.total} tensors"


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read the state dict of a file, also under ``model`` or ``state_dict``."""
    return state_dict_of(read_weights_file(path), path)


def read_weights_file(path: Path) -> Any:
    """Read a local weights file, or raise WeightsError where it is missing or damaged."""
    try:
        return read_tensors(path)
    except OSError as error:
        raise WeightsError(f"weights: {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        refuse_empty(path)
        raise WeightsError(f"weights: {path} cannot be used: {error}") from None


def refuse_empty(path: Path) -> None:
    """Raise WeightsError for a checkpoint of the empty detector, which has no tensors."""
    with path.open("rb") as file:
        if file.read(len(EMPTY_DETECTOR)) == EMPTY_DETECTOR:
            raise WeightsError(
                f"weights: {path} is a detector that was trained on nothing: name that of a later"
                " batch, or other weights"
            ) from None


def state_dict_of(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in the content of a weights file, or raise WeightsError."""
    for key in ("model", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    named = content.items() if isinstance(content, Mapping) else ()
    tensors = {str(name): value for name, value in named if isinstance(value, torch.Tensor)}
    if not tensors:
        raise WeightsError(f"weights: {path} holds no state dict (tensors by name)")
    return tensors


def cached_file(url: str) -> Path:
    """Return the path where torch keeps the file of this address."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def download(name: str, url: str) -> dict[str, torch.Tensor]:
    """Load weights from torch's cache or from the network.

    Args:
        name: as the user wrote it, for messages.
        url: address of the file; torchvision's and most others end in the start of its SHA-256.

    Raises:
        WeightsError: they are not cached and cannot be downloaded, or the file is damaged.
    """
    file = cached_file(url)
    if not file.exists():
        try:
            # torch announces the download on stdout, which belongs to the command's own output.
            with redirect_stdout(io.StringIO()):
                file.parent.mkdir(parents=True, exist_ok=True)
                last = file.stem.rsplit("-", 1)[-1]
                prefix = last if re.fullmatch("[0-9a-f]{8,64}", last) else None
                shown = sys.stderr.isatty()  # torch draws its bar there
                torch.hub.download_url_to_file(url, str(file), prefix, progress=shown)
        except (URLError, OSError, RuntimeError) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split())
            raise WeightsError(
                f"weights: {name} could not be downloaded ({reason}); either put {file.name} from"
                f" another machine into {file.parent}, or name a local file, or train from scratch"
                f" with 'weights: {NONE}'"
            ) from None
    return read_state_dict(file)


_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
"""Names of the file with the weights, in the order of preference."""


def download_from_hub(name: str, repository: str) -> dict[str, torch.Tensor]:
    """Load weights from the Hugging Face Hub or from its cache on this machine.

    Args:
        name: as the user wrote it, for messages.
        repository: of the Hub.

    Raises:
        WeightsError: they are not cached and cannot be downloaded, or the file is damaged.
    """
    return read_state_dict(_cached_from_hub(repository) or _fetch_from_hub(name, repository))


def _cached_from_hub(repository: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name) for name in _HUB_FILES)
    return next((Path(file) for file in found if isinstance(file, str)), None)


def _fetch_from_hub(name: str, repository: str) -> Path:
    from huggingface_hub import HfApi

    hub = HfApi()
    try:
        # Asked once, with a limit: the download itself would try again and again for half a minute.
        held = {file.rfilename for file in hub.model_info(repository, timeout=10).siblings or ()}
        file = next((file for file in _HUB_FILES if file in held), _HUB_FILES[0])
        return Path(hub.hf_hub_download(repository, file))
    except Exception as error:  # the Hub's client lets through whatever its own libraries raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(
            f"weights: {name} could not be downloaded from the Hugging Face Hub ({reason}); either"
            f" name a local file (.safetensors, .pth or .pt), such as {_HUB_FILES[0]} of"
            f" {repository} fetched by another machine, or take weights that are installed"
            f" (tf_efficientnet_lite0 with in1k), or random ones with 'weights: {NONE}'"
        ) from None


def load_matching(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], origin: str
) -> LoadedTensors:
    """Copy the tensors whose names and shapes fit into the model.

    Counters of batch norm (``num_batches_tracked``) are copied but not counted.

    Args:
        model: changed in place.
        tensors: the weights.
        origin: the file or name they came from, for messages.

    Raises:
        WeightsError: fewer fit than half of what the model has, or one that does holds NaN or
            infinity.
    """
    own = model.state_dict()
    fitting = {
        name: tensor
        for name, tensor in tensors.items()
        if name in own and own[name].shape == tensor.shape
    }
    counted = [name for name in own if not name.endswith("num_batches_tracked")]
    left = tuple(name for name in counted if name not in fitting)
    if len(left) == len(counted):
        example = next(iter(tensors), "")
        raise WeightsError(
            f"weights: none of the {len(tensors)} tensors of {origin} fits the model (the first is"
            f" '{example}', the model begins with '{counted[0]}')"
        )
    # Layers that depend on the classes may differ; with more missing it is another network's file.
    if 2 * len(left) > len(counted):
        some = len(counted) - len(left)
        raise WeightsError(
            f"weights: {origin} has only {some} of the {len(counted)} tensors of the model (not"
            f" '{left[0]}', in its shape): name weights of this network, or 'none'"
        )
    require_finite(fitting, origin)
    model.load_state_dict(fitting, strict=False)
    return LoadedTensors(len(counted), left)


def require_finite(tensors: Mapping[str, torch.Tensor], origin: str) -> None:
    """Refuse weights that no training comes back from, whatever its learning rate.

    Raises:
        WeightsError: a tensor holds NaN or infinity; names it and the ``origin``.
    """
    odd = next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)
    if odd is not None:
        raise WeightsError(
            f"weights: {origin} cannot be used, because its tensor '{odd}' holds numbers that are"
            " not finite: name another file, or where it is one of your own, train it anew"
        )
