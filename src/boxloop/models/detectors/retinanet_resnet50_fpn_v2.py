"""RetinaNet with ResNet50 and a feature pyramid (Lin et al. 2017, arXiv:1708.02002).

torchvision's ``retinanet_resnet50_fpn_v2``, after Zhang et al. 2019 (arXiv:1912.02424). Needs a GPU
to be practical.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import nn
from torchvision.models import ResNet50_Weights, resnet50
from torchvision.models.detection import RetinaNet_ResNet50_FPN_V2_Weights
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.retinanet import RetinaNet, RetinaNetHead
from torchvision.ops import box_iou
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.targets import ignored_classes
from boxloop.models.detectors.torchvision_detector import Options, TorchvisionFactory
from boxloop.models.detectors.torchvision_parts import (
    FROZEN_STEM,
    WithoutBackground,
    exact_anchors,
    freeze,
    full_precision,
    resnet_pyramid,
    sized,
)

_ANCHORS = tuple(
    (side, int(side * 2 ** (1 / 3)), int(side * 2 ** (2 / 3))) for side in (32, 64, 128, 256, 512)
)


_CERTAINLY_NOT = -1e4
"""A logit whose loss as background is zero; that of minus infinity is not a number."""


class _Model(WithoutBackground, RetinaNet):  # type: ignore[misc]
    """torchvision's, but that it never answers "background", and can leave classes out."""

    masks_classes = True

    def compute_loss(self, targets: Any, head_outputs: Any, anchors: Any) -> Any:
        ignored = ignored_classes(targets)
        if ignored is not None:
            masks = ignored[:, None].expand_as(head_outputs["cls_logits"]).clone()
            for mask, target, own in zip(masks, targets, anchors, strict=True):
                if len(target["boxes"]):
                    match = self.proposal_matcher(box_iou(target["boxes"], own))
                    (matched,) = (match >= 0).nonzero(as_tuple=True)
                    mask[matched, target["labels"][match[matched]]] = False
            logits = head_outputs["cls_logits"].masked_fill(masks, _CERTAINLY_NOT)
            head_outputs = {**head_outputs, "cls_logits": logits}
        return super().compute_loss(targets, head_outputs, anchors)


def _assemble(
    network: nn.Module, outputs: int, sides: tuple[int, int], options: Options
) -> nn.Module:
    freeze([network.conv1, network.bn1, network.layer1], options)  # type: ignore[list-item]
    pyramid = resnet_pyramid(network, LastLevelP6P7(2048, 256))
    anchors = AnchorGenerator(_ANCHORS, ((0.5, 1.0, 2.0),) * len(_ANCHORS))
    exact_anchors(anchors)
    head = RetinaNetHead(
        pyramid.out_channels,
        anchors.num_anchors_per_location()[0],
        outputs,
        norm_layer=partial(nn.GroupNorm, 32),
    )
    head.regression_head._loss_type = "giou"
    full_precision(head)
    return sized(_Model(pyramid, outputs, anchor_generator=anchors, head=head))


FACTORY = TorchvisionFactory(
    name="retinanet_resnet50_fpn_v2",
    summary="RetinaNet on ResNet50: one stage with anchors, for a GPU",
    size=InputSize((800, 1333), keep_aspect=True),
    backbone=lambda options: resnet50(weights=None),
    assemble=_assemble,
    options=FROZEN_STEM,
    pretrained={"backbone": ResNet50_Weights, "detection": RetinaNet_ResNet50_FPN_V2_Weights},
)
