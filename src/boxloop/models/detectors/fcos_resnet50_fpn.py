"""FCOS with ResNet50 and a feature pyramid (Tian et al. 2019, arXiv:1904.01355).

torchvision's ``fcos_resnet50_fpn``. Needs a GPU to be practical. Its positions are torchvision's,
too, as its COCO weights were trained with them: those of strides 64 and 128 lie nearer together
where a side of a batch is no multiple of that.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models.detection import FCOS_ResNet50_FPN_Weights
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from boxloop.models.backbone import IMAGENET
from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.faster_rcnn import norm_layer
from boxloop.models.detectors.fcos import BatchFCOS
from boxloop.models.detectors.torchvision_detector import Options, TorchvisionFactory
from boxloop.models.detectors.torchvision_parts import FROZEN_NORM, freeze, resnet_pyramid


def _assemble(
    network: nn.Module, outputs: int, sides: tuple[int, int], options: Options
) -> nn.Module:
    freeze([network.conv1, network.bn1, network.layer1], options)  # type: ignore[list-item]
    pyramid = resnet_pyramid(network, LastLevelP6P7(256, 256))
    mean, std = (list(values) for values in IMAGENET)
    return BatchFCOS(pyramid, outputs, image_mean=mean, image_std=std)


FACTORY = TorchvisionFactory(
    name="fcos_resnet50_fpn",
    summary="FCOS on ResNet50: one stage without anchors, for a GPU",
    size=InputSize((800, 1333), keep_aspect=True),
    backbone=lambda options: resnet50(weights=None, norm_layer=norm_layer(options)),
    assemble=_assemble,
    options=FROZEN_NORM,
    pretrained={"backbone": ResNet50_Weights, "detection": FCOS_ResNet50_FPN_Weights},
)
