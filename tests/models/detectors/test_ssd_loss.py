"""The batched matching and loss of BatchSSD, held against torchvision's own."""

import pytest
import torch
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.ops import box_iou

from boxloop.models import detectors
from builders_detectors import CLASSES, train_params


@pytest.fixture(scope="module")
def model():
    params = train_params("ssdlite320_mobilenet_v3_large", input_size=(96, 96))
    return detectors.create(params, CLASSES).model


def targets(generator, counts, size=96):
    result = []
    for count in counts:
        corner = torch.rand(count, 2, generator=generator) * size * 0.6
        side = torch.rand(count, 2, generator=generator) * size * 0.35 + 2
        labels = torch.randint(1, len(CLASSES) + 1, (count,), generator=generator)
        result.append({"boxes": torch.cat([corner, corner + side], dim=1), "labels": labels})
    return result


def heads(model, generator, images):
    """Random head outputs of the right shapes, and the anchors."""
    pixels = [torch.randint(0, 256, (3, 96, 96), generator=generator).byte()] * images
    batch, _ = model.transform(pixels)
    features = list(model.backbone(batch.tensors).values())
    anchors = model.anchor_generator(batch, features)
    count = len(anchors[0])
    regression = torch.randn(images, count, 4, generator=generator)
    logits = torch.randn(images, count, len(CLASSES) + 1, generator=generator)
    return regression, logits, anchors


def one_by_one(model, wanted, anchors):
    matched = []
    for target, own in zip(wanted, anchors, strict=True):
        if len(target["boxes"]):
            matched.append(model.proposal_matcher(box_iou(target["boxes"], own)))
        else:
            matched.append(torch.full((len(own),), -1))
    return matched


@pytest.mark.parametrize("counts", [(1,), (3, 1, 5), (12, 2), (1, 1, 1, 1)])
@pytest.mark.parametrize("seed", range(4))
def test_equals_torchvision_where_every_image_has_a_box(model, counts, seed):
    generator = torch.Generator().manual_seed(seed)
    wanted = targets(generator, counts)
    regression, logits, anchors = heads(model, generator, len(counts))
    ours = model.batch_loss(wanted, regression, logits, anchors[0])
    outputs = {"bbox_regression": regression, "cls_logits": logits}
    theirs = SSD.compute_loss(model, wanted, outputs, anchors, one_by_one(model, wanted, anchors))
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("counts", [(0, 4), (2, 0, 3), (7,)])
def test_matches_as_torchvision_does(model, counts):
    generator = torch.Generator().manual_seed(7)
    wanted = targets(generator, counts)
    _, _, anchors = heads(model, generator, len(counts))
    expected = torch.stack(one_by_one(model, wanted, anchors))
    torch.testing.assert_close(model._match(wanted, anchors[0]), expected)


def test_every_target_has_an_anchor_even_a_tiny_one(model):
    generator = torch.Generator().manual_seed(3)
    _, _, anchors = heads(model, generator, 1)
    tiny = {"boxes": torch.tensor([[40.0, 40.0, 42.0, 42.0]]), "labels": torch.tensor([1])}
    assert (model._match([tiny], anchors[0]) == 0).any()


def test_an_image_without_boxes_trains_on_its_hardest_background(model):
    generator = torch.Generator().manual_seed(1)
    regression, logits, anchors = heads(model, generator, 2)
    logits.requires_grad_(True)
    losses = model.batch_loss(targets(generator, (0, 0)), regression, logits, anchors[0])
    assert losses["bbox_regression"] == 0
    background = -torch.log_softmax(logits.detach(), dim=-1)[..., 0]
    expected = background.topk(3, dim=1).values.sum()
    torch.testing.assert_close(losses["classification"].detach(), expected)
    losses["classification"].backward()
    touched = logits.grad.abs().sum(dim=-1) > 0
    assert touched.sum(dim=1).tolist() == [3, 3]


def test_training_needs_targets(model):
    model.train()
    with pytest.raises(ValueError, match="targets"):
        model([torch.zeros(3, 96, 96, dtype=torch.uint8)])
    model.eval()


def test_detections_are_torchvision_s_image_by_image():
    """The whole batch at once finds what torchvision's loop over images and classes finds."""
    torch.manual_seed(3)
    params = train_params("ssdlite320_mobilenet_v3_large", input_size=(96, 96))
    ours = detectors.create(params, CLASSES).model.eval()
    ours.score_thresh, ours.topk_candidates, ours.detections_per_img = 0.3, 40, 25
    sizes = [(96, 96)] * 3
    batch = ImageList(torch.zeros(3, 3, 96, 96), sizes)
    anchors = ours.anchor_generator(batch, list(ours.backbone(batch.tensors).values()))
    regression = torch.randn(3, len(anchors[0]), 4)
    logits = torch.randn(3, len(anchors[0]), len(CLASSES) + 1) * 2
    logits[2, :, 0] = 20  # an image without any detection
    found = ours.batch_detections(regression, logits, anchors[0], sizes)
    outputs = {"bbox_regression": regression, "cls_logits": logits}
    wanted = SSD.postprocess_detections(ours, outputs, anchors, sizes)
    assert [len(each["boxes"]) for each in wanted] == [25, 25, 0]
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine["scores"], other["scores"])
        torch.testing.assert_close(mine["boxes"], other["boxes"])
        assert mine["labels"].tolist() == other["labels"].tolist()
