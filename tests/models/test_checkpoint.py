"""Checkpoints of detectors and of SimNet: what is read is what was written, or is refused."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from boxloop.errors import ArtifactError
from boxloop.models import checkpoint, detectors
from boxloop.models.checkpoint import (
    DetectorCheckpoint,
    SimNetCheckpoint,
    read_detector,
    read_simnet,
    write_detector,
    write_simnet,
)
from builders_detectors import train_params

SSD = "ssd300_mobilenet_v2"

SIMNET = SimNetCheckpoint(
    network="resnet18",
    input_size=64,
    halves="left_right",
    initial_weights="none",
    steps=6,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    state={"w": torch.arange(6.0).view(2, 3), "n": torch.tensor(3)},
)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "d.pt"
    write_detector(path, DetectorCheckpoint("any", ("a", "b"), (0, 0), "d" * 64, "none", 0))
    return path


def edited(path, **changes):
    content = torch.load(path, weights_only=True)
    content.update(changes)
    torch.save(content, path)
    return path


def test_what_was_written_is_read(saved):
    found = read_detector(saved)
    assert (found.architecture, found.classes, found.steps) == ("any", ("a", "b"), 0)
    assert found.labeled_digest == "d" * 64
    assert found.origin == str(saved)


def test_tensors_are_stored_plainly(tmp_path):
    tensor = torch.arange(24.0).view(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    path = tmp_path / "t.pt"
    slim = {"x": tensor, "part": torch.zeros(1000)[:3]}
    write_detector(path, DetectorCheckpoint("a", ("c",), (1, 1), "", "", 0, {}, slim))
    found = read_detector(path).state
    assert torch.equal(found["x"], tensor)
    assert found["x"].is_contiguous()
    assert found["part"].untyped_storage().nbytes() == 12


class Attack:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (self.marker, "w"))


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_nothing_in_a_file_is_executed(tmp_path, how):
    marker, path = tmp_path / "executed", tmp_path / "evil.pt"
    if how == "torch":
        torch.save({"format": checkpoint.DETECTOR_FORMAT, "x": Attack(str(marker))}, path)
    else:
        path.write_bytes(pickle.dumps(Attack(str(marker))))
    with pytest.raises(ArtifactError, match=r"evil\.pt") as error:
        detectors.load(path, "cpu")
    assert not marker.exists()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x80\x02.",
        b"PK\x03\x04" + bytes(60),
        b"\x80\x04K\x01.",
        pickle.dumps({"format": "boxloop/detector@1"}),
        pickle.dumps([1, 2]),
        bytes(range(256)) * 20,
    ],
)
def test_foreign_files_are_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "foreign.pt"
    path.write_bytes(content)
    with pytest.raises(ArtifactError, match=r"foreign\.pt") as error:
        detectors.load(path, "cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.99])
def test_truncated_files_are_refused(saved, keep):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(ArtifactError, match=r"d\.pt"):
        detectors.load(saved, "cpu")


def test_missing_files_and_folders(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        detectors.load(tmp_path / "none.pt", "cpu")
    with pytest.raises(ArtifactError, match="cannot be read"):
        detectors.load(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"format": "boxloop/detector@9"}, "boxloop/detector@9"),
        ({"format": "other"}, "not a detector checkpoint"),
        ({"classes": []}, "at classes"),
        ({"classes": [1]}, "at classes"),
        ({"input_size": [1]}, "at input_size"),
        ({"input_size": [1.5, 2]}, "at input_size"),
        *[
            ({"input_size": sides}, "at input_size: must be two sides of 1 to 65,536 pixels, or 0")
            for sides in ([0, 64], [-5, 64], [65_537, 64], [1_000_000, 1_000_000])
        ],
        ({"steps": "many"}, "at steps"),
        ({"state_dict": {"x": 1}}, "at state_dict"),
        ({"options": None}, "at options"),
        ({"architecture": SSD, "options": {"zoom": 0.5}}, "zoom should be at least 1, got 0.5"),
        (
            {"architecture": SSD, "options": {"zoom": "twice"}},
            "zoom should be at least 1, got 'twice'",
        ),
        ({"architecture": SSD, "options": {"zoom": 1e9}}, "zoom should be at most 8, got 10000"),
        ({"architecture": SSD, "options": {"zoom": True}}, "zoom should be at least 1, got True"),
        ({"architecture": SSD, "options": {"crowd": -1}}, "crowd should be at least 0, got -1"),
        ({"architecture": None}, "at architecture"),
        ({"architecture": "yolo"}, "yolo, which this version lacks"),
        ({"architecture": SSD}, "does not hold the tensors of a ssd300"),
    ],
)
def test_wrong_content_names_the_place(saved, changes, place):
    with pytest.raises(ArtifactError, match=place):
        detectors.load(edited(saved, **changes), "cpu")


@pytest.mark.parametrize("name", ["fcos_efficientnet_lite0", "transformers"])
@pytest.mark.parametrize("sides", [[0, 0], [20_000, 64]])  # of a zoom of 1
def test_a_size_that_no_model_has_is_refused(name, sides, tmp_path):
    path = tmp_path / "d.pt"
    made = detectors.create(train_params(name), ("a",))
    write_detector(path, replace(made.checkpoint("d" * 64), input_size=tuple(sides)))
    with pytest.raises(ArtifactError, match=r"d.pt, at input_size: must be two sides of .*anew"):
        detectors.load(path, "cpu")


# --- SimNet's ---


@pytest.fixture
def simnet(tmp_path):
    path = tmp_path / "simnet.pt"
    write_simnet(path, SIMNET)
    return path


def test_simnet_survives_its_file(simnet):
    found = read_simnet(simnet, "resnet18")
    assert replace(found, state={}, origin="") == replace(SIMNET, state={}, origin="")
    assert found.origin == str(simnet)
    assert set(found.state) == set(SIMNET.state)
    assert all(torch.equal(tensor, found.state[name]) for name, tensor in SIMNET.state.items())


def test_equal_content_has_equal_bytes(simnet, tmp_path):
    write_simnet(tmp_path / "other.pt", SIMNET)
    assert simnet.read_bytes() == (tmp_path / "other.pt").read_bytes()


def test_the_files_hold_what_the_documentation_says(saved, simnet):
    common = ["format", "initial_weights", "steps", "state_dict", "input_size"]
    detector = ["architecture", "classes", "labeled_digest", "options"]
    found = torch.load(saved, weights_only=True)
    assert sorted(found) == sorted(common + detector)
    assert found["format"] == "boxloop/detector@1"
    found = torch.load(simnet, weights_only=True)
    assert sorted(found) == sorted([*common, "network", "halves", "mean", "std"])
    assert found["format"] == "boxloop/simnet@1"
    assert found["mean"] == [0.485, 0.456, 0.406]


def test_a_kill_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "simnet.pt"
    write_simnet(path, replace(SIMNET, steps=5))
    old = path.read_bytes()

    def killed(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_simnet(path, SIMNET)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["simnet.pt"]


def test_files_that_are_not_simnets(tmp_path):
    path = tmp_path / "simnet.pt"
    with pytest.raises(ArtifactError, match=r"does not exist: run 'boxloop simnet'"):
        read_simnet(path, "resnet18")
    path.write_bytes(b"")
    with pytest.raises(ArtifactError, match="is empty, because SimNet was not asked for"):
        read_simnet(path, "resnet18")
    path.write_text("milk, bread")
    with pytest.raises(ArtifactError, match=r"is not a file of SimNet's: it holds something"):
        read_simnet(path, "resnet18")
    torch.save({"format": "boxloop/detector@1"}, path)
    with pytest.raises(ArtifactError, match="is not of the format boxloop/simnet@1"):
        read_simnet(path, "resnet18")
    path.unlink()
    write_simnet(path, SIMNET)
    with pytest.raises(ArtifactError, match=r"a trained resnet18, but features\.network is vgg11"):
        read_simnet(path, "vgg11")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match="simnet.pt"):
        read_simnet(path, "resnet18")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("network", 3, "at network: must be a str"),
        ("mean", [1.0], "at mean: must be three numbers"),
        ("std", None, "at std: must be a list"),
        ("state_dict", {"a": 1}, "at state_dict: must hold tensors only"),
    ],
)
def test_a_damaged_field_of_simnet_is_named(simnet, key, value, message):
    with pytest.raises(ArtifactError, match=f"{message}.*: train SimNet anew"):
        read_simnet(edited(simnet, **{key: value}), "resnet18")


def test_simnet_of_another_input_size_is_told(simnet):
    size = read_simnet(simnet, "resnet18").input_size
    assert read_simnet(simnet, "resnet18", size).input_size == size
    sentence = rf"trained at an input_size of {size}, but features.input_size is 96: run 'boxloop s"
    with pytest.raises(ArtifactError, match=sentence):
        read_simnet(simnet, "resnet18", 96)
