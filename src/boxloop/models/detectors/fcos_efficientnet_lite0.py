"""A light FCOS on EfficientNet-Lite0: the default, whose ImageNet weights are always at hand.

FCOS (Tian et al. 2019, arXiv:1904.01355) with a feature pyramid (Lin et al. 2017, arXiv:1612.03144)
on EfficientNet-Lite0, the EfficientNet (Tan and Le 2019, arXiv:1905.11946) for small devices. Its
widths are what saved most per minute of a CPU: docs/results/detectors.md.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import timm
from torch import nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.fcos import (
    FCOSClassificationHead,
    FCOSHead,
    FCOSRegressionHead,
)
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from boxloop.models import bundled
from boxloop.models.detectors.canvas_norm import CanvasGroupNorm
from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.fcos import BatchFCOS, StridePositions
from boxloop.models.detectors.torchvision_detector import Options, TorchvisionFactory
from boxloop.models.folding import fold_batch_norm

_WIDTH = 64
"""Channels of the pyramid and of the head."""

_HEAD_LAYERS = 1
"""Convolutions of each of the head's two towers."""

_GROUPS = 16
"""Groups of the head's group norm."""

_STRIDES = (8, 16, 32, 64, 128)
"""Pixels of the input per position of each feature map."""

_MAPS = {"stage2": 40, "stage4": 112, "stage6": 320}
"""Stages of the network that the pyramid is built on, with their channels."""

_FROZEN = ("stem", "norm", "stage0", "stage1")
"""Layers that keep their pretrained weights: edges and textures are the same everywhere."""


def _network(options: Options) -> nn.Module:
    network: nn.Module = timm.create_model(bundled.NETWORK)
    return network


def _assemble(
    network: nn.Module, outputs: int, sides: tuple[int, int], options: Options
) -> nn.Module:
    if options["frozen_norm"]:
        # A few labeled images are too few to estimate the statistics of batch norm anew.
        fold_batch_norm(network)
    stages = [(f"stage{i}", stage) for i, stage in enumerate(network.blocks)]  # type: ignore[arg-type]
    layers = [("stem", network.conv_stem), ("norm", network.bn1), *stages]
    body = nn.Sequential(OrderedDict(layers))
    if options["frozen_norm"]:
        for name in _FROZEN:
            body.get_submodule(name).requires_grad_(False)
    pyramid = BackboneWithFPN(
        body,
        {name: str(level) for level, name in enumerate(_MAPS)},
        list(_MAPS.values()),
        _WIDTH,
        extra_blocks=LastLevelP6P7(_WIDTH, _WIDTH),
    )
    # Each output sees the pixels that begin at its place, not those around it: with the "same"
    # padding of this network the middle of what it sees lies half a stride further on.
    return BatchFCOS(
        pyramid,
        outputs,
        anchor_generator=StridePositions(_STRIDES),
        head=_head(outputs),
        image_mean=list(bundled.MEAN),
        image_std=list(bundled.STD),
    )


def _head(outputs: int) -> nn.Module:
    norm = partial(CanvasGroupNorm, _GROUPS)
    head: nn.Module = FCOSHead(_WIDTH, 1, outputs, _HEAD_LAYERS)
    head.classification_head = FCOSClassificationHead(
        _WIDTH, 1, outputs, _HEAD_LAYERS, norm_layer=norm
    )
    head.regression_head = FCOSRegressionHead(_WIDTH, 1, _HEAD_LAYERS, norm_layer=norm)
    return head


FACTORY = TorchvisionFactory(
    name="fcos_efficientnet_lite0",
    summary="FCOS on EfficientNet-Lite0: light, for a CPU, from ImageNet weights that are at hand",
    size=InputSize((320, 512), keep_aspect=True),
    backbone=_network,
    assemble=_assemble,
    options={
        "scratch": {"frozen_norm": False},
        "backbone": {"frozen_norm": True},
        "detection": {"frozen_norm": True},
    },
    pretrained={},
    bundled={bundled.NAME: bundled.state_dict, "DEFAULT": bundled.state_dict},
)
