from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import ResNet18_Weights, googlenet, resnet18, squeezenet1_1

from boxloop.core.types import ImageRef
from boxloop.datasets.images import read_image
from boxloop.errors import DatasetError, ParamsError, WeightsError
from boxloop.models.features import extract
from boxloop.models.torchvision_backbones import networks
from boxloop.params import FeaturesParams
from builders_detectors import drawn


@pytest.fixture(scope="module")
def refs(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("scenes"), 5)[0]


def params(**changes):
    values = {"network": "resnet18", "weights": "none", "input_size": 64, "device": "cpu"}
    return FeaturesParams(**(values | changes))


def test_one_vector_per_image_in_the_order_of_the_images(refs):
    table = extract(refs, params())
    assert table.image_ids == tuple(ref.id for ref in refs)
    assert table.vectors.shape == (5, 512)
    assert table.vectors.dtype == np.float32
    backwards = extract(refs[::-1], params())
    np.testing.assert_allclose(backwards.vectors[::-1], table.vectors, rtol=1e-4, atol=1e-5)


def test_the_vector_is_the_input_of_the_last_linear_layer(refs, tmp_path):
    torch.manual_seed(3)
    network = resnet18(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    found = extract(refs, params(weights=str(tmp_path / "w.pth"), input_size=80)).vectors

    network.fc = torch.nn.Identity()
    pixels = torch.stack(
        [torch.from_numpy(read_image(Path(ref.path))).permute(2, 0, 1) for ref in refs]
    )
    squashed = torch.nn.functional.interpolate(
        pixels, (80, 80), mode="bilinear", antialias=True
    ).float()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.inference_mode():
        expected = network((squashed / 255 - mean) / deviation).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_network_without_a_linear_layer_gives_its_pooled_feature_map(refs, tmp_path):
    torch.manual_seed(3)
    network = squeezenet1_1(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    own = params(network="squeezenet1_1", weights=str(tmp_path / "w.pth"), input_size=96)
    found = extract(refs[:1], own).vectors
    assert found.shape == (1, 512)
    pixels = torch.from_numpy(read_image(Path(refs[0].path))).permute(2, 0, 1)[None]
    squashed = torch.nn.functional.interpolate(
        pixels, (96, 96), mode="bilinear", antialias=True
    ).float()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.inference_mode():
        maps = network.features((squashed / 255 - mean) / deviation)
    np.testing.assert_allclose(found, maps.mean(dim=(2, 3)).numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "length"),
    [
        ("mobilenet_v3_small", 1024),
        ("efficientnet_b0", 1280),
        ("densenet121", 1024),
        ("shufflenet_v2_x0_5", 1024),
        ("regnet_y_400mf", 440),
        pytest.param("vgg11", 4096, marks=pytest.mark.slow),
        pytest.param("googlenet", 1024, marks=pytest.mark.slow),
        pytest.param("swin_t", 768, marks=pytest.mark.slow),
    ],
)
def test_networks_of_many_kinds(refs, network, length):
    assert extract(refs[:2], params(network=network)).vectors.shape == (2, length)


def test_inceptions_weights_see_pixels_as_torchvisions_own_transform_has_it(refs, tmp_path):
    options = {"weights": None, "init_weights": False, "aux_logits": False}
    torch.manual_seed(3)
    network = googlenet(transform_input=True, **options).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    own = params(network="googlenet", weights=str(tmp_path / "w.pth"), input_size=96)
    found = extract(refs[:1], own).vectors

    network.fc = torch.nn.Identity()
    pixels = torch.from_numpy(read_image(Path(refs[0].path))).permute(2, 0, 1)[None]
    squashed = torch.nn.functional.interpolate(
        pixels, (96, 96), mode="bilinear", antialias=True
    ).float()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.inference_mode():
        expected = network((squashed / 255 - mean) / deviation).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_the_same_seed_gives_the_same_vectors(refs):
    one, two = extract(refs, params(seed=1)), extract(refs, params(seed=1))
    np.testing.assert_array_equal(one.vectors, two.vectors)
    other = extract(refs, params(seed=2))
    assert not np.allclose(one.vectors, other.vectors)


def test_batches_make_no_difference(refs):
    told = []
    small = extract(refs, params(batch_size=2), lambda done, total: told.append((done, total)))
    assert told == [(2, 5), (4, 5), (5, 5)]
    np.testing.assert_allclose(small.vectors, extract(refs, params()).vectors, rtol=1e-4, atol=1e-5)


def test_equal_images_have_equal_vectors_and_others_do_not(refs):
    twin = ImageRef("twin", refs[0].path, refs[0].width, refs[0].height, refs[0].digest)
    vectors = extract((refs[0], refs[1], twin), params()).vectors
    np.testing.assert_allclose(vectors[0], vectors[2], rtol=1e-5)
    assert np.linalg.norm(vectors[0] - vectors[1]) > 1e-3


def test_identical_files_have_one_vector_in_whatever_batch_they_are(refs):
    twin = replace(refs[0], id="twin")
    table = extract((*refs[:4], twin), params(batch_size=4))  # one batch of four, one of one
    np.testing.assert_array_equal(table.vectors[0], table.vectors[4])
    alone = extract((twin,), params(batch_size=4))
    np.testing.assert_allclose(alone.vectors[0], table.vectors[4], rtol=1e-4, atol=1e-5)


def test_weights_by_name_come_from_torchs_cache(refs, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(8)
    state = resnet18(weights=None).state_dict()
    torch.save(state, folder / ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[-1])
    torch.save(state, tmp_path / "same.pth")
    by_name = extract(refs[:2], params(weights="IMAGENET1K_V1"))
    by_file = extract(refs[:2], params(weights=str(tmp_path / "same.pth")))
    np.testing.assert_array_equal(by_name.vectors, by_file.vectors)


def test_a_file_with_another_classifier_is_fine_but_not_one_that_lacks_layers(refs, tmp_path):
    torch.manual_seed(1)
    state = resnet18(weights=None, num_classes=7).state_dict()
    torch.save(state, tmp_path / "seven.pth")
    assert extract(refs[:1], params(weights=str(tmp_path / "seven.pth"))).vectors.shape == (1, 512)
    del state["layer3.0.conv1.weight"]
    torch.save(state, tmp_path / "hole.pth")
    with pytest.raises(WeightsError, match=r"hole\.pth lacks 1 of .*layer3\.0\.conv1\.weight"):
        extract(refs[:1], params(weights=str(tmp_path / "hole.pth")))


def test_weights_that_give_nan_are_refused(refs, tmp_path):
    state = resnet18(weights=None).state_dict()
    state["conv1.weight"] = torch.full_like(state["conv1.weight"], 3e38)  # overflows
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(WeightsError, match="not finite for image image0"):
        extract(refs, params(weights=str(tmp_path / "nan.pth")))


def test_unknown_networks_and_weights(refs):
    with pytest.raises(ParamsError, match="'resnet5'.*did you mean resnet50"):
        extract(refs, params(network="resnet5"))
    with pytest.raises(ParamsError, match=r"see torchvision\.models"):
        extract(refs, params(network="!"))
    with pytest.raises(WeightsError, match="known: none, IMAGENET1K_V1"):
        extract(refs, params(weights="IMAGENET21K"))


def test_images_too_small_for_the_network(refs):
    with pytest.raises(ParamsError, match=r"input_size: densenet121 cannot .* 16 pixels"):
        extract(refs, params(network="densenet121", input_size=16))


def test_a_missing_image_is_named(tmp_path):
    gone = ImageRef("a", str(tmp_path / "gone.png"), 8, 8, "0")
    with pytest.raises(DatasetError, match=r"gone\.png"):
        extract((gone,), params())


def test_only_classification_networks_are_offered():
    found = networks()
    assert {"resnet50", "mobilenet_v3_large", "squeezenet1_0"} <= set(found)
    assert not [name for name in found if "rcnn" in name or "fcn" in name or "quantized" in name]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("network", ["resnet18", "tf_efficientnet_lite0"])
def test_a_gpu_gives_nearly_the_same_vectors(refs, network):
    """It computes in half precision."""
    found = extract(refs, params(network=network, device="cuda", batch_size=2)).vectors
    assert found.dtype == np.float32
    expected = extract(refs, params(network=network)).vectors
    apart = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert apart.max() < 0.03
