"""Networks of transformers: where they come from, what they learn, what is refused.

What every detector must do is in the contract; here is what is theirs alone.
"""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch

from boxloop.errors import ArtifactError, DivergedError, ParamsError, WeightsError
from boxloop.models import detectors
from boxloop.models.checkpoint import read_detector
from builders_detectors import CLASSES, drawn, labeled, train_params
from builders_transformers import d_fine, detr, rt_detr_v2, save, tiny

transformers = pytest.importorskip("transformers")


def params(make=rt_detr_v2, **changes):
    values = {"weights": str(tiny(make)), "learning_rate": 2e-3, "batch_size": 4, **changes}
    return train_params("transformers", **values)


def tensors(detector):
    return detector.model.network.state_dict()


@pytest.mark.parametrize("make", [rt_detr_v2, d_fine, detr])
def test_learns_proposes_and_comes_back(make, tmp_path):
    refs, truth = drawn(tmp_path, 4, (150, 100))
    detector, log = detectors.train(params(make, steps=12), labeled(truth), refs)
    assert log.losses[-1]["total"] < log.losses[0]["total"]
    assert set(log.losses[0]) >= {"classification", "boxes"}
    found = detector.propose(refs, score_floor=0.01, batch_size=4)
    assert sum(map(len, found.values())) > 0
    detector.save(tmp_path / "d.pt", labeled_digest="x")
    again = detectors.load(tmp_path / "d.pt", "cpu")
    assert again.propose(refs, score_floor=0.01, batch_size=4) == found


def test_boxes_are_where_they_were_drawn(tmp_path):
    """A wrong order of axes, a wrong scale or a shifted label would show."""
    refs, truth = drawn(tmp_path, 1, (150, 100))
    detector = detectors.create(params(), CLASSES)
    answer = transformers.modeling_outputs.ModelOutput()
    answer["logits"] = torch.tensor([[[9.0, -9.0], [-9.0, 9.0]]])
    x1, y1, x2, y2 = torch.tensor(truth["image0"].xyxy).T
    answer["pred_boxes"] = torch.stack(
        [(x1 + x2) / 300, (y1 + y2) / 200, (x2 - x1) / 150, (y2 - y1) / 100], dim=1
    )[None]
    detector.model.network.forward = lambda pixel_values: answer
    (found,) = detector.propose(refs, score_floor=0.5, batch_size=1).values()
    assert found.labels.tolist() == truth["image0"].labels.tolist() == ["square", "disc"]
    assert abs(found.xyxy - truth["image0"].xyxy).max() < 0.01
    captured = {}

    def forward(pixel_values, labels):
        captured.update(labels[0])
        raise ValueError("seen")

    detector.model.network.forward = forward
    detector.model.train()
    target = {
        "boxes": torch.tensor(truth["image0"].xyxy) * torch.tensor([96 / 150, 0.64] * 2),
        "labels": torch.tensor([1, 2]),
    }
    with pytest.raises(TypeError):  # asked again without labels, to see whether it is sound
        detector.model([torch.zeros(3, 64, 96, dtype=torch.uint8)], [target])
    assert captured["class_labels"].tolist() == [0, 1]
    torch.testing.assert_close(captured["boxes"], answer["pred_boxes"][0])


def test_pixels_are_normalised_as_the_image_processor_says(tmp_path):
    folder = save(detr(transformers, num_labels=2), tmp_path)
    pixels = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    processor = transformers.DetrImageProcessor.from_pretrained(folder)
    expected = processor(pixels, do_resize=False, return_tensors="pt")["pixel_values"][0]
    model = detectors.create(params(weights=str(folder)), CLASSES).model
    torch.testing.assert_close(
        ((pixels.float() - model._mean) / model._std)[0], expected, rtol=1e-4, atol=1e-4
    )


# --- heads and classes ---


def test_the_heads_are_new_and_everything_else_is_the_folders():
    detector = detectors.create(params(), CLASSES)
    assert detector.model.network.config.id2label == {0: "square", 1: "disc"}
    stored = transformers.AutoModelForObjectDetection.from_pretrained(tiny()).state_dict()
    own = tensors(detector)
    new = {name for name, tensor in own.items() if not torch.equal(tensor, stored[name])}
    assert new
    assert all("class_embed" in name or "score" in name for name in new)
    total = len([name for name in own if not name.endswith("num_batches_tracked")])
    assert f"({total - len(new)} of {total} tensors of the detector)" in detector.initial_weights


@pytest.mark.parametrize("names", [CLASSES, ("cat", "dog")])
def test_heads_stay_where_the_classes_are_the_same(names, tmp_path):
    """As many classes of other names are other classes."""
    config = rt_detr_v2(transformers, num_labels=2)
    config.id2label, config.label2id = dict(enumerate(names)), {n: i for i, n in enumerate(names)}
    folder = save(config, tmp_path, seed=1)
    stored = transformers.AutoModelForObjectDetection.from_pretrained(folder).state_dict()
    own = tensors(detectors.create(params(weights=str(folder)), CLASSES))
    name = "model.enc_score_head.weight"
    assert torch.equal(own[name], stored[name]) == (names == CLASSES)


