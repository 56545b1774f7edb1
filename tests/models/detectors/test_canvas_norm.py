"""Group norm within each image's own canvas, against torch's on what is cut out of the batch."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from boxloop.models import detectors
from boxloop.models.detectors.canvas_norm import CanvasGroupNorm, canvas_masks, norms_within
from builders_detectors import CLASSES, train_params

CANVASES = [(64, 96), (64, 32), (32, 96), (64, 64)]


def norm():
    torch.manual_seed(0)
    made = CanvasGroupNorm(4, 8)
    with torch.no_grad():
        made.weight.uniform_(0.5, 2)
        made.bias.uniform_(-1, 1)
    return made


def cut_out(maps, canvas, stride):
    return maps[..., : -(-canvas[0] // stride), : -(-canvas[1] // stride)]


@pytest.mark.parametrize("stride", [8, 32, 64, 128])
def test_each_image_is_normalised_as_it_is_alone(stride):
    made = norm()
    maps = torch.randn(4, 8, -(-64 // stride), -(-96 // stride)) * 3 + 1
    with norms_within(made, canvas_masks(CANVASES, [maps], (64, 96))):
        found = made(maps)
    for one, result, canvas in zip(maps, found, CANVASES, strict=True):
        alone = functional.group_norm(cut_out(one, canvas, stride)[None], 4, made.weight, made.bias)
        torch.testing.assert_close(cut_out(result, canvas, stride), alone[0])


def test_statistics_are_float32_within_autocast_too():
    made, maps = norm(), (torch.randn(4, 8, 8, 12) + 100).bfloat16()
    masks = canvas_masks(CANVASES, [maps], (64, 96))
    with torch.autocast("cpu", torch.bfloat16), norms_within(made, masks):
        found = made(maps)
    with norms_within(made, masks):
        torch.testing.assert_close(found, made(maps.float()))


def test_images_of_one_shape_need_no_masks_and_give_torch_s_numbers():
    made, maps = norm(), torch.randn(2, 8, 8, 12)
    assert canvas_masks([(64, 96)] * 2, [maps], (64, 96)) == {}
    assert torch.equal(made(maps), functional.group_norm(maps, 4, made.weight, made.bias))


def test_masks_are_gone_afterwards_also_where_something_fails():
    made, maps = nn.Sequential(norm()), torch.randn(4, 8, 8, 12)
    before = made(maps)
    with (
        pytest.raises(RuntimeError),
        norms_within(made, canvas_masks(CANVASES, [maps], (64, 96))),
    ):
        made(torch.randn(4, 5, 8, 12))
    assert torch.equal(made(maps), before)


def test_the_default_detector_trains_on_its_own_canvas_of_each_image():
    made = detectors.create(train_params("fcos_efficientnet_lite0"), CLASSES)
    seen = []
    for module in made.model.modules():
        if isinstance(module, CanvasGroupNorm):
            module.register_forward_hook(lambda m, given, found: seen.append((m, given[0], found)))
    sizes = ((60, 90), (60, 30), (20, 90), (60, 60))
    images = [torch.randint(0, 256, (3, h, w)).byte() for h, w in sizes]
    target = {"boxes": torch.tensor([[2.0, 2, 18, 18]]), "labels": torch.tensor([1])}
    made.model.train()(images, [target] * 4)
    assert len(seen) == 2 * 5  # two towers, five maps
    for module, maps, found in seen:
        stride = next(s for s in (8, 16, 32, 64, 128) if -(-96 // s) == maps.shape[-1])
        for one, result, canvas in zip(maps, found, CANVASES, strict=True):
            part = cut_out(one, canvas, stride)[None]
            alone = functional.group_norm(part, module.num_groups, module.weight, module.bias)
            torch.testing.assert_close(cut_out(result, canvas, stride), alone[0])
