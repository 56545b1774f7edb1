"""Detectors put together of torchvision's parts: what torchvision itself would get wrong."""

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from boxloop.models import detectors
from boxloop.models.detectors.ssd300_vgg16 import FACTORY as VGG
from boxloop.params.registry import DETECTORS
from builders_detectors import CLASSES, drawn, train_params


@pytest.mark.parametrize("name", ["fcos_resnet50_fpn", "retinanet_resnet50_fpn_v2"])
def test_background_is_never_an_answer(name, tmp_path):
    """An output that nothing trains would be read as the last class."""
    detector = detectors.create(train_params(name), CLASSES)
    logits = detector.model.head.classification_head.cls_logits
    logits.bias.data = torch.tensor([9.0, -9.0, -9.0]).repeat(len(logits.bias) // 3)
    refs, _ = drawn(tmp_path, 1)
    assert len(detector.propose(refs, score_floor=0.3, batch_size=1)["image0"]) == 0
    logits.bias.data = -logits.bias.data
    assert len(detector.propose(refs, score_floor=0.3, batch_size=1)["image0"]) > 0


@pytest.mark.parametrize("sides", [(64, 64), (267, 300), (268, 300), (512, 512)])
def test_vgg_has_six_maps_of_images_of_any_size(sides):
    with torch.device("meta"):
        model = VGG.assemble(VGG.backbone({}), 3, sides, {})
        maps = model.backbone(torch.zeros(1, 3, *sides))
    assert len(maps) == 6
    assert all(min(one.shape[-2:]) >= 1 for one in maps.values())


@pytest.mark.parametrize("name", sorted({*DETECTORS} - {"transformers", "empty"}))
def test_what_boxes_are_measured_from_is_exact_within_autocast(name):
    """In bfloat16 strides of 8 beyond 1024 pixels would be 0 or 16: half of them found nothing."""
    model = detectors.create(train_params(name), CLASSES).model
    kinds = AnchorGenerator | DefaultBoxGenerator
    [generator] = [module for module in model.modules() if isinstance(module, kinds)]
    levels = len(generator.num_anchors_per_location())
    canvas = (64, 1344)
    shapes = [(-(-64 // stride), -(-1344 // stride)) for stride in (8, 16, 32, 64, 128, 256)]
    images = ImageList(torch.zeros(1, 3, *canvas), [canvas])
    found, wanted = (
        generator(images, [torch.zeros(1, 2, *shape, dtype=kind) for shape in shapes[:levels]])
        for kind in (torch.bfloat16, torch.float32)
    )
    assert torch.equal(found[0], wanted[0])
