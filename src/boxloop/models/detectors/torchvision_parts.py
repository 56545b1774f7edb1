"""Parts that several of torchvision's detectors are put together with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from boxloop.models.detectors.torchvision_detector import Options, Source
from boxloop.models.detectors.transforms import NormalizeBatch

_PYRAMID_CHANNELS = 256


FROZEN_STEM: dict[Source, Options] = {
    "scratch": {"frozen_stem": False},
    "backbone": {"frozen_stem": True},
    "detection": {"frozen_stem": True},
}
"""Options of detectors whose batch norm is trained, and whose first layers are frozen."""

FROZEN_NORM: dict[Source, Options] = {
    "scratch": {"frozen_norm": False},
    "backbone": {"frozen_norm": True, "norm_eps": 1e-5},
    "detection": {"frozen_norm": True, "norm_eps": 1e-5},
}
"""Options of detectors whose batch norm is frozen, and so are their first layers."""


def freeze(modules: Sequence[nn.Module], options: Options) -> None:
    """Freeze the first layers where they have pretrained weights."""
    if options.get("frozen_stem", options.get("frozen_norm")):
        for module in modules:
            module.requires_grad_(False)


class WithoutBackground:
    """Keeps a model from answering with class 0.

    With torchvision a focal-loss detector has an output for the background, which nothing ever
    trains to be right; before much is learnt it scores like any other class.
    """

    def postprocess_detections(
        self, head_outputs: dict[str, list[torch.Tensor]], *rest: Any
    ) -> list[dict[str, torch.Tensor]]:
        """Decode boxes as torchvision does, without those of class 0."""
        for logits in head_outputs["cls_logits"]:
            logits[..., 0] = -torch.inf
        found: list[dict[str, torch.Tensor]] = super().postprocess_detections(  # type: ignore[misc]
            head_outputs, *rest
        )
        return found


def resnet_pyramid(network: nn.Module, above: ExtraFPNBlock) -> nn.Module:
    """Build a pyramid on strides 8, 16 and 32 of a ResNet50, with coarser levels ``above``."""
    maps = {f"layer{stage}": str(level) for level, stage in enumerate((2, 3, 4))}
    pyramid: nn.Module = BackboneWithFPN(
        network, maps, [512, 1024, 2048], _PYRAMID_CHANNELS, extra_blocks=above
    )
    return pyramid


def full_precision(head: nn.Module) -> nn.Module:
    """Have a head answer in float32, whatever it computes in.

    torchvision decodes boxes in the type of the head's answer. bfloat16 knows 256 steps between two
    powers of two: a coordinate of 1,000 pixels would be off by two of them.
    """
    head.register_forward_hook(lambda module, inputs, answer: _as_floats(answer))
    return head


def exact_anchors(generator: nn.Module) -> nn.Module:
    """Have a maker of anchors answer in float32, whatever the feature maps are in.

    torchvision places anchors in the type of the maps. In bfloat16 squares of 8 pixels would be 0
    or 16 wide beyond 1024 pixels, and training on a GPU would teach other ones than a CPU asks.
    """
    generator.register_forward_pre_hook(_with_float_maps)
    return generator


def _with_float_maps(generator: nn.Module, inputs: tuple[Any, list[torch.Tensor]]) -> Any:
    images, maps = inputs
    return images, [features[:, :1].float() for features in maps]  # only their sides are asked for


def _as_floats(answer: Any) -> Any:
    if isinstance(answer, torch.Tensor):
        return answer.float()
    if isinstance(answer, dict):
        return {name: _as_floats(value) for name, value in answer.items()}
    return type(answer)(_as_floats(value) for value in answer)


def sized(model: nn.Module) -> nn.Module:
    """Have a model of torchvision's take images that have its input size already."""
    own: Any = model.transform
    model.transform = NormalizeBatch(
        own.image_mean, own.image_std, size_divisible=own.size_divisible
    )
    return model
