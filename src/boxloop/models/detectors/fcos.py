"""FCOS for whole batches (Tian et al. 2019, arXiv:1904.01355).

Fully convolutional and anchor-free: every position of a feature map that lies near the centre of a
box predicts its class and its distances to the box's four sides.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.detection import FCOS
from torchvision.models.detection._utils import _topk_min
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from boxloop.models.detectors.canvas_norm import canvas_masks, norms_within
from boxloop.models.detectors.suppression import detections
from boxloop.models.detectors.targets import ignored_classes, pad_targets
from boxloop.models.detectors.torchvision_parts import exact_anchors
from boxloop.models.detectors.transforms import NormalizeBatch

_DISTANCE = 3.0
"""Strides from a position to the sides of its box, before anything is learned: each map is for
those of 4 to 8 to the farthest side."""


class StridePositions(AnchorGenerator):  # type: ignore[misc]
    """Positions in the middle of their strides, as squares that are a stride wide.

    torchvision takes a batch's side by the number of positions as their distance: 60 pixels in
    place of 64 for eight positions in 480, another one where the batch is padded further.
    """

    def __init__(self, strides: tuple[int, ...]) -> None:
        """Set the pixels of the input per position of each feature map."""
        super().__init__(tuple((s,) for s in strides), ((1.0,),) * len(strides))
        self.strides = strides

    def forward(self, images: ImageList, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return for each image (A, 4) squares, those of the first map first, row by row."""
        squares = []
        for stride, features in zip(self.strides, maps, strict=True):
            height, width = features.shape[-2:]
            y, x = torch.meshgrid(
                torch.arange(height, device=features.device, dtype=torch.float32) * stride,
                torch.arange(width, device=features.device, dtype=torch.float32) * stride,
                indexing="ij",
            )
            squares.append(torch.stack([x, y, x + stride, y + stride], dim=-1).view(-1, 4))
        return [torch.cat(squares)] * len(images.image_sizes)


