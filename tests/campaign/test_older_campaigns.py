"""A campaign of boxloop 0.1: it is said, `boxloop mend` brings it up to date, labels stay."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from boxloop.campaign import mending
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.run import alternate
from boxloop.campaign.status import status_text
from boxloop.errors import UserError
from boxloop.params import load_params
from builders_campaign import build_campaign, small_params
from builders_program import run_program

TOP = Path(__file__).parents[2]
OLDER = """stages:
  dataset:
    cmd: boxloop dataset data/images.json data/truth.json data/faults.json data/images
    deps: ["${dataset.path}"]
    outs: [data/images.json, data/truth.json]
  review:
    foreach: ${iterations}
    do:
      cmd: >-
        boxloop review --collect data/images.json data/proposals/${key}.json data/truth.json
        data/corrections/${key}.json
      outs: [data/corrections/${key}.json]
"""
PARAMS = """# mine
dataset: {format: demo, path: /of/another/version/demo.py, demo: {images: 4}}
batch: {size: 2}
review: {annotator: fiftyone, score_threshold: 0.5}   # mine, too
account: {iou_thresholds: [0.5]}
iterations: {b00: {previous: empty}, b01: {previous: b00}}
"""


@pytest.fixture
def root(tmp_path, monkeypatch):
    build_campaign(tmp_path, small_params(2), done=1, annotator="fiftyone", through="proposals")
    (tmp_path / "dvc.yaml").write_text(OLDER)
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / ".gitignore").write_text("/mine/\n/data/images/")
    dvc = [sys.executable, "-m", "dvc", "init", "--no-scm", "-q"]
    subprocess.run(dvc, cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_today_s_pipeline_is_not_older(tmp_path):
    assert mending.older_pipeline(TOP) is None
    assert mending.older_pipeline(tmp_path) is None
    own = "\n  mine:\n    cmd: boxloop predict data/images --out found.json\n"
    (tmp_path / "dvc.yaml").write_text((TOP / "dvc.yaml").read_text() + own)
    assert mending.older_pipeline(tmp_path) is None


def test_every_command_says_it_once(root, monkeypatch, capsys):
    said = status_text(CampaignPaths(root), load_params(root / "params.yaml"))
    assert "- dvc.yaml is of boxloop 0.1, whose stages" in said
    assert said.endswith("Next: boxloop mend, then dvc repro")
    with pytest.raises(UserError, match=r"0\.1.* 'boxloop mend' puts today's in its place"):
        alternate(CampaignPaths(root), pytest.fail, pytest.fail)
    stage = ("review", "--collect", "data/images.json", "data/proposals/b00.json")
    for command in (("status",), ("run",), ("classes",), stage):
        _, said = run_program(monkeypatch, capsys, *command)
        assert said.count("dvc.yaml is of boxloop 0.1") == 1, command
    assert run_program(monkeypatch, capsys, *stage)[0] == 2


def test_mend_puts_today_s_pipeline_in_its_place(root, monkeypatch, capsys):
    kept = {p: p.read_bytes() for p in (root / "data").rglob("*") if p.is_file()}
    code, said = run_program(monkeypatch, capsys, "mend")
    assert code == 0, said
    assert said.endswith("Next: dvc repro\n")
    assert (root / "dvc.yaml").read_text() == (TOP / "dvc.yaml").read_text()
    [aside] = root.glob("dvc.yaml.older-*")
    assert aside.read_text() == OLDER
    params = load_params(root / "params.yaml")
    assert Path(params.dataset.path).exists()
    assert params.account.iou_thresholds == (0.5,)
    text = (root / "params.yaml").read_text()
    assert text.startswith("# mine\n")
    assert "# mine, too" in text
    ignored = (root / ".gitignore").read_text().splitlines()
    assert ignored[:2] == ["/mine/", "/data/images/"]
    assert "/data/evidence/" in ignored
    assert len(set(ignored)) == len(ignored)
    assert {p: p.read_bytes() for p in (root / "data").rglob("*") if p.is_file()} == kept
    assert run_program(monkeypatch, capsys, "mend")[1] == "nothing is damaged\n"
    # DVC finds all that it asks for in params.yaml.
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "status", "finish@b00", "learn@b01"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_pipeline_that_cannot_be_replaced_stays(root, monkeypatch, capsys):
    (root / "params.yaml").write_text("order: {seed: x}\n")
    code, said = run_program(monkeypatch, capsys, "mend")
    assert code == 2
    assert "order.seed" in said
    assert (root / "dvc.yaml").read_text() == OLDER
    assert not list(root.glob("dvc.yaml.older-*"))


def test_watched_places_are_named_in_the_new_one(root, monkeypatch, capsys, tmp_path_factory):
    """Annotations that lie elsewhere, which DVC would not see a change of."""
    place = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(root / "data" / "images", place / "images")
    (place / "far.json").write_text("{}")
    (root / "params.yaml").write_text(
        f"dataset: {{format: coco, path: {place / 'images'}, annotations: {place / 'far.json'}}}\n"
    )
    assert run_program(monkeypatch, capsys, "mend")[0] == 0
    assert f'"{place / "far.json"}"' in (root / "dvc.yaml").read_text()
