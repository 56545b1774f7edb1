"""SSDlite with MobileNetV3 Large (Howard et al. 2019, arXiv:1905.02244).

torchvision's ``ssdlite320_mobilenet_v3_large``, composed here of torchvision's own parts because
its builder fixes the input size and the source of the weights.
"""

from __future__ import annotations

from functools import partial

from torch import nn
from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large
from torchvision.models.detection import SSDLite320_MobileNet_V3_Large_Weights
from torchvision.models.detection.ssdlite import SSDLiteFeatureExtractorMobileNet, SSDLiteHead

from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.ssd import BatchSSD
from boxloop.models.detectors.torchvision_detector import Options, TorchvisionFactory

# Slow averages, as torchvision trained the COCO weights with them.
_norm = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)


def _assemble(
    network: nn.Module, outputs: int, sides: tuple[int, int], options: Options
) -> nn.Module:
    layers = network.features
    # The first feature map is taken inside the last block that halves the resolution.
    last_strided = max(i for i, block in enumerate(layers) if getattr(block, "_is_cn", False))  # type: ignore[arg-type]
    return BatchSSD(
        SSDLiteFeatureExtractorMobileNet(layers, last_strided, _norm),
        partial(SSDLiteHead, norm_layer=_norm),
        sides,
        outputs,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
        nms_thresh=0.55,
        detections_per_img=300,
        topk_candidates=300,
    )


FACTORY = TorchvisionFactory(
    name="ssdlite320_mobilenet_v3_large",
    summary="SSDlite on MobileNetV3: one stage, small and quick",
    size=InputSize((320, 320), keep_aspect=False),
    backbone=lambda options: mobilenet_v3_large(
        weights=None, norm_layer=_norm, reduced_tail=bool(options["reduced_tail"])
    ),
    assemble=_assemble,
    # The COCO weights have half the channels in the last blocks (table 6 of the paper).
    options={
        "scratch": {"reduced_tail": True},
        "backbone": {"reduced_tail": False},
        "detection": {"reduced_tail": True},
    },
    pretrained={
        "backbone": MobileNet_V3_Large_Weights,
        "detection": SSDLite320_MobileNet_V3_Large_Weights,
    },
)
