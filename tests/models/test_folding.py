"""Batch norm folded into convolutions."""

import pytest
import timm
import torch
from torch import nn

from boxloop.models import bundled
from boxloop.models.folding import fold_batch_norm


def test_the_folded_network_computes_the_same():
    network = timm.create_model(bundled.NETWORK).eval()
    network.load_state_dict(bundled.state_dict())
    images = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        wanted = network(images)
        fold_batch_norm(network)
        found = network(images)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_a_norm_without_its_convolution_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.BatchNorm2d(8))
    with pytest.raises(ValueError, match="2 does not follow a convolution"):
        fold_batch_norm(network)