class BatchFCOS(FCOS):  # type: ignore[misc]
    """torchvision's FCOS, but for how a batch is computed.

    - Matching, losses and the choice of detections are computed for all images of a batch
      together, not image by image: with one suppression, and without asking the device for a
      number per image and level.
    - Images of different shapes hardly change each other's boxes, where the head's norms are
      :class:`~boxloop.models.detectors.canvas_norm.CanvasGroupNorm` and the positions
      :class:`StridePositions`: only what lies at the border of an image sees the padding beside it.
    - ``score_thresh``, ``nms_thresh``, ``topk_candidates`` and ``detections_per_img`` mean the
      same, the third for an image instead of for one of its feature maps.
    """

    masks_classes = True

    def __init__(
        self,
        backbone: nn.Module,
        outputs: int,
        *,
        image_mean: list[float],
        image_std: list[float],
        size_divisible: int = 32,
        **settings: Any,
    ) -> None:
        """Build torchvision's FCOS for images that have the input size already.

        Args:
            backbone: computes feature maps, the finest first.
            outputs: classes and the background.
            image_mean: of colours in [0, 1].
            image_std: likewise.
            size_divisible: what divides the sides of a batch.
            **settings: of torchvision's ``FCOS``, whose own positions without an
                ``anchor_generator`` depend on a batch's sides: see :class:`StridePositions`.
        """
        super().__init__(backbone, outputs, **settings)
        # Distances are what ReLU leaves of these outputs. With torchvision's bias of 0 half of them
        # are negative at first, where nothing flows back, and some trainings never found a box.
        nn.init.constant_(self.head.regression_head.bbox_reg.bias, _DISTANCE)
        exact_anchors(self.anchor_generator)
        self.transform = NormalizeBatch(image_mean, image_std, size_divisible=size_divisible)

    def forward(
        self,
        images: list[torch.Tensor],
        targets: list[dict[str, torch.Tensor]] | None = None,
    ) -> Any:
        """Return losses by name in training mode, else detections per image."""
        if self.training and targets is None:
            raise ValueError("training needs targets")
        batch, _ = self.transform(images)
        features = list(self.backbone(batch.tensors).values())
        canvases = [self.transform.canvas(*size) for size in batch.image_sizes]
        masks = canvas_masks(canvases, features, tuple(batch.tensors.shape[-2:]))
        with norms_within(self.head, masks):
            outputs = {name: value.float() for name, value in self.head(features).items()}
        anchors = self.anchor_generator(batch, features)[0]  # the same for every image
        boxes = self.box_coder.decode(
            outputs["bbox_regression"], anchors.expand(len(images), -1, -1)
        )
        if not self.training:
            return self.batch_detections(boxes, outputs, batch.image_sizes)
        assert targets is not None
        levels = [feature.shape[-2] * feature.shape[-1] for feature in features]
        return self.batch_loss(targets, boxes, outputs, anchors, levels)

    def batch_loss(
        self,
        targets: list[dict[str, torch.Tensor]],
        boxes: torch.Tensor,
        outputs: dict[str, torch.Tensor],
        anchors: torch.Tensor,
        levels: list[int],
    ) -> dict[str, torch.Tensor]:
        """Compute the three losses of a batch, per matched position (equation 2 of the paper).

        Args:
            targets: N of them, with ``boxes`` (n, 4) and ``labels`` (n,), and perhaps ``ignored``.
            boxes: (N, A, 4) predicted at each position.
            outputs: of the head: ``cls_logits`` (N, A, classes + 1) and ``bbox_ctrness`` (N, A, 1).
            anchors: (A, 4) squares around the positions, as wide as their map's stride.
            levels: how many of the positions belong to each feature map, the finest first.
        """
        wanted, labels, real = pad_targets(targets, anchors)
        matched = self._match(wanted, real, anchors, levels)
        foreground = matched >= 0
        image, position = foreground.nonzero(as_tuple=True)
        index = matched[image, position]
        truth, found = wanted[image, index], boxes[image, position]

        logits = outputs["cls_logits"]
        classes = torch.zeros_like(logits)
        classes[image, position, labels[image, index]] = 1.0
        ignored = ignored_classes(targets)
        if ignored is not None:
            counted = ~ignored[:, None] | classes.bool()
            logits, classes = logits[counted], classes[counted]
        centerness = outputs["bbox_ctrness"][image, position, 0]
        matches = max(1, len(image))
        return {
            "classification": sigmoid_focal_loss(logits, classes, reduction="sum") / matches,
            "bbox_regression": generalized_box_iou_loss(found, truth, reduction="sum") / matches,
            "bbox_ctrness": functional.binary_cross_entropy_with_logits(
                centerness, _centerness(truth, anchors[position]), reduction="sum"
            )
            / matches,
        }

    def _match(
        self,
        wanted: torch.Tensor,
        real: torch.Tensor,
        anchors: torch.Tensor,
        levels: list[int],
    ) -> torch.Tensor:
        """Match each position with the index of a box of its image (section 3.2 of the paper).

        A position takes a box in whose middle it lies, of the size that its feature map is for; of
        several, the one of smallest area.

        Returns:
            (N, A) int64, -1 for background.
        """
        points = (anchors[:, :2] + anchors[:, 2:]) / 2
        stride = anchors[:, 2] - anchors[:, 0]
        middle = (wanted[..., :2] + wanted[..., 2:]) / 2
        off = (points - middle[:, :, None]).abs().amax(dim=-1)  # (N, n, A)
        sides = torch.cat(
            [points - wanted[:, :, None, :2], wanted[:, :, None, 2:] - points], dim=-1
        )
        smallest, largest = stride * 4, stride * 8
        smallest[: levels[0]] = 0
        largest[-levels[-1] :] = torch.inf
        reach = sides.amax(dim=-1)
        fits = (
            real[:, :, None]
            & (off < self.center_sampling_radius * stride)
            & (sides.amin(dim=-1) > 0)
            & (reach > smallest)
            & (reach < largest)
        )
        area = (wanted[..., 2:] - wanted[..., :2]).prod(dim=-1)
        best, matched = area[:, :, None].where(fits, torch.inf).min(dim=1)
        return matched.where(best.isfinite(), -1)

    def batch_detections(
        self,
        boxes: torch.Tensor,
        outputs: dict[str, torch.Tensor],
        sizes: list[tuple[int, int]],
    ) -> list[dict[str, torch.Tensor]]:
        """Choose the detections of a batch.

        Args:
            boxes: (N, A, 4) predicted at each position.
            outputs: of the head, as in :meth:`batch_loss`.
            sizes: (height, width) of the images.

        Returns:
            By image, ``boxes`` (n, 4), ``labels`` (n,) and ``scores`` (n,), the highest first.
        """
        # Output 0 stands for the background, which nothing trains: it is left out.
        scores = outputs["cls_logits"][..., 1:].sigmoid() * outputs["bbox_ctrness"].sigmoid()
        classes = scores.shape[-1]
        scores = scores.sqrt().flatten(1)  # (N, A * classes)
        scores, index = scores.topk(_topk_min(scores, self.topk_candidates, 1), dim=1)
        found = boxes.gather(1, (index // classes)[..., None].expand(-1, -1, 4))
        image, chosen = (scores > self.score_thresh).nonzero(as_tuple=True)
        return detections(
            found[image, chosen],
            (index % classes)[image, chosen] + 1,
            scores[image, chosen],
            image,
            sizes,
            nms_threshold=self.nms_thresh,
            most=self.detections_per_img,
        )


def _centerness(boxes: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Compute how central positions lie in their boxes, in [0, 1] (equation 3 of the paper)."""
    points = (anchors[:, :2] + anchors[:, 2:]) / 2
    near, far = points - boxes[:, :2], boxes[:, 2:] - points
    ratio = torch.minimum(near, far) / torch.maximum(near, far)
    return ratio.prod(dim=-1).sqrt()
