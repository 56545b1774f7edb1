"""timm's networks as backbones: their vectors are what timm gives with ``num_classes=0``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from timm.layers.drop import DropPath
from timm.models import (
    get_arch_pretrained_cfgs,
    get_pretrained_cfg,
    model_entrypoint,
    split_model_name_tag,
)
from torch import nn

from boxloop.models import bundled, weights
from boxloop.models.backbone import (
    IMAGENET,
    Backbone,
    Start,
    Triple,
    fill,
    start_from_file,
    try_size,
)

DEFAULT = "DEFAULT"
"""The weights that timm takes where none are named, as in torchvision's enums."""


def networks() -> tuple[str, ...]:
    """Return the names of timm's networks, without the names of their weights."""
    return tuple(timm.list_models())


def start(network: str, chosen: str, *, section: str) -> Start:
    """Load weights; see :func:`boxloop.models.backbones.start`."""
    known = _known(network)
    normal = _normalisation(known.get(chosen) or get_pretrained_cfg(network))
    if chosen == weights.NONE:
        return Start(chosen, None, *normal)
    if chosen in known:
        if network == bundled.NETWORK and chosen in (DEFAULT, bundled.NAME):
            return Start(chosen, bundled.state_dict(), bundled.MEAN, bundled.STD)
        name, config = f"{network} {chosen}", known[chosen]
        if config.hf_hub_id:
            return Start(chosen, weights.download_from_hub(name, config.hf_hub_id), *normal)
        return Start(chosen, weights.download(name, str(config.url)), *normal)
    return start_from_file(network, chosen, known, normal, section)


def build(
    network: str, begin: Start, sizes: Sequence[tuple[int, int]], *, seed: int, section: str
) -> Backbone:
    """Build a network; see :func:`boxloop.models.backbones.build`."""
    config = get_pretrained_cfg(network)
    own = config.input_size[-1] if config else 224
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = _create(network, sizes[0][0], bool(config and config.fixed_input_size))
    for drop in module.modules():
        if isinstance(drop, DropPath):
            drop.drop_prob = 0.0  # drop-out of whole branches
    for size in sizes:
        try_size(module, network, size, _remedy(module, size, own))
    if begin.tensors is not None:
        begin = Start(
            begin.origin, _converted(network, module, begin.tensors), begin.mean, begin.std
        )
    hint = (
        "" if sizes[0][0] == own else f"; features.input_size: {own} is what {network} is made for"
    )
    fill(module, begin, network, section, remedy=hint)
    return Backbone(module, None, begin)


def _known(network: str) -> dict[str, Any]:
    """Return timm's configurations with weights, by the weights' name, the default first."""
    found = {}
    default = get_pretrained_cfg(network)
    if default is not None and default.has_weights:
        found[DEFAULT] = default
    for name, config in get_arch_pretrained_cfgs(network).items():
        tag = split_model_name_tag(name)[1]
        if tag and config.has_weights:
            found[tag] = config
    return found


def _normalisation(config: Any) -> tuple[Triple, Triple]:
    return (tuple(config.mean), tuple(config.std)) if config else IMAGENET


def _create(network: str, side: int, fixed: bool) -> nn.Module:
    """Create a network for images of this side, if it has to know, else for any.

    A network that takes images of all sizes keeps the positions of its weights and resamples them
    for every image; another one is made for its size, and the weights are resampled to it.
    """
    tries: tuple[dict[str, Any], ...] = ({},)
    if fixed:
        tries = ({"dynamic_img_size": True}, {"img_size": side}, {})
    for options in tries[:-1]:
        try:
            return timm.create_model(network, num_classes=0, **options)
        except TypeError:
            continue  # not an option of this network
    return timm.create_model(network, num_classes=0, **tries[-1])


def _remedy(module: nn.Module, size: tuple[int, int], own: int) -> str:
    if size[0] != size[1]:
        return f"SimNet needs a network that takes any size, such as {bundled.NETWORK}"
    patch = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    if isinstance(patch, tuple) and size[0] % patch[0]:
        near = max(1, round(size[0] / patch[0])) * patch[0]
        return f"it takes multiples of {patch[0]}: try {near}"
    return f"try {own}"


def _converted(
    network: str, module: nn.Module, tensors: Mapping[str, torch.Tensor]
) -> Mapping[str, torch.Tensor]:
    """Bring weights of other names and sizes into the network's, as timm does where it loads them.

    timm's own modules know the names that the authors of their networks use, and resample positions
    to another image size.
    """
    own = module.state_dict()
    if all(name in tensors and tensors[name].shape == own[name].shape for name in own):
        return tensors
    convert = getattr(
        sys.modules[model_entrypoint(network).__module__], "checkpoint_filter_fn", None
    )
    if convert is None:
        return tensors
    try:
        converted = convert(dict(tensors), module)
    except (LookupError, AttributeError, TypeError, ValueError, RuntimeError):
        return tensors  # nothing that timm knows: what does not fit is told
    return {k: v for k, v in converted.items() if isinstance(v, torch.Tensor)}
