"""SSD with MobileNetV2, the single-stage detector of the paper's experiments.

torchvision has no such model; this one is its SSD on its MobileNetV2, with the layout of the
TensorFlow Object Detection API's ``ssd_mobilenet_v2`` (Liu et al. 2016, arXiv:1512.02325; Sandler
et al. 2018, arXiv:1801.04381): feature maps from the expansion of the 14th bottleneck (19x19 of a
300x300 image), from the last layer (10x10), and from four extra blocks (5x5, 3x3, 2x2, 1x1).
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
from torch import nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2
from torchvision.models.detection.ssd import SSDHead
from torchvision.ops.misc import Conv2dNormActivation

from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.ssd import BatchSSD
from boxloop.models.detectors.torchvision_detector import Options, TorchvisionFactory

_EXTRA_CHANNELS = (512, 256, 256, 128)
_convolution = partial(Conv2dNormActivation, activation_layer=nn.ReLU6)
_SPLIT = 14  # the last bottleneck that halves the resolution


class FeatureMaps(nn.Module):
    """MobileNetV2's ``features`` with six feature maps, each of half the resolution."""

    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        blocks = list(layers)
        expansion, *rest = blocks[_SPLIT].conv  # type: ignore[misc]
        self.features = nn.Sequential(
            nn.Sequential(*blocks[:_SPLIT], expansion),
            nn.Sequential(*rest, *blocks[_SPLIT + 1 :]),
        )
        self.extra = nn.ModuleList()
        channels = int(blocks[-1].out_channels)  # type: ignore[arg-type]
        for width in _EXTRA_CHANNELS:
            narrow = _convolution(channels, width // 2, kernel_size=1)
            self.extra.append(
                nn.Sequential(narrow, _convolution(width // 2, width, kernel_size=3, stride=2))
            )
            channels = width

    def forward(self, x: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        """Compute the maps of a batch (N, 3, H, W), finest first."""
        maps: OrderedDict[str, torch.Tensor] = OrderedDict()
        for block in (*self.features, *self.extra):
            x = block(x)
            maps[str(len(maps))] = x
        return maps


def _assemble(
    network: nn.Module, outputs: int, sides: tuple[int, int], options: Options
) -> nn.Module:
    return BatchSSD(
        FeatureMaps(network.features),  # type: ignore[arg-type]
        SSDHead,
        sides,
        outputs,
        # What torchvision's ImageNet weights of the backbone were trained with.
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )


FACTORY = TorchvisionFactory(
    name="ssd300_mobilenet_v2",
    summary="SSD on MobileNetV2: one stage, the paper's",
    size=InputSize((300, 300), keep_aspect=False),
    backbone=lambda options: mobilenet_v2(weights=None),
    assemble=_assemble,
    pretrained={"backbone": MobileNet_V2_Weights},
)
