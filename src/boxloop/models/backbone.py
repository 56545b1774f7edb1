"""A network that turns images into vectors, whatever library it comes from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from boxloop.errors import ParamsError, WeightsError
from boxloop.models import weights

Triple = tuple[float, float, float]

IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's red, green and blue, of values in [0, 1]."""


@dataclass(frozen=True)
class Start:
    """Initial weights of a backbone.

    Attributes:
        origin: in the user's words, for messages.
        tensors: by the library's names; None leaves the network's random ones.
        mean: of red, green and blue in [0, 1], to normalise by.
        std: their standard deviations.
    """

    origin: str
    tensors: Mapping[str, torch.Tensor] | None
    mean: Triple
    std: Triple


class Backbone(nn.Module):
    """A network whose output is the input of its classifying layer.

    Drop-out is never applied: it would blur the distances that the vectors are for.
    """

    _shift: torch.Tensor
    _scale: torch.Tensor

    def __init__(self, network: nn.Module, layer: str | None, start: Start) -> None:
        """Take over a network.

        Args:
            network: changed in place.
            layer: its classifying layer; None for a network that has none, whose output is the
                vector.
            start: how its pixels are normalised.
        """
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self._layer, self._given = layer, torch.empty(0)
        if layer is not None:
            network.get_submodule(layer).register_forward_pre_hook(self._remember)
        for name, values in (("_shift", start.mean), ("_scale", start.std)):
            tensor = 255.0 * torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute vectors (N, D) of images (N, 3, h, w), uint8 RGB; maps are averaged."""
        pixels = (images.float() - self._shift) / self._scale
        given: torch.Tensor = self.network(pixels.contiguous(memory_format=torch.channels_last))
        if self._layer is not None:
            given, self._given = self._given, torch.empty(0)
        if given.ndim == 4:
            return given.mean(dim=(2, 3))
        # (N, ..., D): transformers keep positions in between.
        return given if given.ndim == 2 else given.flatten(1, -2).mean(dim=1)

    def train(self, mode: bool = True) -> Backbone:
        """Set the mode as torch does, but keep drop-out off."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.training = False
        return self

    def has_unused_parameters(self, size: tuple[int, int]) -> bool:
        """Tell whether the vectors of images of this (height, width) leave some parameters out.

        torchvision's classifying layers run for nothing.
        """
        parameters = [p for p in self.parameters() if p.requires_grad]
        image = torch.zeros(1, 3, *size, dtype=torch.uint8, device=self._shift.device)
        vectors = self.eval()(image)
        gradients = torch.autograd.grad(vectors.sum(), parameters, allow_unused=True)
        return any(gradient is None for gradient in gradients)

    def _remember(self, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._given = inputs[0]


def start_from_file(
    network: str, chosen: str, known: Iterable[str], normal: tuple[Triple, Triple], section: str
) -> Start:
    """Read weights that no name stands for from the local file ``chosen``.

    Raises:
        WeightsError: there is no such file, or it is damaged; names the ``known`` weights.
    """
    path = Path(chosen)
    if not path.exists():
        raise WeightsError(
            f"{section}.weights: '{chosen}' is neither a file nor weights of {network}; known:"
            f" {', '.join((weights.NONE, *known))}"
        )
    return Start(chosen, weights.read_state_dict(path), *normal)


def try_size(module: nn.Module, network: str, size: tuple[int, int], remedy: str) -> None:
    """Run a network once, in evaluation mode, on an image of this (height, width).

    Raises:
        ParamsError: it cannot take such an image; ends with the remedy.
    """
    try:
        with torch.inference_mode():
            module.eval()(torch.zeros(1, 3, *size))
    except (RuntimeError, AssertionError, ValueError):
        shown = str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"
        raise ParamsError(
            f"features.input_size: {network} cannot take images of {shown} pixels; {remedy}"
        ) from None


def fill(
    module: nn.Module,
    start: Start,
    network: str,
    section: str,
    *,
    layer: str | None = None,
    remedy: str = "",
) -> None:
    """Copy the weights into a network, all of them but those of its classifying ``layer``.

    Raises:
        WeightsError: some are missing; ends with the remedy.
    """
    if start.tensors is None:
        return
    fitted = weights.load_matching(module, start.tensors, start.origin)
    # The classifying layer itself may have other classes.
    missing = [name for name in fitted.left if layer is None or not name.startswith(f"{layer}.")]
    if missing:
        raise WeightsError(
            f"{section}.weights: {start.origin} lacks {len(missing)} of the {fitted.total}"
            f" tensors of {network}, such as '{missing[0]}'{remedy}"
        )