def test_the_seed_decides_the_heads():
    one, same, other = (detectors.create(params(seed=seed), CLASSES) for seed in (1, 1, 2))
    name = "model.enc_score_head.weight"
    assert torch.equal(tensors(one)[name], tensors(same)[name])
    assert not torch.equal(tensors(one)[name], tensors(other)[name])


def test_a_checkpoint_is_a_weights_file_for_other_classes(tmp_path):
    detectors.create(params(seed=3), CLASSES).save(tmp_path / "own.pt", labeled_digest="x")
    stored = read_detector(tmp_path / "own.pt").state
    other = detectors.create(params(weights=str(tmp_path / "own.pt")), ("a", "b", "c"))
    name = "model.enc_output.0.weight"
    assert torch.equal(tensors(other)[name], stored[name])
    assert tensors(other)["model.enc_score_head.weight"].shape[0] == 3
    with pytest.raises(WeightsError, match=r"own\.pt is a transformers, not a ssd300_mobilenet_v2"):
        detectors.create(
            train_params("ssd300_mobilenet_v2", weights=str(tmp_path / "own.pt")), CLASSES
        )


# --- sizes ---


def test_input_sizes(tmp_path):
    assert detectors.create(params(input_size=None), CLASSES).size.sides == (640, 640)
    assert detectors.create(params(input_size=(65, 96)), CLASSES).size.sides == (96, 96)
    with pytest.raises(ParamsError, match="at least 32"):
        detectors.create(params(input_size=(16, 64)), CLASSES)


def test_a_network_made_for_one_size_takes_others(tmp_path):
    config = rt_detr_v2(transformers, num_labels=80, eval_size=128, anchor_image_size=[128, 128])
    detector = detectors.create(params(weights=str(save(config, tmp_path / "net"))), CLASSES)
    refs, _ = drawn(tmp_path, 1)
    assert set(detector.propose(refs, score_floor=0.0, batch_size=1)) == {"image0"}


def test_a_folder_without_an_image_processor_takes_the_usual_one(tmp_path):
    folder = save(rt_detr_v2(transformers), tmp_path, processor=False)
    detector = detectors.create(params(weights=str(folder)), CLASSES)
    assert type(detector.model.processor).__name__ == "RTDetrImageProcessor"


# --- what cannot be used ---


@pytest.mark.parametrize("name", ["none", "COCO_V1", "DEFAULT", "nowhere/at/all"])
def test_what_is_neither_a_folder_nor_a_name_of_the_hub(name):
    with pytest.raises(WeightsError, match=f"'{name}' is not a network.*config.json.*hub.*another"):
        detectors.create(params(weights=name), CLASSES)


def test_folders_that_hold_no_detector(tmp_path):
    with pytest.raises(WeightsError, match=r"has no config\.json"):
        detectors.create(params(weights=str(tmp_path)), CLASSES)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"config\.json is not a JSON object"):
        detectors.create(params(weights=str(tmp_path)), CLASSES)
    transformers.ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="a vit detects no objects"):
        detectors.create(params(weights=str(tmp_path)), CLASSES)
    rt_detr_v2(transformers).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="cannot be used"):
        detectors.create(params(weights=str(tmp_path)), CLASSES)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 40)
    with pytest.raises(WeightsError, match="cannot be used") as error:
        detectors.create(params(weights=str(tmp_path)), CLASSES)
    assert "\n" not in str(error.value)


def with_settings(folder, file="preprocessor_config.json", **changes):
    """A copy of the tiny network with other settings in one of its files."""
    shutil.copytree(tiny(), folder)
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**content, **changes}))
    return str(folder)


@pytest.mark.parametrize(
    ("settings", "mean", "std"),
    [
        ({"image_mean": [0.5], "image_std": 0.25}, [127.5] * 3, [63.75] * 3),
        ({"image_mean": 0.5, "image_std": [0.25]}, [127.5] * 3, [63.75] * 3),
        (
            {"image_mean": [0, 1, 2], "image_std": [1, 2, 3], "do_rescale": False},
            [0, 1, 2],
            [1, 2, 3],
        ),
    ],
)
def test_one_mean_is_that_of_all_colours(settings, mean, std, tmp_path):
    folder = with_settings(tmp_path / "net", do_normalize=True, **settings)
    model = detectors.create(params(weights=folder), CLASSES).model
    torch.testing.assert_close(model._mean.flatten(), torch.tensor(mean, dtype=torch.float32))
    torch.testing.assert_close(model._std.flatten(), torch.tensor(std, dtype=torch.float32))
    pixels = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    expected = model.processor(pixels, do_resize=False, return_tensors="pt")["pixel_values"][0]
    torch.testing.assert_close(((pixels.float() - model._mean) / model._std)[0], expected)


