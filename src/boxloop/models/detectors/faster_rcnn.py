"""Faster R-CNN with a feature pyramid, for any backbone.

Ren et al. 2015 (arXiv:1506.01497), Lin et al. 2017 (arXiv:1612.03144).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d

from boxloop.models.detectors.torchvision_detector import Options
from boxloop.models.detectors.torchvision_parts import full_precision, sized

_PYRAMID_CHANNELS = 256


def norm_layer(options: Options) -> Any:
    """Return trainable batch norm, or one frozen at pretrained statistics.

    Batches of a two-stage detector are too small to estimate statistics anew; from scratch there
    are none to freeze.
    """
    if options["frozen_norm"]:
        return partial(FrozenBatchNorm2d, eps=float(options["norm_eps"]))
    return nn.BatchNorm2d


def build(
    body: nn.Module,
    maps: Sequence[tuple[str, int]],
    outputs: int,
    *,
    pyramid_norm: type[nn.Module] | None = None,
    **settings: Any,
) -> nn.Module:
    """Build the detector on a feature pyramid.

    Args:
        body: the classification network's feature layers.
        maps: (name of the child of ``body``, its channels) of each map, finest first.
        outputs: classes and the background.
        pyramid_norm: makes the norm layers of the pyramid; None leaves them out.
        **settings: of torchvision's ``FasterRCNN``.
    """
    pyramid = BackboneWithFPN(
        body,
        {name: str(level) for level, (name, _) in enumerate(maps)},
        [channels for _, channels in maps],
        _PYRAMID_CHANNELS,
        norm_layer=pyramid_norm,
    )
    model = FasterRCNN(pyramid, outputs, **settings)
    full_precision(model.rpn.head)
    full_precision(model.roi_heads.box_predictor)
    return sized(model)
