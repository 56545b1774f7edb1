"""SimNet's training on drawn images, and the features that come from it."""

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

from boxloop.core.types import ImageRef
from boxloop.errors import ArtifactError, DatasetError, DivergedError, ParamsError, WeightsError
from boxloop.files import file_digest
from boxloop.models import image_loader
from boxloop.models.checkpoint import write_simnet
from boxloop.models.features import extract
from boxloop.models.simnet.training import train
from boxloop.params import FeaturesParams, SimNetParams
from builders_detectors import drawn

FEATURES = FeaturesParams(network="resnet18", weights="simnet", input_size=64, device="cpu")


def params(**changes):
    values = {"weights": "none", "epochs": 2, "batch_size": 4, "device": "cpu"}
    return SimNetParams(**(values | changes))


def image(path, pixels):
    Image.fromarray(pixels).save(path)
    height, width = pixels.shape[:2]
    return ImageRef(path.stem, str(path), width, height, file_digest(path))


@pytest.fixture(scope="module")
def refs(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("scenes"), 10)[0]


@pytest.fixture(scope="module")
def trained(refs):
    return train(refs, params(), FEATURES)


@pytest.fixture(scope="module")
def textures(tmp_path_factory):
    """Eight images that two halves tell apart: each of its own colour and stripes."""
    folder, rng = tmp_path_factory.mktemp("textures"), np.random.default_rng(0)
    refs = []
    for number in range(8):
        rows = np.arange(64)[:, None, None]
        wave = 40 * np.sin(rows * (number + 1) * 2 * np.pi / 64)
        pixels = rng.integers(60, 190, 3) + wave + rng.normal(0, 8, (64, 64, 3))
        refs.append(image(folder / f"t{number}.png", np.clip(pixels, 0, 255).astype(np.uint8)))
    return refs


def test_the_log_tells_every_step(trained):
    _, log = trained
    assert log.images == 10
    assert log.steps == 2 * 3  # ten images are batches of 4, 3 and 3
    assert [row["step"] for row in log.losses] == list(range(1, 7))
    assert all(set(row) == {"step", "loss", "learning_rate", "time"} for row in log.losses)
    assert all(row["loss"] > 0 for row in log.losses)
    assert 0 <= log.wait_fraction <= 1
    json.dumps(asdict(log), allow_nan=False)


def test_progress_is_told_after_every_step(refs):
    told = []
    train(refs, params(epochs=1), FEATURES, lambda *values: told.append(values))
    assert [(step, steps) for step, steps, _ in told] == [(1, 3), (2, 3), (3, 3)]
    assert all(loss > 0 for *_, loss in told)


def test_training_brings_the_halves_of_an_image_together(textures):
    """Measured on whole batches in evaluation mode, by distances of our own."""

    def own_half_is_nearest(state):
        network = resnet18(weights=None)
        network.load_state_dict(state)
        network.fc = torch.nn.Identity()
        pixels = [np.asarray(Image.open(ref.path), dtype=np.float32) for ref in textures]
        images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255
        mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
        images = (images - mean) / std
        with torch.inference_mode():
            left = network.eval()(images[..., :32])
            right = network(images[..., 32:])
        distances = torch.cdist(left, right)
        own = distances.diagonal()
        return float((own / distances.mean()).mean())

    # Nearly no step at all leaves the network as it was drawn, with its norms measured.
    before, _ = train(textures, params(epochs=1, learning_rate=1e-12), FEATURES)
    after, log = train(textures, params(epochs=15, batch_size=8, learning_rate=1e-3), FEATURES)
    assert log.losses[-1]["loss"] < 0.5 * log.losses[0]["loss"]
    assert own_half_is_nearest(after.state) < 0.7 * own_half_is_nearest(before.state)


def test_features_come_from_the_trained_network_and_whole_images(refs, trained, tmp_path):
    write_simnet(tmp_path / "simnet.pt", trained[0])
    found = extract(refs, FEATURES, simnet=tmp_path / "simnet.pt").vectors
    as_file = FEATURES.model_copy(update={"weights": str(tmp_path / "simnet.pt")})
    np.testing.assert_array_equal(extract(refs, as_file).vectors, found)
    untrained = FEATURES.model_copy(update={"weights": "none"})
    assert not np.allclose(extract(refs, untrained).vectors, found, rtol=0.1)
    # torchvision's own model takes the file's tensors as they are.
    network = resnet18(weights=None)
    content = torch.load(tmp_path / "simnet.pt", weights_only=True)
    network.load_state_dict(content["state_dict"])
    network.fc = torch.nn.Identity()
    pixels = torch.from_numpy(np.asarray(Image.open(refs[0].path).convert("RGB")).copy())
    squashed = torch.nn.functional.interpolate(
        pixels.permute(2, 0, 1)[None], (64, 64), mode="bilinear", antialias=True
    ).float()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    with torch.inference_mode():
        expected = network.eval()((squashed / 255 - mean) / std).numpy()[0]
    np.testing.assert_allclose(found[0], expected, rtol=1e-3, atol=1e-4)


