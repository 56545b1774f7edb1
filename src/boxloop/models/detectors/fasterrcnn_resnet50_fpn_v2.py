"""Faster R-CNN with ResNet50 and a feature pyramid, trained by the newer recipe.

torchvision's ``fasterrcnn_resnet50_fpn_v2``, after Li et al. 2021 (arXiv:2111.11429). Needs a GPU
to be practical.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models.detection import FasterRCNN_ResNet50_FPN_V2_Weights
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead
from torchvision.models.detection.rpn import RPNHead

from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.faster_rcnn import build
from boxloop.models.detectors.torchvision_detector import Options, TorchvisionFactory
from boxloop.models.detectors.torchvision_parts import FROZEN_STEM, freeze

_SHAPES_PER_PLACE = 3  # anchors of one size and three aspect ratios on each level


def _assemble(
    network: nn.Module, outputs: int, sides: tuple[int, int], options: Options
) -> nn.Module:
    freeze([network.conv1, network.bn1, network.layer1], options)  # type: ignore[list-item]
    return build(
        network,
        [("layer1", 256), ("layer2", 512), ("layer3", 1024), ("layer4", 2048)],
        outputs,
        pyramid_norm=nn.BatchNorm2d,
        rpn_head=RPNHead(256, _SHAPES_PER_PLACE, conv_depth=2),
        box_head=FastRCNNConvFCHead(
            (256, 7, 7), [256, 256, 256, 256], [1024], norm_layer=nn.BatchNorm2d
        ),
    )


FACTORY = TorchvisionFactory(
    name="fasterrcnn_resnet50_fpn_v2",
    summary="Faster R-CNN on ResNet50 by the newer recipe: two stages, for a GPU",
    size=InputSize((800, 1333), keep_aspect=True),
    backbone=lambda options: resnet50(weights=None),
    assemble=_assemble,
    options=FROZEN_STEM,
    pretrained={"backbone": ResNet50_Weights, "detection": FasterRCNN_ResNet50_FPN_V2_Weights},
)
