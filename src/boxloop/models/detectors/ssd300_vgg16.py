"""SSD with VGG16, as it was published (Liu et al. 2016, arXiv:1512.02325).

torchvision's ``ssd300_vgg16``, composed here of torchvision's own parts because its builder fixes
the input size and the source of the weights.
"""

from __future__ import annotations

from torch import nn
from torchvision.models import VGG16_Weights
from torchvision.models.detection import SSD300_VGG16_Weights
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSDFeatureExtractorVGG, SSDHead
from torchvision.models.vgg import cfgs, make_layers

from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.ssd import BatchSSD
from boxloop.models.detectors.torchvision_detector import Options, TorchvisionFactory
from boxloop.models.detectors.torchvision_parts import FROZEN_STEM, freeze

_FIRST_STAGE = 4  # layers of VGG before its first pooling
_PUBLISHED = (300, 300)
_STEPS = [8, 16, 32, 64, 100, 300]  # pixels from box to box on each map, of the published size
_UNPADDED = 268  # pixels from which on the last two maps come without padding


def _backbone(options: Options) -> nn.Module:
    """Build VGG16 without its classifier, whose weights would be most of the file."""
    features = make_layers(cfgs["D"], batch_norm=False)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.ModuleDict({"features": features})


def _assemble(
    network: nn.Module, outputs: int, sides: tuple[int, int], options: Options
) -> nn.Module:
    features: nn.Sequential = network.features  # type: ignore[assignment]
    freeze(list(features[:_FIRST_STAGE]), options)
    extractor = SSDFeatureExtractorVGG(features, highres=False)
    if min(sides) < _UNPADDED:
        # Of a smaller image fewer than the 3x3 pixels that these two take would be left.
        for block in extractor.extra[3:]:
            block[2].padding = (1, 1)
    return BatchSSD(
        extractor,
        SSDHead,
        sides,
        outputs,
        anchors=DefaultBoxGenerator(
            [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
            scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
            steps=_STEPS if sides == _PUBLISHED else None,
        ),
        # What the backbone's weights were trained with: values up to 255, the mean subtracted.
        image_mean=[0.48235, 0.45882, 0.40784],
        image_std=[1.0 / 255.0] * 3,
    )


FACTORY = TorchvisionFactory(
    name="ssd300_vgg16",
    summary="SSD on VGG16: one stage, as it was published in 2016",
    size=InputSize(_PUBLISHED, keep_aspect=False),
    backbone=_backbone,
    assemble=_assemble,
    options=FROZEN_STEM,
    # torchvision's other weights of VGG16 expect images that are normalised otherwise.
    pretrained={
        "backbone": [VGG16_Weights.IMAGENET1K_FEATURES],
        "detection": SSD300_VGG16_Weights,
    },
)
