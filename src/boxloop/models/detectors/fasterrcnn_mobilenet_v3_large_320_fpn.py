"""Faster R-CNN with MobileNetV3 Large and a feature pyramid, for small images.

torchvision's ``fasterrcnn_mobilenet_v3_large_320_fpn``.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large
from torchvision.models.detection import FasterRCNN_MobileNet_V3_Large_320_FPN_Weights
from torchvision.models.detection.rpn import AnchorGenerator

from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.faster_rcnn import build, norm_layer
from boxloop.models.detectors.torchvision_detector import Options, TorchvisionFactory
from boxloop.models.detectors.torchvision_parts import FROZEN_NORM, freeze


def _assemble(
    network: nn.Module, outputs: int, sides: tuple[int, int], options: Options
) -> nn.Module:
    layers = list(network.features)  # type: ignore[arg-type]
    # The layers after which the resolution halves; the last three of the six stages train.
    strided = [i for i, block in enumerate(layers) if getattr(block, "_is_cn", False)]
    stages = [0, *strided, len(layers) - 1]
    freeze(layers[: stages[-3]], options)
    maps = [(str(i), int(layers[i].out_channels)) for i in stages[-2:]]
    return build(
        network.features,  # type: ignore[arg-type]
        maps,
        outputs,
        rpn_anchor_generator=AnchorGenerator(
            ((32, 64, 128, 256, 512),) * 3, ((0.5, 1.0, 2.0),) * 3
        ),
        rpn_pre_nms_top_n_test=150,
        rpn_post_nms_top_n_test=150,
        rpn_score_thresh=0.05,
    )


FACTORY = TorchvisionFactory(
    name="fasterrcnn_mobilenet_v3_large_320_fpn",
    summary="Faster R-CNN on MobileNetV3: two stages, for small images",
    size=InputSize((320, 640), keep_aspect=True),
    backbone=lambda options: mobilenet_v3_large(weights=None, norm_layer=norm_layer(options)),
    assemble=_assemble,
    options=FROZEN_NORM,
    pretrained={
        "backbone": MobileNet_V3_Large_Weights,
        "detection": FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    },
)
