"""Backbones in training and in evaluation."""

import pytest
import torch
from torchvision import models

from boxloop.models import backbones

SIZE = (32, 32)


def build(network):
    start = backbones.start(network, "none", section="features")
    return backbones.build(network, start, [SIZE], seed=0)


@pytest.mark.parametrize("network", ["mobilenet_v2", "squeezenet1_1", "mobilenet_v3_small"])
def test_drop_out_stays_off(network):
    """Also in training mode, in which torchvision's own network blurs its vectors."""
    torch.manual_seed(0)
    images = torch.randint(0, 256, (4, 3, *SIZE), dtype=torch.uint8)
    backbone = build(network)
    backbone.train()
    assert backbone.training
    assert torch.equal(backbone(images), backbone(images))
    plain = models.get_model(network, weights=None).train()
    assert not torch.equal(plain(images / 255), plain(images / 255))


@pytest.mark.parametrize(
    ("network", "unused"), [("mobilenet_v2", True), ("squeezenet1_1", True), ("test_resnet", False)]
)
def test_a_classifying_layer_that_runs_for_nothing_is_known(network, unused):
    assert build(network).has_unused_parameters(SIZE) is unused
