"""FCOS for whole batches, against torchvision's, image by image."""

import pytest
import torch
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from boxloop.models import detectors
from boxloop.models.detectors.fcos import BatchFCOS
from boxloop.models.detectors.torchvision_parts import WithoutBackground
from boxloop.params import TrainParams

MEAN, STD = [0.5, 0.4, 0.3], [0.25, 0.5, 0.2]


class Theirs(WithoutBackground, FCOS):
    """torchvision's, but that it never answers "background"."""


def backbone():
    body = torch.nn.Sequential(
        *(torch.nn.Conv2d(i, o, 3, 2, 1) for i, o in ((3, 8), (8, 8), (8, 16), (16, 32), (32, 32)))
    )
    return BackboneWithFPN(body, {"2": "0", "3": "1", "4": "2"}, [16, 32, 32], 32)


@pytest.fixture
def pair():
    """Ours, and torchvision's with the same tensors."""
    torch.manual_seed(0)
    sizes = ((8,), (16,), (32,), (64,))

    def anchors():
        return AnchorGenerator(sizes, ((1.0,),) * 4)

    settings = {"score_thresh": 0.05, "topk_candidates": 10_000, "detections_per_img": 30}
    ours = BatchFCOS(
        backbone(), 4, image_mean=MEAN, image_std=STD, anchor_generator=anchors(), **settings
    )
    theirs = Theirs(backbone(), 4, anchor_generator=anchors(), **settings)
    with torch.no_grad():
        for parameter in ours.head.parameters():  # their start has every score at 0.1
            parameter.add_(torch.randn_like(parameter) * 0.05)
    theirs.load_state_dict(ours.state_dict())
    theirs.transform = GeneralizedRCNNTransform(64, 96, MEAN, STD)
    return ours, theirs


def images(*sizes):
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(0, 256, (3, h, w), generator=generator).byte() for h, w in sizes]


