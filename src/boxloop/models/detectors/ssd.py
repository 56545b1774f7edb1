"""torchvision's SSD with a loss computed for whole batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.detection._utils import retrieve_out_channels
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from boxloop.models.detectors.suppression import detections
from boxloop.models.detectors.targets import ignored_classes, mask_softmax, pad_targets
from boxloop.models.detectors.torchvision_parts import exact_anchors
from boxloop.models.detectors.transforms import NormalizeBatch

HARD_NEGATIVES = 3
"""Background boxes that train the classifier per matched box (Liu et al. 2016, section 2.2)."""


class BatchSSD(SSD):  # type: ignore[misc]
    """SSD (Liu et al. 2016, arXiv:1512.02325), torchvision's but for how a batch is computed.

    - Matching, loss and the choice of detections are computed for all images of a batch together,
      not image by image and class by class: on a CPU the many small operations of the loss took a
      fifth of the forward pass, and a GPU waits for each of them.
    - An image without any box trains the classifier on its :data:`HARD_NEGATIVES` hardest
      background boxes. torchvision's number of them is three times the matched boxes: none.
    """

    masks_classes = True

    def __init__(
        self,
        extractor: nn.Module,
        make_head: Callable[[list[int], list[int], int], nn.Module],
        sides: tuple[int, int],
        outputs: int,
        *,
        image_mean: list[float],
        image_std: list[float],
        anchors: DefaultBoxGenerator | None = None,
        **settings: Any,
    ) -> None:
        """Build torchvision's SSD for images that have the input size already.

        ``make_head`` builds the head for the channels and the anchors of the six feature maps that
        ``extractor`` computes, and for ``outputs`` classes, the background included.
        """
        if anchors is None:
            anchors = DefaultBoxGenerator([[2, 3]] * 6, min_ratio=0.2, max_ratio=0.95)
        channels = retrieve_out_channels(extractor, sides)
        head = make_head(channels, anchors.num_anchors_per_location(), outputs)
        super().__init__(extractor, anchors, sides, outputs, head=head, **settings)
        exact_anchors(self.anchor_generator)
        self.transform = NormalizeBatch(image_mean, image_std)

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
        outputs = self.head(features)
        anchors = self.anchor_generator(batch, features)[0]
        regression, logits = outputs["bbox_regression"].float(), outputs["cls_logits"].float()
        if not self.training:
            return self.batch_detections(regression, logits, anchors, batch.image_sizes)
        assert targets is not None
        return self.batch_loss(targets, regression, logits, anchors)

    def batch_detections(
        self,
        regression: torch.Tensor,
        logits: torch.Tensor,
        anchors: torch.Tensor,
        sizes: list[tuple[int, int]],
    ) -> list[dict[str, torch.Tensor]]:
        """Choose the detections of a batch: of each class the best candidates, then suppressed.

        Args:
            regression: (N, A, 4) encoded boxes.
            logits: (N, A, classes + 1); 0 is background.
            anchors: (A, 4), the same for every image.
            sizes: (height, width) of the images.

        Returns:
            By image, ``boxes`` (n, 4), ``labels`` (n,) and ``scores`` (n,), the highest first.
        """
        scores = logits.softmax(dim=-1)[..., 1:].transpose(1, 2)  # (N, classes, A)
        scores, index = scores.topk(min(self.topk_candidates, scores.shape[2]), dim=2)
        image, label, chosen = (scores > self.score_thresh).nonzero(as_tuple=True)
        anchor = index[image, label, chosen]
        return detections(
            self.box_coder.decode_single(regression[image, anchor], anchors[anchor]),
            label + 1,
            scores[image, label, chosen],
            image,
            sizes,
            nms_threshold=self.nms_thresh,
            most=self.detections_per_img,
        )

    def batch_loss(
        self,
        targets: list[dict[str, torch.Tensor]],
        regression: torch.Tensor,
        logits: torch.Tensor,
        anchors: torch.Tensor,
    ) -> dict[str, torch.Tensor]:
        """Compute both losses of a batch, per matched anchor.

        Args:
            targets: N of them, with ``boxes`` (n, 4) and ``labels`` (n,), and perhaps ``ignored``.
            regression: (N, A, 4) encoded boxes.
            logits: (N, A, classes + 1); 0 is background.
            anchors: (A, 4), the same for every image.
        """
        matched = self._match(targets, anchors)
        foreground = matched >= 0
        image, anchor = foreground.nonzero(as_tuple=True)

        boxes = torch.cat([target["boxes"] for target in targets])
        labels = torch.cat([target["labels"] for target in targets])
        classes = torch.zeros_like(matched)
        localisation = regression.sum() * 0.0
        if len(image):
            counts = torch.tensor([len(target["boxes"]) for target in targets])
            first = (counts.cumsum(0) - counts).to(matched.device)
            chosen = first[image] + matched[image, anchor]
            wanted = self.box_coder.encode_single(boxes[chosen], anchors[anchor])
            localisation = functional.smooth_l1_loss(
                regression[image, anchor], wanted, reduction="sum"
            )
            classes[image, anchor] = labels[chosen]

        ignored = ignored_classes(targets)
        if ignored is not None:
            logits = mask_softmax(logits, classes, ignored[:, None])
        each = functional.cross_entropy(
            logits.flatten(0, 1), classes.flatten(), reduction="none"
        ).view_as(classes)
        hardest = each.masked_fill(foreground, -torch.inf).sort(dim=1, descending=True).values
        matches = foreground.sum(dim=1)
        wanted_negatives = (matches * HARD_NEGATIVES).clamp(min=HARD_NEGATIVES)
        available = foreground.shape[1] - matches
        rank = torch.arange(foreground.shape[1], device=matched.device)
        negatives = hardest[rank < torch.minimum(wanted_negatives, available)[:, None]]

        matches_in_all = max(1, len(image))
        return {
            "bbox_regression": localisation / matches_in_all,
            "classification": (each[foreground].sum() + negatives.sum()) / matches_in_all,
        }

    def _match(self, targets: list[dict[str, torch.Tensor]], anchors: torch.Tensor) -> torch.Tensor:
        """Match each anchor with the index of a target of its image.

        An anchor takes the target of highest IoU where that reaches the threshold; then each
        target takes the anchor of highest IoU whatever it is (Liu et al. 2016, section 2.2;
        of two targets that want the same anchor, the later one has it, as in torchvision).

        Returns:
            (N, A) int64, -1 for background.
        """
        boxes, _, real = pad_targets(targets, anchors)
        iou = box_iou(boxes, anchors.expand(len(boxes), -1, -1))  # (N, most, A)
        iou = iou.masked_fill(~real[:, :, None], -1.0)
        best, matched = iou.max(dim=1)
        matched[best < self.proposal_matcher.low_threshold] = -1
        number = torch.arange(real.shape[1], device=anchors.device).expand_as(real)
        claims = torch.full_like(matched, -1).scatter_reduce(
            1, iou.argmax(dim=2), torch.where(real, number, -1), reduce="amax"
        )
        return torch.where(claims >= 0, claims, matched)
