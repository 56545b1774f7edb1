"""torchvision's classification networks as backbones, which compute a vector per image."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torchvision import models

from boxloop.errors import ParamsError, WeightsError
from boxloop.models import weights

Triple = tuple[float, float, float]

IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's red, green and blue, of values in [0, 1]."""

# torchvision's weights of these two take values in [-1, 1].
_HALVES: tuple[Triple, Triple] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_INCEPTIONS = ("googlenet", "inception_v3")


@dataclass(frozen=True)
class Start:
    """Initial weights of a backbone.

    Attributes:
        origin: in the user's words, for messages.
        tensors: by torchvision's names; None leaves the network's random ones.
        mean: of red, green and blue in [0, 1], to normalise by.
        std: their standard deviations.
    """

    origin: str
    tensors: Mapping[str, torch.Tensor] | None
    mean: Triple
    std: Triple


class Backbone(nn.Module):
    """A network whose output is the input of its classifying layer.

    That layer is the last ``Linear`` that runs, or the last ``Conv2d`` in a network without any
    ``Linear`` (SqueezeNet). Drop-out is never applied: it would blur the distances that the vectors
    are for.
    """

    _shift: torch.Tensor
    _scale: torch.Tensor

    def __init__(self, network: nn.Module, layer: str, start: Start) -> None:
        """Take over a network of torchvision; ``layer`` names its classifying layer."""
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self._given = torch.empty(0)
        network.get_submodule(layer).register_forward_pre_hook(self._remember)
        for name, values in (("_shift", start.mean), ("_scale", start.std)):
            tensor = 255.0 * torch.tensor(values).view(1, 3, 1, 1)
            self.register_buffer(name, tensor, persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute vectors (N, D) of images (N, 3, h, w), uint8 RGB; maps are averaged."""
        pixels = (images.float() - self._shift) / self._scale
        self.network(pixels.contiguous(memory_format=torch.channels_last))
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

    def _remember(self, module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self._given = inputs[0]


def networks() -> tuple[str, ...]:
    """Return the names of torchvision's classification networks."""
    return tuple(models.list_models(module=models))


def start(network: str, chosen: str, *, section: str) -> Start:
    """Load the weights that a user asks for.

    Args:
        network: a name of :func:`networks`.
        chosen: "none", a name of torchvision's enum for this network, or a local file.
        section: of params.yaml that says so, for messages.

    Raises:
        ParamsError: there is no such network.
        WeightsError: the weights cannot be had.
    """
    known = networks()
    if network not in known:
        close = difflib.get_close_matches(network, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "see torchvision.models"
        raise ParamsError(f"features.network: there is no network '{network}' ({hint})")
    if chosen == weights.NONE:
        return Start(chosen, None, *IMAGENET)
    enum = models.get_model_weights(network)
    normal = _HALVES if network in _INCEPTIONS else IMAGENET
    if chosen in enum.__members__:
        member = enum[chosen]
        tensors = weights.download(f"{network} {chosen}", member.url)
        if network not in _INCEPTIONS:
            preset = member.transforms()
            normal = (tuple(preset.mean), tuple(preset.std))
        return Start(chosen, tensors, *normal)
    path = Path(chosen)
    if not path.exists():
        names = ", ".join(member.name for member in enum)
        raise WeightsError(
            f"{section}.weights: '{chosen}' is neither a file nor weights of {network}; known:"
            f" {weights.NONE}, {names}"
        )
    return Start(chosen, weights.read_state_dict(path), *normal)


def build(
    network: str,
    begin: Start,
    sizes: Iterable[tuple[int, int]],
    *,
    seed: int,
    section: str = "features",
) -> Backbone:
    """Build a backbone with its weights, in evaluation mode on the CPU.

    Args:
        network: a name of :func:`networks`.
        begin: its weights.
        sizes: (height, width) in pixels of all images that it is to take.
        seed: of the weights that ``begin`` has no tensor for.
        section: of params.yaml that names the weights, for messages.

    Raises:
        ParamsError: the network cannot take images of these sizes.
        WeightsError: the weights do not fit.
    """
    # Their own initialisation takes a minute; torch's default serves as well.
    options = {"init_weights": False, "aux_logits": False} if network in _INCEPTIONS else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: nn.Module = models.get_model(network, weights=None, **options)
    layers = [_classifying_layer(module, network, size) for size in sizes]
    if begin.tensors is not None:
        fitted = weights.load_matching(module, begin.tensors, begin.origin)
        # The classifying layer itself may have other classes.
        missing = [name for name in fitted.left if not name.startswith(f"{layers[0]}.")]
        if missing:
            raise WeightsError(
                f"{section}.weights: {begin.origin} lacks {len(missing)} of the {fitted.total}"
                f" tensors of {network}, such as '{missing[0]}'"
            )
    return Backbone(module, layers[0], begin).eval()


def _classifying_layer(module: nn.Module, network: str, size: tuple[int, int]) -> str:
    """Find the classifying layer by a forward pass of this size."""
    last: dict[type[nn.Module], str] = {}
    hooks = [
        layer.register_forward_pre_hook(lambda *_, k=kind, n=name: last.update({k: n}))
        for name, layer in module.named_modules()
        for kind in (nn.Linear, nn.Conv2d)
        if isinstance(layer, kind)
    ]
    try:
        with torch.inference_mode():
            module.eval()(torch.zeros(1, 3, *size))
    except (RuntimeError, AssertionError, ValueError):
        shown = str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"
        raise ParamsError(
            f"features.input_size: {network} cannot take images of {shown} pixels; try 224"
        ) from None
    finally:
        for hook in hooks:
            hook.remove()
    return last.get(nn.Linear) or last[nn.Conv2d]
