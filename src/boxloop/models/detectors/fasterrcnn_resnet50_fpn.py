"""Faster R-CNN with ResNet50 and a feature pyramid, the paper's two-stage detector.

torchvision's ``fasterrcnn_resnet50_fpn``. Needs a GPU to be practical.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.faster_rcnn import build, norm_layer
from boxloop.models.detectors.torchvision_detector import Options, TorchvisionFactory
from boxloop.models.detectors.torchvision_parts import FROZEN_NORM, freeze


def _assemble(
    network: nn.Module, outputs: int, sides: tuple[int, int], options: Options
) -> nn.Module:
    freeze([network.conv1, network.bn1, network.layer1], options)  # type: ignore[list-item]
    maps = [("layer1", 256), ("layer2", 512), ("layer3", 1024), ("layer4", 2048)]
    return build(network, maps, outputs)


FACTORY = TorchvisionFactory(
    name="fasterrcnn_resnet50_fpn",
    summary="Faster R-CNN on ResNet50: two stages, the paper's, for a GPU",
    size=InputSize((600, 1024), keep_aspect=True),  # as in the paper, section 4.2
    backbone=lambda options: resnet50(weights=None, norm_layer=norm_layer(options)),
    assemble=_assemble,
    # torchvision's COCO weights were trained with batch norm's epsilon at 0.
    options={**FROZEN_NORM, "detection": {"frozen_norm": True, "norm_eps": 0.0}},
    pretrained={"backbone": ResNet50_Weights, "detection": FasterRCNN_ResNet50_FPN_Weights},
)
