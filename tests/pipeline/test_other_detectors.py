"""Detectors that come from elsewhere, in campaigns through the real dvc."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from campaigns import TINY, init, repro, run

from boxloop.campaign import artifacts
from boxloop.models.checkpoint import read_detector
from boxloop.models.tensor_files import is_safetensors
from builders_transformers import tiny
from builders_zero_shot import tiny_zero_shot

GUIDE = Path(__file__).parents[2] / "docs" / "detectors.md"
FOREIGN = Path(__file__).parents[1] / "fixtures" / "foreign"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package with an entry point, from its wheel, where Python finds it."""
    source, dist, site = tmp_path / "source", tmp_path / "dist", tmp_path / "site"
    shutil.copytree(FOREIGN, source)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    subprocess.run([*build, "--directory", str(dist)], cwd=source, check=True, capture_output=True)
    (wheel,) = dist.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), before])))
    return site


def mean_of(labeled):
    return np.concatenate([boxes.xyxy for boxes in labeled.boxes.values()]).mean(axis=0)


@pytest.mark.slow
def test_a_detector_of_an_installed_package(installed, tmp_path):
    folder = init(
        tmp_path / "campaign",
        *TINY,
        "train.detector=mean_box",
        "order.strategy=temporal",
        "track.enabled=false",
        batches=2,
    )
    repro(folder)
    labeled = artifacts.read_labeled(folder / "data/labeled/b00.parquet")
    for boxes in artifacts.read_proposals(folder / "data/proposals/b01.json").boxes.values():
        np.testing.assert_allclose(boxes.xyxy, [mean_of(labeled)], atol=0.01)
    assert read_detector(folder / "data/detectors/b01.pt").architecture == "mean_box"
    assert "mean_box" in run(folder, "boxloop", "detectors").stdout

    # The same as a module in the campaign's folder, which nobody installed: that of the guide.
    example = re.search(r"```python\n(.*?)```", GUIDE.read_text(), re.S)[1]
    (folder / "my_boxes.py").write_text(example)
    name, out, log = "my_boxes:FACTORY", folder / "own.pt", folder / "own.json"
    train = ["boxloop", "train", "b01", "--set", f"train.detector={name}"]
    run(folder, *train, "--set", "train.warm_start=false", "--out", str(out), "--log", str(log))
    assert read_detector(out).architecture == name
    own = folder / "proposals.json"
    run(folder, "boxloop", "propose", "b01", "--detector", str(out), "--out", str(own))
    found = artifacts.read_proposals(own)
    assert found.detector == name
    for boxes in found.boxes.values():
        np.testing.assert_allclose(boxes.xyxy, [mean_of(labeled)], atol=0.01)
    again = ("--previous", str(out), "--out", str(folder / "next.pt"))
    run(folder, *train, "--set", "train.warm_start=true", *again, "--log", str(log))

    (folder / "my_boxes.py").unlink()
    gone = run(folder, "boxloop", "propose", "b01", "--detector", str(out), check=False)
    assert gone.returncode == 2
    assert "'my_boxes:FACTORY' names the module my_boxes, which is neither in" in gone.stderr


@pytest.mark.slow
def test_a_network_of_transformers(tmp_path):
    folder = init(
        tmp_path / "campaign",
        *TINY,
        "train.detector=transformers",
        f"train.weights={tiny()}",
        f"propose.first={{model: {tiny_zero_shot()}, prompts: {{cup: a cup}}}}",
        "order.strategy=temporal",
        "train.steps=6",
        "track.enabled=false",
        batches=3,
    )
    repro(folder, "finish@b01")  # in two parts: each may take its time
    repro(folder)
    begun = artifacts.read_proposals(folder / "data/proposals/b00.json")
    assert begun.detector == "zero-shot owlv2"
    assert sum(map(len, begun.boxes.values())) > 0
    counted = json.loads((folder / "metrics.json").read_text())
    assert counted["first_batch_as_corrected"]["wt_reduction"] != counted["wt_reduction"]
    first, second = (read_detector(folder / f"data/detectors/b0{turn}.pt") for turn in (1, 2))
    assert is_safetensors(folder / "data/detectors/b02.pt")
    assert (first.architecture, first.steps, second.steps) == ("transformers", 6, 12)
    assert second.initial_weights == "b01.pt (6 steps before)"
    offered = artifacts.read_proposals(folder / "data/proposals/b02.json")
    assert sum(map(len, offered.boxes.values())) > 0
    assert len(artifacts.read_labeled(folder / "data/labeled/b02.parquet")) == 24
    assert "up to date" in repro(folder).stdout

    # Made again, it is the same to the last byte.
    kept = (folder / "data/detectors/b01.pt").read_bytes()
    run(folder, "boxloop", "train", "b01")
    assert (folder / "data/detectors/b01.pt").read_bytes() == kept