def test_the_same_seed_gives_the_same_bytes(refs, trained, tmp_path):
    again, _ = train(refs, params(), FEATURES)
    other, _ = train(refs, params(seed=1), FEATURES)
    for name, net in (("a", trained[0]), ("b", again), ("c", other)):
        write_simnet(tmp_path / name, net)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_images_that_do_not_fit_into_memory_make_no_difference(refs, trained, monkeypatch):
    monkeypatch.setattr(image_loader, "MEMORY_BUDGET", 10)
    again, _ = train(refs, params(), FEATURES)
    for name, tensor in trained[0].state.items():
        assert torch.equal(tensor, again.state[name]), name


def test_the_optimizer_and_the_schedule_are_those_asked_for(refs, trained):
    same, _ = train(refs, params(optimizer="adamw", schedule="one_cycle"), FEATURES)
    other, log = train(refs, params(optimizer="sgd", schedule="cosine"), FEATURES)
    for name, tensor in trained[0].state.items():
        assert torch.equal(tensor, same.state[name]), name
    assert not torch.equal(trained[0].state["conv1.weight"], other.state["conv1.weight"])
    half = [1e-4 * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    assert [row["learning_rate"] for row in log.losses] == pytest.approx(half)


def test_weight_decay_shrinks_vectors_too(refs):
    """Norm layers begin with scales of 1, and six steps of Adam move them by 6 x 1e-4 at most."""
    trained, _ = train(refs, params(weight_decay=100.0, schedule="constant"), FEATURES)
    expected = torch.full((64,), (1 - 1e-4 * 100) ** 6)
    torch.testing.assert_close(trained.state["bn1.weight"], expected, atol=1e-3, rtol=0)


def test_training_starts_from_the_given_weights(refs, tmp_path):
    torch.manual_seed(4)
    state = resnet18(weights=None, num_classes=3).state_dict()
    torch.save(state, tmp_path / "w.pth")
    own = params(weights=str(tmp_path / "w.pth"), epochs=1, learning_rate=1e-12)
    trained, log = train(refs, own, FEATURES)
    assert log.initial_weights == str(tmp_path / "w.pth")
    torch.testing.assert_close(trained.state["conv1.weight"], state["conv1.weight"])


def test_copies_of_an_image_count_once(refs):
    twin = ImageRef("twin", refs[0].path, refs[0].width, refs[0].height, refs[0].digest)
    _, log = train([*refs[:3], twin], params(epochs=1), FEATURES)
    assert log.images == 3
    with pytest.raises(DatasetError, match="at least 2 different images"):
        train([refs[0], twin], params(), FEATURES)


def test_images_of_one_colour_do_no_harm(tmp_path):
    flat = [image(tmp_path / f"{v}.png", np.full((40, 30, 3), v, np.uint8)) for v in (0, 100, 200)]
    trained, _ = train(flat, params(), FEATURES)
    assert all(bool(tensor.isfinite().all()) for tensor in trained.state.values())


@pytest.mark.parametrize("network", ["squeezenet1_1", "mobilenet_v3_small", "densenet121"])
def test_any_cnn_of_torchvisions(refs, network, tmp_path):
    features = FEATURES.model_copy(update={"network": network})
    trained, log = train(refs[:4], params(epochs=1), features)
    assert log.network == network
    write_simnet(tmp_path / "simnet.pt", trained)
    assert extract(refs[:2], features, simnet=tmp_path / "simnet.pt").vectors.shape[0] == 2


def test_top_and_bottom_halves_are_the_other_reading(refs, trained):
    other, log = train(refs, params(halves="top_bottom"), FEATURES)
    assert log.halves == other.halves == "top_bottom"
    assert not torch.equal(other.state["conv1.weight"], trained[0].state["conv1.weight"])


# --- what is refused ------------------------------------------------------------------------------


def test_networks_and_weights_that_cannot_be_had(refs):
    with pytest.raises(ParamsError, match="'resnet5'.*did you mean resnet50"):
        train(refs, params(), FEATURES.model_copy(update={"network": "resnet5"}))
    with pytest.raises(WeightsError, match=r"simnet\.weights: 'simnet' is neither a file nor"):
        train(refs, params(weights="simnet"), FEATURES)
    transformer = FEATURES.model_copy(update={"network": "vit_b_16", "input_size": 224})
    with pytest.raises(ParamsError, match="vit_b_16 cannot take images of 224x112 pixels"):
        train(refs, params(), transformer)
    small = FEATURES.model_copy(update={"network": "densenet121", "input_size": 1})
    with pytest.raises(ParamsError, match="cannot take images of 1 pixels"):
        train(refs, params(), small)


def test_a_loss_that_explodes_writes_nothing(refs):
    with pytest.raises(DivergedError, match=r"diverged: .*lower simnet\.learning_rate"):
        train(refs, params(epochs=30, learning_rate=1e18), FEATURES)


def test_features_by_simnet_need_its_file(refs):
    with pytest.raises(ArtifactError, match="--simnet data/simnet.pt"):
        extract(refs, FEATURES)
