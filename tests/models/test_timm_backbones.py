"""Networks of timm as backbones; timm's own loader and forward pass are the oracle."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torchvision import models

from boxloop.core.types import ImageRef
from boxloop.datasets.images import read_image
from boxloop.errors import ParamsError, WeightsError
from boxloop.models import backbones, bundled
from boxloop.models.features import extract
from boxloop.models.simnet.training import train
from boxloop.params import FeaturesParams, SimNetParams
from builders_detectors import drawn


@pytest.fixture(scope="module")
def refs(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("scenes"), 4)[0]


def params(network, **changes):
    values = {"network": network, "weights": "none", "input_size": 64, "device": "cpu"}
    return FeaturesParams(**(values | changes))


def built(network, *sizes, weights="none", seed=0):
    start = backbones.start(network, weights, section="features")
    return backbones.build(network, start, sizes or [(64, 64)], seed=seed)


def saved(network, folder, **options):
    """A file of random weights, with timm's classifier."""
    torch.manual_seed(4)
    state = timm.create_model(network, **options).state_dict()
    path = folder / f"{network}.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def by_timm(network, file, refs: tuple[ImageRef, ...], side, **options):
    """Vectors by timm's own loader, one image at a time."""
    own = timm.create_model(
        network, True, pretrained_cfg_overlay={"file": str(file)}, num_classes=0, **options
    ).eval()
    mean = torch.tensor(own.pretrained_cfg["mean"]).view(3, 1, 1)
    std = torch.tensor(own.pretrained_cfg["std"]).view(3, 1, 1)
    vectors = []
    for ref in refs:
        pixels = torch.from_numpy(read_image(Path(ref.path))).permute(2, 0, 1)[None]
        squashed = torch.nn.functional.interpolate(
            pixels, (side, side), mode="bilinear", antialias=True
        )[0].float()
        with torch.inference_mode():
            vectors.append(own(((squashed / 255 - mean) / std)[None])[0].numpy())
    return np.stack(vectors)


@pytest.mark.parametrize(
    ("network", "side", "options"),
    [
        ("test_efficientnet", 64, {}),
        ("test_resnet", 80, {}),
        ("test_convnext", 64, {}),
        ("mobilenetv3_small_050", 64, {}),
        ("tf_efficientnet_lite0", 96, {}),
        # Positions are resampled for the image, or with the weights.
        ("test_vit", 96, {"dynamic_img_size": True}),
        ("test_vit", 160, {}),
        ("vit_tiny_patch16_224", 64, {"dynamic_img_size": True}),
        ("test_maxvit", 96, {"img_size": 96}),
    ],
)
def test_the_vector_is_what_timm_gives_without_a_classifier(refs, tmp_path, network, side, options):
    file = saved(network, tmp_path)
    found = extract(refs, params(network, weights=str(file), input_size=side)).vectors
    expected = by_timm(network, file, refs, side, **options)
    assert found.shape == expected.shape
    assert np.ptp(expected, axis=0).max() > 1e-3  # the images are told apart
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_torchvisions_names_stay_torchvisions():
    assert type(built("resnet18").network) is models.ResNet
    assert type(built("timm:resnet18").network) is timm.models.ResNet
    both = set(timm.list_models()) & set(models.list_models(module=models))
    assert "resnet50" in both
    for name in both:
        assert backbones._find(name) != backbones._find(f"timm:{name}")


@pytest.mark.parametrize(
    ("network", "hint"),
    [
        ("vit_small_patch14_dinov", "vit_small_patch14_dinov2"),
        ("vit_small_patch14_dinov2.lvd142m", "did you mean vit_small_patch14_dinov2"),
        ("timm:mobilenet_v3_small", "mobilenet"),
        ("timm:", r"timm\.list_models\(\)"),
    ],
)
def test_unknown_networks(network, hint):
    with pytest.raises(ParamsError, match=f"no network '{network}' .*{hint}"):
        backbones.start(network, "none", section="features")


def test_the_default_is_the_installed_imagenet_network(refs, monkeypatch, tmp_path):
    default = FeaturesParams(device="cpu", input_size=96)
    assert (default.network, default.weights) == ("tf_efficientnet_lite0", "in1k")
    found = extract(refs, default).vectors
    np.testing.assert_array_equal(
        extract(refs, default.model_copy(update={"weights": "DEFAULT"})).vectors, found
    )
    torch.save(bundled.state_dict(), tmp_path / "lite0.pth")
    expected = by_timm(default.network, tmp_path / "lite0.pth", refs, 96)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
    monkeypatch.setattr(bundled, "_PACKAGE", "no_such_package_of_weights")
    with pytest.raises(WeightsError, match="not installed"):
        extract(refs, default)