@pytest.mark.parametrize(
    ("size", "sides"),
    [
        ({"height": 64, "width": 96}, (64, 96)),
        ({"max_height": 64, "max_width": 96}, (64, 96)),
        ({"shortest_edge": 96, "longest_edge": 1333}, (96, 96)),
        ({"longest_edge": 96}, (96, 96)),
    ],
)
def test_the_size_is_that_of_the_image_processor(size, sides, tmp_path):
    folder = with_settings(tmp_path / "net", size=size)
    assert detectors.create(params(weights=folder, input_size=None), CLASSES).size.sides == sides


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("image_mean", value) for value in (None, [0.5, 0.5], "x", [float("nan")] * 3)],
        *[("image_std", value) for value in ([0, 0, 0], -1, [])],
        *[("rescale_factor", value) for value in (0, None, "a", -1, float("inf"))],
        *[("size", {"height": side, "width": 64}) for side in ("a", -64, 0, 100000)],
        *[("num_queries", value) for value in (0, -1)],
    ],
)
def test_settings_that_no_network_can_be_used_with_are_told_by_their_key(key, value, tmp_path):
    file = "config.json" if key == "num_queries" else "preprocessor_config.json"
    folder = with_settings(tmp_path / "net", file, do_normalize=True, **{key: value})
    with pytest.raises(WeightsError, match=rf"{folder} cannot be used \({key}.* in {file} must be"):
        detectors.create(params(weights=folder), CLASSES)
    with pytest.raises(WeightsError, match=key):  # before anybody labels the first batch
        detectors.train(params(weights=folder), labeled({}), ())


@pytest.mark.parametrize("file", ["config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("content", ["[]", '"x"', "1"])
def test_files_that_hold_no_object_are_refused(file, content, tmp_path):
    folder = with_settings(tmp_path / "net")
    (tmp_path / "net" / file).write_text(content)
    with pytest.raises(WeightsError, match=rf"net/{file} is not a JSON object"):
        detectors.create(params(weights=folder), CLASSES)


def test_code_beside_the_weights_is_not_executed(tmp_path):
    folder, marker = save(rt_detr_v2(transformers), tmp_path / "net"), tmp_path / "executed"
    content = json.loads((folder / "config.json").read_text())
    content["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForObjectDetection": "evil.Net"}
    (folder / "config.json").write_text(json.dumps(content))
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w')")
    detectors.create(params(weights=str(folder)), CLASSES)
    assert not marker.exists()


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_truncated_checkpoints_are_refused(keep, tmp_path):
    path = tmp_path / "d.pt"
    detectors.create(params(), CLASSES).save(path, labeled_digest="x")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(ArtifactError, match=r"d\.pt"):
        detectors.load(path, "cpu")


def test_a_checkpoint_without_its_config_is_refused(tmp_path):
    from dataclasses import replace

    from boxloop.models.checkpoint import write_detector

    path = tmp_path / "d.pt"
    detectors.create(params(), CLASSES).save(path, labeled_digest="x")
    write_detector(path, replace(read_detector(path), options={}), safetensors=True)
    with pytest.raises(ArtifactError, match=r"d\.pt does not hold a network of transformers"):
        detectors.load(path, "cpu")
    with pytest.raises(WeightsError, match=r"d\.pt does not say what its network is built from"):
        detectors.create(params(weights=str(path)), CLASSES)


def test_divergence_of_networks_that_pair_by_cost(tmp_path):
    refs, truth = drawn(tmp_path)
    wild = params(detr, learning_rate=1e12, schedule="constant", steps=12)
    with pytest.raises(DivergedError, match="lower train.learning_rate"):
        detectors.train(wild, labeled(truth), refs)


def elsewhere(code, folder, **environment):
    """Runs code in a process of its own and returns what it says, and the seconds it took."""
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HOME": str(folder), **environment},
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, time.perf_counter() - begin


CREATE = """
{before}
from boxloop.errors import BoxloopError
from boxloop.models import detectors
from boxloop.params import TrainParams
try:
    detectors.create(
        TrainParams(detector="transformers", weights="PekingU/rtdetr_v2_r18vd", steps=1), ("a",)
    )
except BoxloopError as error:
    print(error)
"""


@pytest.mark.parametrize(
    "environment", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}]
)
def test_a_network_that_cannot_be_downloaded_is_told_at_once(environment, tmp_path):
    said, seconds = elsewhere(CREATE.format(before=""), tmp_path, **environment)
    assert "'PekingU/rtdetr_v2_r18vd' is no folder here, and could not be downloaded" in said
    assert "save_pretrained" in said
    assert len(said.splitlines()) == 1
    assert seconds < 60


def test_without_the_library_one_sentence_says_how_to_get_it(tmp_path):
    before = "import sys; sys.modules['transformers'] = None"
    said, _ = elsewhere(CREATE.format(before=before), tmp_path)
    assert "pip install 'boxloop[transformers]'" in said
    assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_the_hubs_cache_is_used(tmp_path, monkeypatch):
    """A snapshot that an earlier download left, with nobody to ask."""
    place = tmp_path / "hub" / "models--PekingU--rtdetr_v2_r18vd"
    save(rt_detr_v2(transformers), place / "snapshots" / ("a" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("a" * 40)
    said, _ = elsewhere(CREATE.format(before=""), tmp_path, HF_HUB_OFFLINE="1")
    assert said == ""
