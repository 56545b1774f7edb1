"""What a dataset is read from, DVC watches: also where dataset.path does not hold it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from boxloop.campaign import init
from boxloop.campaign.dvc import environment
from boxloop.campaign.watching import find_unwatched, watch
from boxloop.files import read_json
from boxloop.params import DatasetParams
from builders_datasets import coco, coco_content, image, text


def _unwatched(root, **params):
    return find_unwatched(root, DatasetParams.model_validate(params))


@pytest.fixture
def campaign(tmp_path):
    folder = tmp_path / "campaign"
    folder.mkdir()
    source = Path(__file__).parents[2] / "dvc.yaml"
    (folder / "dvc.yaml").write_bytes(source.read_bytes())
    return folder


def test_what_lies_below_the_path_needs_no_more(tmp_path, campaign):
    coco(tmp_path / "set")
    path = str(tmp_path / "set")
    given = {"format": "coco", "path": path, "annotations": "instances.json", "images": "images"}
    assert _unwatched(campaign, **given) == []
    whole = f"{path}/instances.json"
    assert _unwatched(campaign, **{**given, "annotations": whole}) == []
    assert _unwatched(campaign, format="voc", path="../set") == []
    assert _unwatched(campaign, format="demo", path="x.yaml") == []
    assert _unwatched(campaign, format="voc", path="gone") == []


def test_annotations_and_images_that_lie_elsewhere(tmp_path, campaign):
    for name in ("l.json", "m.json", "pictures/a.png"):
        text(tmp_path / "labels" / name, "")
    (tmp_path / "set").mkdir()
    given = {"format": "coco", "path": "../set", "annotations": "../labels/l.json"}
    assert _unwatched(campaign, **given) == ["../labels/l.json"]
    absolute = str(tmp_path / "labels" / "m.json")
    several = {**given, "annotations": ["../labels/l.json", absolute], "images": "../labels"}
    assert _unwatched(campaign, **several) == ["../labels/l.json", absolute, "../labels"]
    twice = {**given, "annotations": ["../labels", "../set/../labels"], "images": "../gone"}
    assert _unwatched(campaign, **twice) == ["../labels"]


@pytest.mark.parametrize("name", ["häuser", "\U0001f600", "\U00020000", 'a "b"', "a\\b", "no"])
def test_places_of_any_characters_are_read_back_from_dvc_yaml(tmp_path, campaign, name):
    (tmp_path / "set").mkdir()
    text(tmp_path / name / "l.json", "")
    params = DatasetParams(format="coco", path="../set", annotations=f"../{name}/l.json")
    place = f"../{name}/l.json"
    assert watch(campaign, params) == [place]
    content = YAML(typ="safe").load(campaign / "dvc.yaml")
    assert content["stages"]["dataset"]["deps"] == ["${dataset.path}", place]
    assert watch(campaign, params) == []


def test_a_file_stands_for_its_folder(tmp_path, campaign):
    text(tmp_path / "set" / "data.yaml", "names: [a]\n")
    assert _unwatched(campaign, format="yolo", path="../set/data.yaml") == ["../set"]
    text(tmp_path / "loud" / "DATA.YAML", "names: [a]\n")
    assert _unwatched(campaign, format="yolo", path="../loud/DATA.YAML") == ["../loud"]
    # Not for one that holds the campaign itself, whose outputs would be its own dependency.
    for name in ("data.yaml", "images/a.txt", "labels/a.txt"):
        text(tmp_path / name, "")
    assert _unwatched(campaign, format="yolo", path="../data.yaml") == ["../images", "../labels"]


def test_links_to_folders_lead_on(tmp_path, campaign):
    for name in ("set/in/a", "real/deep/a", "far/a"):
        text(tmp_path / name, "")
    os.symlink(tmp_path / "real", tmp_path / "set" / "pictures")
    os.symlink(tmp_path / "far", tmp_path / "real" / "deep" / "more")
    os.symlink(tmp_path / "set" / "in", tmp_path / "set" / "again")
    os.symlink(tmp_path / "real", tmp_path / "far" / "round")
    os.symlink(tmp_path, tmp_path / "set" / "all")
    real = tmp_path.resolve()
    found = _unwatched(campaign, format="voc", path="../set")
    assert found == [str(real / "real"), str(real / "far")]
    # Also from what lies elsewhere.
    text(tmp_path / "labels" / "l.json", "")
    given = {"format": "coco", "path": "../labels", "annotations": "l.json", "images": "../set"}
    assert _unwatched(campaign, **given) == ["../set", *found]


def test_what_dvc_would_take_for_a_parameter_is_left_out(tmp_path, campaign):
    for name in ("${labels}", "labels"):
        text(tmp_path / name / "l.json", "")
    (tmp_path / "set").mkdir()
    annotations = ["../${labels}/l.json", "../labels/l.json"]
    given = {"format": "coco", "path": "../set", "annotations": annotations}
    assert _unwatched(campaign, **given) == ["../labels/l.json"]


def test_dvc_yaml_is_changed_once_and_keeps_what_it_says(tmp_path, campaign):
    text(tmp_path / "l.json", "")
    text(tmp_path / "m n.json", "")
    (tmp_path / "set").mkdir()
    before = (campaign / "dvc.yaml").read_text()
    params = DatasetParams(format="coco", path="../set", annotations=("../l.json", "../m n.json"))
    assert watch(campaign, params) == ["../l.json", "../m n.json"]
    after = (campaign / "dvc.yaml").read_text()
    old, new = (YAML(typ="safe").load(content)["stages"] for content in (before, after))
    assert new.pop("dataset")["deps"] == ["${dataset.path}", "../l.json", "../m n.json"]
    assert old.pop("dataset")["deps"] == ["${dataset.path}"]
    assert new == old
    assert len(after.splitlines()) == len(before.splitlines())
    assert watch(campaign, params) == []
    assert (campaign / "dvc.yaml").read_text() == after
    (campaign / "dvc.yaml").write_text("stages: {}\n")
    assert watch(campaign, params) == []
    (campaign / "dvc.yaml").unlink()
    assert watch(campaign, params) == []


@pytest.mark.slow
def test_dvc_reads_the_dataset_again_when_its_files_elsewhere_change(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder, data = tmp_path / "campaign", tmp_path / "yolo"
    text(data / "data.yaml", "train: images/train\nnames: [cat]\n")
    label = "0 0.5 0.5 0.5 0.5\n"

    def picture(name):
        image(data / "images" / "train" / f"{name}.png")
        text(data / "labels" / "train" / f"{name}.txt", label)

    def read_again():
        command = [sys.executable, "-m", "dvc", "repro", "dataset"]
        done = subprocess.run(
            command, cwd=folder, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [read_json(folder / "data" / f"{name}.json")[name] for name in ("images", "faults")]

    picture("a")
    overrides = ["dataset.format=yolo", "dataset.path=../yolo/data.yaml"]
    init.create(folder, params=None, batches=1, overrides=overrides)
    assert len(read_again()[0]) == 1
    picture("b")
    assert len(read_again()[0]) == 2

    # Later, in params.yaml: the stage itself adds what is read besides.
    [box] = coco_content()["annotations"]
    coco(data / "images", annotations=[box, {**box, "id": 2, "bbox": [3, 4, 10, 21]}])
    (data / "images" / "instances.json").rename(tmp_path / "l.json")
    params = folder / "params.yaml"
    rest = params.read_text().partition("\nsimnet:")[2]
    section = "dataset: {format: coco, path: ../yolo/images, annotations: ../../l.json}"
    params.write_text(f"{section}\nsimnet:{rest}")
    assert read_again()[1] == []
    (tmp_path / "l.json").write_text((tmp_path / "l.json").read_text().replace("10, 20", "10, 0"))
    assert [fault["kind"] for fault in read_again()[1]] == ["zero_size_box"]
