"""A class that an image was not reviewed for gets no gradient from it."""

import re
from dataclasses import replace

import pytest
import torch

from boxloop.core.completeness import complete_images
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import LabeledSet
from boxloop.errors import IncompleteError
from boxloop.models import detectors
from boxloop.models.detectors.base import Detector
from boxloop.models.detectors.dataset import InputSize, LabeledSamples
from boxloop.models.detectors.targets import mask_softmax
from boxloop.models.detectors.training import _collate
from boxloop.models.detectors.transforms import Augment
from builders_detectors import CLASSES, drawn, labeled, train_params

HEADS = {
    "fcos_efficientnet_lite0": r"head.classification_head.cls_logits.bias",
    "ssdlite320_mobilenet_v3_large": r"head.classification_head.module_list.\d.1.bias",
    "fasterrcnn_mobilenet_v3_large_320_fpn": r"roi_heads.box_predictor.cls_score.bias",
}
"""What is added to each class's logit, by family: for all classes of a place, then of the next."""


def squares_alone(truth):
    """The truth as it was reviewed when there was no disc to choose."""
    return {i: boxes.select(boxes.labels == "square") for i, boxes in truth.items()}


def class_gradients(name, refs, labels):
    """How much the loss changes with each class's logits: background, square, disc."""
    detector = detectors.create(train_params(name), CLASSES)
    size = InputSize((64, 64), keep_aspect=False)
    samples = LabeledSamples(labels, refs, CLASSES, size, Augment((), 0))
    images, targets = _collate([samples.plain(i) for i in range(len(samples))])
    model = detector.model.train()
    torch.manual_seed(0)
    sum(model(images, targets).values()).backward()
    biases = [p.grad for n, p in model.named_parameters() if re.fullmatch(HEADS[name], n)]
    return torch.cat([bias.view(-1, 3) for bias in biases]).abs().sum(dim=0)


@pytest.mark.parametrize("name", HEADS)
def test_a_class_gets_no_gradient_from_images_that_are_not_complete_for_it(tmp_path, name):
    refs, truth = drawn(tmp_path, count=2)
    labels = labeled(squares_alone(truth))
    _, _, disc = class_gradients(name, refs, labels).tolist()
    assert disc > 0  # taken for absent
    masked = replace(labels, incomplete=dict.fromkeys(truth, ("disc",)))
    _, square, disc = class_gradients(name, refs, masked).tolist()
    assert disc == 0.0
    assert square > 0


@pytest.mark.parametrize("name", HEADS)
def test_boxes_of_the_class_still_teach_it(tmp_path, name):
    """As where two classes were merged of which one could be chosen."""
    refs, truth = drawn(tmp_path, count=2)
    masked = replace(labeled(truth), incomplete=dict.fromkeys(truth, ("disc",)))
    _, square, disc = class_gradients(name, refs, masked).tolist()
    assert disc > 0
    assert square > 0


def test_retinanet_s_loss_leaves_the_class_out():
    from boxloop.models.detectors import retinanet_resnet50_fpn_v2 as module

    model = object.__new__(module._Model)
    torch.nn.Module.__init__(model)
    model.proposal_matcher = module.RetinaNet.__init__.__globals__["det_utils"].Matcher(0.5, 0.4)
    head = module.RetinaNetHead(8, 1, 3)
    model.head = head
    anchors = torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]])
    logits = torch.zeros(1, 3, 3, requires_grad=True)
    outputs = {"cls_logits": logits, "bbox_regression": torch.zeros(1, 3, 4)}
    box = {"boxes": anchors[:1], "labels": torch.tensor([1])}

    def gradient(**more):
        losses = model.compute_loss([{**box, **more}], outputs, [anchors])
        return torch.autograd.grad(losses["classification"], logits)[0][0]

    whole = gradient()
    assert (whole[:, 2] > 0).all()
    masked = gradient(ignored=torch.tensor([False, False, True]))
    assert (masked[:, 2] == 0).all()
    assert torch.equal(masked[:, :2], whole[:, :2])
    own = gradient(ignored=torch.tensor([False, True, False]))
    assert own[0, 1] == whole[0, 1] < 0
    assert (own[1:, 1] == 0).all()


def test_a_softmax_over_what_is_left():
    logits = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    masked = mask_softmax(logits, torch.tensor([0, 2]), torch.tensor([[False, False, True]]))
    assert masked.softmax(-1)[0].tolist() == pytest.approx([0.26894, 0.73106, 0.0], abs=1e-5)
    assert torch.equal(masked[1], logits[1])


def test_an_empty_mask_trains_the_very_same_bits(tmp_path):
    refs, truth = drawn(tmp_path, count=2)
    labels = labeled(truth)
    states = []
    for masks in (False, True):
        detector = detectors.create(train_params("fcos_efficientnet_lite0"), CLASSES)
        if masks:  # none of the images, but as if there were others
            labels = replace(labels, incomplete={"elsewhere": ("disc",)})
        detector.train(labels, refs, train_params("fcos_efficientnet_lite0"))
        states.append(detector.model.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(*map(dict.values, states), strict=True))


class Foreign:
    """A detector that knows nothing of incomplete images."""

    name = "foreign"

    def __init__(self, classes):
        self.classes, self.seen = classes, None

    def train(self, labeled, images, params, progress=None):
        self.given, self.seen = labeled, list(labeled.boxes)
        return TrainingLog.of_nothing()


def test_a_detector_that_cannot_leave_a_class_out_is_trained_on_the_others(tmp_path, monkeypatch):
    _, truth = drawn(tmp_path, count=3)
    first, *others = truth
    labels = LabeledSet(CLASSES, ("b00",), truth, {first: ("disc",)})
    foreign: Detector = Foreign(CLASSES)
    monkeypatch.setattr(detectors, "create", lambda *arguments: foreign)
    detectors.train(train_params("fcos_efficientnet_lite0"), labels, ())
    assert (foreign.given.classes, foreign.given.batches) == (CLASSES, ("b00",))
    assert foreign.seen == others == list(complete_images(labels).boxes)
    assert detectors.left_out(foreign, labels) == 1
    params = train_params("fcos_efficientnet_lite0")
    none = replace(labels, incomplete=dict.fromkeys(truth, ("disc",)))
    with pytest.raises(IncompleteError, match="review them with 'boxloop review --for disc'"):
        detectors.train(params, none, ())
    foreign.masks_classes = True
    detectors.train(params, labels, ())
    assert foreign.seen == list(truth)
