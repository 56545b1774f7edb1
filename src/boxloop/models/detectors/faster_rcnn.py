"""Faster R-CNN with a feature pyramid, for any backbone.

Ren et al. 2015 (arXiv:1506.01497), Lin et al. 2017 (arXiv:1612.03144).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import FrozenBatchNorm2d

from boxloop.models.detectors.targets import ignored_classes, mask_softmax
from boxloop.models.detectors.torchvision_detector import Options
from boxloop.models.detectors.torchvision_parts import exact_anchors, full_precision, sized

_PYRAMID_CHANNELS = 256


class _FasterRCNN(FasterRCNN):  # type: ignore[misc]
    """torchvision's, that trains no class on images which are not complete for it.

    The first stage tells objects of any class from all else, and goes on as it is: of the few
    hundred places that it draws from an image, few hold what has no box.
    """

    masks_classes = True


class _RoIHeads(RoIHeads):  # type: ignore[misc]
    """Tells the classifier which classes are ignored at the places that it is trained on."""

    def select_training_samples(self, proposals: Any, targets: Any) -> Any:
        found = super().select_training_samples(proposals, targets)
        ignored, labels = ignored_classes(targets), found[2]
        self.box_predictor.places = None
        if ignored is not None:
            counts = torch.tensor([len(own) for own in labels], device=ignored.device)
            rows = ignored.repeat_interleave(counts, dim=0)
            self.box_predictor.places = (torch.cat(labels), rows)
        return found


class _Predictor(FastRCNNPredictor):  # type: ignore[misc]
    """Leaves ignored classes out of the softmax while it is trained."""

    places: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(self, x: torch.Tensor) -> Any:
        logits, boxes = super().forward(x)
        if self.training and self.places is not None:
            logits = mask_softmax(logits, *self.places)
        return logits, boxes


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
    model = _FasterRCNN(pyramid, outputs, **settings)
    # torchvision makes these two itself, and takes others only whole.
    model.roi_heads.__class__ = _RoIHeads
    model.roi_heads.box_predictor.__class__ = _Predictor
    exact_anchors(model.rpn.anchor_generator)
    full_precision(model.rpn.head)
    full_precision(model.roi_heads.box_predictor)
    return sized(model)