TARGETS = [
    {
        # One inside another, one too small for the coarser maps, one as large as the image.
        "boxes": torch.tensor([[4.0, 4, 40, 44], [8, 10, 20, 22], [60, 30, 66, 35]]),
        "labels": torch.tensor([1, 3, 2]),
    },
    {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    {"boxes": torch.tensor([[0.0, 0, 96, 64]]), "labels": torch.tensor([2])},
]


def test_losses_are_torchvision_s(pair):
    ours, theirs = pair
    batch = images((64, 96), (64, 96), (64, 96))
    found = ours.train()(batch, TARGETS)
    wanted = theirs.train()([image.float() / 255 for image in batch], TARGETS)
    assert set(found) == set(wanted)
    for name in wanted:
        assert found[name].item() == pytest.approx(wanted[name].item(), rel=1e-4), name


def test_gradients_are_torchvision_s(pair):
    ours, theirs = pair
    batch = images((64, 96), (64, 96), (64, 96))
    sum(ours.train()(batch, TARGETS).values()).backward()
    sum(theirs.train()([image.float() / 255 for image in batch], TARGETS).values()).backward()
    for (name, mine), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_detections_are_torchvision_s(pair):
    ours, theirs = pair
    # A smaller one is padded; both cut its boxes at its own border.
    batch = images((64, 96), (64, 64), (64, 96))
    with torch.inference_mode():
        found = ours.eval()(batch)
        wanted = theirs.eval()([image.float() / 255 for image in batch])
    assert any(len(each["boxes"]) > 3 for each in wanted)
    for mine, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine["scores"], other["scores"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(mine["boxes"], other["boxes"], rtol=1e-3, atol=1e-2)
        assert mine["labels"].tolist() == other["labels"].tolist()


def test_a_batch_without_any_box_trains_the_classifier_alone(pair):
    ours, _ = pair
    empty = [TARGETS[1]] * 2
    losses = ours.train()(images((64, 64), (64, 64)), empty)
    assert losses["classification"] > 0
    assert losses["bbox_regression"] == losses["bbox_ctrness"] == 0


def test_a_batch_s_images_do_not_suppress_each_other(pair):
    ours, _ = pair
    [image] = images((64, 96))
    with torch.inference_mode():
        [alone] = ours.eval()([image])
        both = ours.eval()([image, image])
    for each in both:
        torch.testing.assert_close(each["boxes"], alone["boxes"], rtol=1e-4, atol=1e-3)


def test_training_without_targets_is_refused(pair):
    with pytest.raises(ValueError, match="targets"):
        pair[0].train()(images((64, 64)))


@pytest.mark.parametrize("seed", range(12))
def test_boxes_can_be_learned_from_the_first_step_whatever_the_seed(seed):
    """Where ReLU leaves no distance, no gradient tells it to leave one.

    By torchvision's start it leaves half of them, and some trainings never found a box.
    """
    model = detectors.create(
        TrainParams(steps=1, seed=seed, weights="in1k", device="cpu"), ("square", "disc")
    ).model
    batch, _ = model.transform(images((96, 128)))
    with torch.no_grad():
        distances = model.head(list(model.backbone(batch.tensors).values()))["bbox_regression"]
    assert (distances > 1).float().mean() > 0.95


@pytest.mark.parametrize("canvas", [(320, 480), (160, 160), (256, 384), (32, 1056)])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_positions_lie_in_the_middle_of_their_strides_whatever_the_canvas(canvas, precision):
    """torchvision's stride is the canvas by the positions: 60 in place of 64 for eight in 480."""
    positions, batch, maps = default_positions(canvas, precision)
    [anchors, again] = positions(ImageList(batch, [canvas, (20, 20)]), maps)
    wanted = [
        (stride * (column + 0.5), stride * (row + 0.5), stride)
        for stride in (8, 16, 32, 64, 128)
        for row in range(-(-canvas[0] // stride))
        for column in range(-(-canvas[1] // stride))
    ]
    middle, sides = (anchors[:, :2] + anchors[:, 2:]) / 2, anchors[:, 2:] - anchors[:, :2]
    assert middle.tolist() == [[x, y] for x, y, _ in wanted]
    assert sides.tolist() == [[stride] * 2 for _, _, stride in wanted]
    assert torch.equal(anchors, again)


def test_a_smaller_image_s_positions_are_the_same_in_company():
    """So that training on images of many shapes learns what is asked of each alone."""
    (model, seen), batch = detector_s_positions(), images((160, 224), (320, 480))
    with torch.inference_mode():
        model(batch[:1])
        model(batch)
    alone, both = ({tuple(row) for row in anchors.tolist()} for anchors in seen)
    assert alone < both


def test_positions_of_a_traced_graph_follow_the_size_of_its_image():
    positions, batch, maps = default_positions((160, 224), torch.float32)

    class Traced(torch.nn.Module):
        def forward(self, batch, *maps):
            return positions(ImageList(batch, [(1, 1)]), list(maps))[0]

    traced = torch.jit.trace(Traced(), (batch, *maps))
    _, batch, maps = default_positions((320, 480), torch.float32)
    assert torch.equal(traced(batch, *maps), Traced()(batch, *maps))


def default_positions(canvas, precision):
    """The default detector's maker of positions, a batch of this canvas, and its feature maps."""
    model = detectors.create(TrainParams(steps=1, weights="none", device="cpu"), ("disc",)).model
    maps = [
        torch.zeros(2, 1, -(-canvas[0] // stride), -(-canvas[1] // stride), dtype=precision)
        for stride in (8, 16, 32, 64, 128)
    ]
    return model.anchor_generator, torch.zeros(2, 3, *canvas), maps


def detector_s_positions():
    """The default detector, and a list that grows by its positions each time that it is called."""
    model = detectors.create(TrainParams(steps=1, weights="none", device="cpu"), ("disc",)).model
    seen = []
    model.anchor_generator.register_forward_hook(lambda _, given, made: seen.append(made[0]))
    return model.eval(), seen
