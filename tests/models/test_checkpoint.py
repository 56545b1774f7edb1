import pickle

import pytest
import torch

from boxloop.errors import ArtifactError
from boxloop.models import checkpoint, detectors
from boxloop.models.detectors.empty import EmptyDetector


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "d.pt"
    EmptyDetector(("a", "b")).save(path, labeled_digest="d" * 64)
    return path


def edited(path, **changes):
    content = torch.load(path, weights_only=True)
    content.update(changes)
    torch.save(content, path)
    return path


def test_what_was_written_is_read(saved):
    found = checkpoint.read(saved)
    assert (found.architecture, found.classes, found.steps) == ("empty", ("a", "b"), 0)
    assert found.labeled_digest == "d" * 64
    assert found.origin == str(saved)


def test_tensors_are_stored_plainly(tmp_path):
    tensor = torch.arange(24.0).view(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    path = tmp_path / "t.pt"
    slim = {"x": tensor, "part": torch.zeros(1000)[:3]}
    checkpoint.write(path, checkpoint.Checkpoint("a", ("c",), (1, 1), "", "", 0, {}, slim))
    found = checkpoint.read(path).state
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
        torch.save({"format": checkpoint.FORMAT, "x": Attack(str(marker))}, path)
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
        ({"steps": "many"}, "at steps"),
        ({"state_dict": {"x": 1}}, "at state_dict"),
        ({"options": None}, "at options"),
        ({"architecture": None}, "at architecture"),
        ({"architecture": "yolo"}, "yolo, which this version lacks"),
        ({"architecture": "ssd300_mobilenet_v2"}, "does not hold the tensors of a ssd300"),
    ],
)
def test_wrong_content_names_the_place(saved, changes, place):
    with pytest.raises(ArtifactError, match=place):
        detectors.load(edited(saved, **changes), "cpu")
