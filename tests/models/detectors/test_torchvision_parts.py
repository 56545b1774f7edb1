"""Detectors put together of torchvision's parts: what torchvision itself would get wrong."""

import pytest
import torch

from boxloop.models import detectors
from boxloop.models.detectors.ssd300_vgg16 import FACTORY as VGG
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