def test_simnet_starts_from_the_installed_weights(refs):
    """Nearly no step at all leaves all but the norms as they were."""
    features = FeaturesParams(weights="simnet", input_size=64, device="cpu")
    simnet = SimNetParams(epochs=1, batch_size=2, learning_rate=1e-12, device="cpu")
    assert simnet.weights == "in1k"
    trained, log = train(refs, simnet, features)
    assert (trained.mean, trained.std) == (bundled.MEAN, bundled.STD)
    assert log.initial_weights == "in1k"
    weights = bundled.state_dict()
    kernels = [name for name in trained.state if trained.state[name].ndim == 4]
    assert len(kernels) > 40
    for name in kernels:
        torch.testing.assert_close(trained.state[name], weights[name], atol=1e-6, rtol=1e-5)
    assert extract(refs, features, simnet=trained).vectors.shape == (4, 1280)


def test_a_transformer_of_patches_can_be_simnets_network(refs):
    features = params("test_vit", weights="simnet")
    trained, _ = train(
        refs, SimNetParams(weights="none", epochs=1, batch_size=2, device="cpu"), features
    )
    assert extract(refs, features, simnet=trained).vectors.shape == (4, 64)
    with pytest.raises(ParamsError, match=r"test_maxvit cannot .* 64x32 .*tf_efficientnet_lite0"):
        train(refs, SimNetParams(weights="none"), params("test_maxvit", weights="simnet"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_with_another_classifier_is_fine_but_not_one_that_lacks_layers(
    refs, tmp_path, suffix
):
    path = tmp_path / f"weights{suffix}"
    write = torch.save if suffix == ".pth" else save_file
    torch.manual_seed(1)
    state = timm.create_model("test_resnet", num_classes=7).state_dict()
    write(state, path)
    assert extract(refs[:1], params("test_resnet", weights=str(path))).vectors.shape[0] == 1
    name = next(key for key in state if key.endswith("conv2.weight"))
    del state[name]
    write(state, path)
    with pytest.raises(WeightsError, match=rf"weights\{suffix} lacks 1 of .*'{name}'"):
        extract(refs[:1], params("test_resnet", weights=str(path)))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        WeightsError, match=rf"weights\{suffix} cannot be used: the file is damaged"
    ):
        extract(refs[:1], params("test_resnet", weights=str(path)))


def test_weights_of_another_image_size_name_the_network_own(refs, tmp_path):
    """A mixer's weights are for one number of patches."""
    file = saved("mixer_s32_224", tmp_path)
    with pytest.raises(
        WeightsError, match=r"lacks .*; features.input_size: 224 is what mixer_s32_224 is"
    ):
        extract(refs[:1], params("mixer_s32_224", weights=str(file)))


@pytest.mark.parametrize(
    ("network", "side", "remedy"),
    [
        ("vit_tiny_patch16_224", 100, "it takes multiples of 16: try 96"),
        ("levit_128s", 100, "try 224"),
    ],
)
def test_a_size_that_a_network_cannot_take(refs, network, side, remedy):
    with pytest.raises(
        ParamsError, match=f"input_size: {network} cannot .* {side} pixels; {remedy}"
    ):
        extract(refs[:1], params(network, input_size=side))


def test_unknown_weights_name_those_that_are_known(refs):
    with pytest.raises(
        WeightsError,
        match=r"'IMAGENET1K_V1' is neither a file nor weights of tf_eff.* none, DEFAULT, in1k$",
    ):
        extract(refs, params("tf_efficientnet_lite0", weights="IMAGENET1K_V1"))
    with pytest.raises(WeightsError, match=r"known: none$"):  # timm has none for this network
        extract(refs, params("test_coatnet", weights="DEFAULT"))


def test_random_weights_come_from_the_seed():
    images = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    one, same, other = (built("test_resnet", seed=seed)(images) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.allclose(one, other)


def test_drop_out_of_branches_stays_off():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (8, 3, 64, 64), dtype=torch.uint8)
    backbone = built("fasternet_t2").train()
    assert torch.equal(backbone(images), backbone(images))
    plain = timm.create_model("fasternet_t2").train()
    assert not torch.equal(plain(images / 255), plain(images / 255))
