"""torchvision's classification networks as backbones."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torchvision import models

from boxloop.models import weights
from boxloop.models.backbone import (
    IMAGENET,
    Backbone,
    Start,
    Triple,
    fill,
    start_from_file,
    try_size,
)

# torchvision's weights of these two take values in [-1, 1].
_HALVES: tuple[Triple, Triple] = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_INCEPTIONS = ("googlenet", "inception_v3")


def networks() -> tuple[str, ...]:
    """Return the names of torchvision's classification networks."""
    return tuple(models.list_models(module=models))


def start(network: str, chosen: str, *, section: str) -> Start:
    """Load weights; see :func:`boxloop.models.backbones.start`."""
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
    return start_from_file(network, chosen, (member.name for member in enum), normal, section)


def build(
    network: str, begin: Start, sizes: Sequence[tuple[int, int]], *, seed: int, section: str
) -> Backbone:
    """Build a network; see :func:`boxloop.models.backbones.build`.

    Its classifying layer is the last ``Linear`` that runs, or the last ``Conv2d`` in a network
    without any ``Linear`` (SqueezeNet).
    """
    # Their own initialisation takes a minute; torch's default serves as well.
    options = {"init_weights": False, "aux_logits": False} if network in _INCEPTIONS else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: nn.Module = models.get_model(network, weights=None, **options)
    layers = [_classifying_layer(module, network, size) for size in sizes]
    fill(module, begin, network, section, layer=layers[0])
    return Backbone(module, layers[0], begin)


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
        try_size(module, network, size, "try 224")
    finally:
        for hook in hooks:
            hook.remove()
    return last.get(nn.Linear) or last[nn.Conv2d]
