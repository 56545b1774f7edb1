"""Checkpoints that are damaged, or hold what no checkpoint holds."""

import io
import json
import pickle
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from boxloop.models.checkpoint import DetectorCheckpoint, read_detector, write_detector
from builders_hostile import LONG, TEXT, damaged, often, read_or_refuse, refusal

GOOD = DetectorCheckpoint(
    "ssd", ("cat", "dog"), (64, 64), "0" * 64, "none", 3, {"a": 1.0}, {"w": torch.ones(2, 2)}
)


@pytest.fixture
def path(tmp_path):
    write_detector(tmp_path / "b01.pt", GOOD)
    return tmp_path / "b01.pt"


def _content(**changes):
    plain = {
        "format": "boxloop/detector@1",
        "architecture": "ssd",
        "classes": ["cat", "dog"],
        "input_size": [64, 64],
        "labeled_digest": "0" * 64,
        "initial_weights": "none",
        "steps": 3,
        "options": {"a": 1.0},
        "state_dict": {"w": torch.ones(2, 2)},
    }
    return {**plain, **changes}


NAN = torch.full((2, 2), float("nan"))

CHANGES = {
    "all-nan": {"state_dict": {"w": NAN}},
    "one-infinite": {"state_dict": {"w": torch.tensor([1.0, float("inf")])}},
    "half-nan": {"state_dict": {"w": NAN.half()}},
    "keys-int": {"state_dict": {1: torch.ones(1)}},
    "keys-mixed": {"state_dict": {1: 2, "b": 3}},
    "tensor-text": {"state_dict": {"w": "x"}},
    "sparse": {"state_dict": {"w": torch.eye(3).to_sparse()}},
    "classes-bool": {"classes": [True]},
    "classes-blank": {"classes": [" "]},
    "classes-escape": {"classes": [TEXT]},
    "classes-twice": {"classes": ["cat", "cat"]},
    "classes-long": {"classes": [LONG]},
    "size-bool": {"input_size": [True, True]},
    "size-huge": {"input_size": [10**9, 10**9]},
    "size-three": {"input_size": [1, 2, 3]},
    "steps-bool": {"steps": True},
    "steps-negative": {"steps": -1},
    "steps-huge": {"steps": 10**4000},
    "options-list": {"options": {"a": [1]}},
    "options-keys": {"options": {1: 1}},
    "architecture-escape": {"architecture": TEXT},
    "another-key": {"surprise": 1},
    "format-int": {"format": 1},
    "format-later": {"format": "boxloop/detector@9"},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_is_refused(path, name):
    torch.save(_content(**CHANGES[name]), path)
    message = refusal(lambda: read_detector(path), path.parent)
    assert "b01.pt" in message
    assert "train it anew" in message
    assert len(message) < 600


def test_what_a_checkpoint_holds_is_read(path):
    torch.save(_content(), path)
    assert read_detector(path).classes == ("cat", "dog")


def _members(path, change):
    with zipfile.ZipFile(path) as old:
        content = {name: old.read(name) for name in old.namelist()}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as new:
        for name, data in content.items():
            new.writestr(name, change(name, data))
    path.write_bytes(out.getvalue())


FILES = {
    "deep-pickle": lambda p: _members(
        p, lambda n, d: pickle.dumps(1)[:2] + b"(" * 20_000 if n.endswith("pkl") else d
    ),
    "wrong-storage": lambda p: _members(p, lambda n, d: d[:3] if "/data/" in n else d),
    "no-pickle": lambda p: _members(p, lambda n, d: b"" if n.endswith("pkl") else d),
    "other-byteorder": lambda p: _members(p, lambda n, d: b"?" if "byteorder" in n else d),
    "plain-pickle": lambda p: p.write_bytes(pickle.dumps({"format": "boxloop/detector@1"})),
    "safetensors-header": lambda p: p.write_bytes((2**40).to_bytes(8, "little") + b"{"),
    "safetensors-dup": lambda p: p.write_bytes(
        save({"w": torch.ones(1)}, {"boxloop": '{"format": 1, "format": "boxloop/detector@1"}'})
    ),
    "safetensors-nan": lambda p: p.write_bytes(
        save(
            {"w": NAN},
            {"boxloop": json.dumps({k: v for k, v in _content().items() if k != "state_dict"})},
        )
    ),
    "safetensors-digits": lambda p: p.write_bytes(
        save({"w": torch.ones(1)}, {"boxloop": '{"steps": ' + "9" * 5000 + "}"})
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused(path, name):
    FILES[name](path)
    message = refusal(lambda: read_detector(path))
    assert "b01.pt" in message
    assert len(message) < 600


# --- at random places -----------------------------------------------------------------------------


def require_sound(found):
    if found is not None:
        assert all(torch.isfinite(tensor).all() for tensor in found.state.values())
        assert all(isinstance(name, str) and name.strip() for name in found.classes)
        assert type(found.steps) is int


@pytest.mark.parametrize("safetensors", [False, True])
@often(60)
@given(data=st.data())
def test_bytes_of_checkpoints(tmp_path_factory, safetensors, data):
    path = tmp_path_factory.getbasetemp() / "fuzz.pt"
    path.unlink(missing_ok=True)
    write_detector(path, GOOD, safetensors=safetensors)
    path.write_bytes(data.draw(damaged(path.read_bytes())))
    require_sound(read_or_refuse(read_detector, path))


@often(60)
@given(data=st.data())
def test_members_of_checkpoints(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "members.pt"
    path.unlink(missing_ok=True)
    write_detector(path, GOOD)
    part = data.draw(st.sampled_from(["data.pkl", "data.pkl", "data/0", "version", "byteorder"]))
    _members(path, lambda name, d: data.draw(damaged(d)) if name.endswith(part) else d)
    require_sound(read_or_refuse(read_detector, path))
