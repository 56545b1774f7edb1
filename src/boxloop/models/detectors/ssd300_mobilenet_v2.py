"""SSD with MobileNetV2, the single-stage detector of the paper's experiments.

torchvision has no such model; this one is its SSD on its MobileNetV2, with the layout of the
TensorFlow Object Detection API's ``ssd_mobilenet_v2`` (Liu et al. 2016, arXiv:1512.02325; Sandler
et al. 2018, arXiv:1801.04381): feature maps from the expansion of the 14th bottleneck (19x19 of a
300x300 image), from the last layer (10x10), and from four extra blocks (5x5, 3x3, 2x2, 1x1).
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2
from torchvision.models.detection._utils import retrieve_out_channels
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSDHead
from torchvision.ops.misc import Conv2dNormActivation

from boxloop.models.detectors.ssd import BatchSSD
from boxloop.models.detectors.torchvision_detector import Options, TorchvisionFactory

_EXTRA_CHANNELS = (512, 256, 256, 128)
_SPLIT = 14  # the last bottleneck that halves the resolution


class FeatureMaps(nn.Module):
    """MobileNetV2 with six feature maps, each of half the resolution."""

    def __init__(self, layers: nn.Sequential) -> None:
        """Take over the layers of MobileNetV2's ``features``."""
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
            self.extra.append(
                nn.Sequential(
                    Conv2dNormActivation(
                        channels, width // 2, kernel_size=1, activation_layer=nn.ReLU6
                    ),
                    Conv2dNormActivation(
                        width // 2, width, kernel_size=3, stride=2, activation_layer=nn.ReLU6
                    ),
                )
            )
            channels = width

    def forward(self, x: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        """Compute the maps of a batch (N, 3, H, W), finest first."""
        maps: OrderedDict[str, torch.Tensor] = OrderedDict()
        for block in (*self.features, *self.extra):
            x = block(x)
            maps[str(len(maps))] = x
        return maps


def _backbone(options: Options) -> nn.Module:
    network: nn.Module = mobilenet_v2(weights=None)
    return network


def _assemble(
    network: nn.Module, outputs: int, sides: tuple[int, int], options: Options
) -> nn.Module:
    extractor = FeatureMaps(network.features)  # type: ignore[arg-type]
    anchors = DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.2, max_ratio=0.95)
    head = SSDHead(
        retrieve_out_channels(extractor, sides), anchors.num_anchors_per_location(), outputs
    )
    return BatchSSD(
        extractor,
        anchors,
        sides,
        outputs,
        head=head,
        # What torchvision's ImageNet weights of the backbone were trained with.
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    )


FACTORY = TorchvisionFactory(
    name="ssd300_mobilenet_v2",
    sides=(300, 300),
    keep_aspect=False,
    backbone=_backbone,
    assemble=_assemble,
    options={"scratch": {}, "backbone": {}, "detection": {}},
    backbone_weights=MobileNet_V2_Weights,
    detection_weights=None,
)
