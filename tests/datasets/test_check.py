import shlex
import sys

import pytest

from boxloop import cli
from boxloop.datasets import load as load_dataset
from boxloop.datasets.check import as_overrides, check_path, find_settings
from boxloop.errors import DatasetError, ParamsError
from boxloop.params import Params, apply_override, check
from builders_datasets import coco, coco_content, image, text, voc_item, voc_object


def _settings(overrides):
    content = {}
    for override in overrides:
        apply_override(content, override)
    return check(Params, content, "x").dataset


@pytest.mark.parametrize("name", ["set", "my set", "a, b: {c}", "no", "1e-3", "ü'\"$x", "#x"])
def test_the_line_to_begin_with_reads_the_same(tmp_path, name):
    annotations = {"id": 1, "image_id": 1, "category_id": 18, "bbox": [1, 2, 10, 0]}
    boxes = [coco_content()["annotations"][0], {**annotations, "id": 2}]
    root = coco(tmp_path / name, annotations=boxes)
    image(root / "images" / "b.png")
    said = check_path(root, ()).splitlines()
    assert said[0] == f"{root}: COCO's JSON (instances.json)"
    assert said[1] == "1 image, 1 box: car 0, dog 1"
    assert said[2] == "left out: 1 images that dataset.annotations does not list"
    assert said[3] == "zero_size_box: 1 (box dropped)"
    words = shlex.split(said[-1])
    assert words[:3] == ["boxloop", "init", "CAMPAIGN"]
    assert words[3::2] == ["--set"] * 3
    dataset = _settings(words[4::2])
    assert (dataset.path, dataset.annotations) == (str(root), "instances.json")
    assert len(load_dataset(dataset, tmp_path / "drawn").images) == 1


def test_several_files_and_names_with_commas(tmp_path):
    section = {"format": "coco", "annotations": ("a, b.json", "[c].json", "d.json"), "path": "yes"}
    dataset = _settings(as_overrides(section))
    assert dataset.annotations == ("a, b.json", "[c].json", "d.json")
    assert dataset.path == "yes"


def test_pictures_without_labels(tmp_path):
    image(tmp_path / "a.png")
    said = check_path(tmp_path, ())
    assert "1 image, no annotations\n" in said
    assert said.endswith(" --set 'dataset.classes=[cat, dog]'")
    assert "names of your own classes" in said
    given = check_path(tmp_path, ["dataset.classes=[bus]"])
    assert "classes: bus" in given
    assert given.endswith("--set 'dataset.classes=[bus]'")


def test_what_is_given_goes_before_what_is_recognized(tmp_path):
    coco(tmp_path)
    text(tmp_path / "second.json", "{}")
    _, section = find_settings(tmp_path, ["dataset.classes=[dog]"])
    assert section["annotations"] == "instances.json"
    assert section["classes"] == ["dog"]
    _, section = find_settings(tmp_path, ["dataset.format=folder"])
    assert section == {"format": "folder", "path": str(tmp_path)}
    with pytest.raises(
        DatasetError, match="taken for COCO's JSON .*, but .*second.json has no list"
    ):
        check_path(tmp_path, ["dataset.annotations=second.json"])
    with pytest.raises(ParamsError, match="takes keys of 'dataset' only"):
        check_path(tmp_path, ["order.seed=1"])


@pytest.mark.parametrize("labelme", [False, True])
def test_the_command(tmp_path, monkeypatch, capsys, labelme):
    coco(tmp_path / "set")
    if labelme:
        text(tmp_path / "set" / "instances.json", '{"shapes": [], "imagePath": "a.png"}')
    monkeypatch.setattr(sys, "argv", ["boxloop", "check", str(tmp_path / "set")])
    if labelme:
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert len(said.err.strip().splitlines()) == 1
        assert "LabelMe" in said.err
    else:
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert not stop.value.code
        assert "1 image, 1 box" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_a_set_that_is_labeled_in_part_is_told_what_to_do_with_it(tmp_path):
    for name in "abc":
        image(tmp_path / f"{name}.png")
    text(tmp_path / "classes.txt", "cat\n")
    text(tmp_path / "a.txt", "0 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.4 0.4\n")
    said = check_path(tmp_path, ())
    assert "1 of 3 images have labels (2 boxes): where people label the rest, --set" in said
    text(tmp_path / "b.txt", "0 0.5 0.5 0.2 0.2\n")
    text(tmp_path / "c.txt", "0 0.5 0.5 0.2 0.2\n")
    assert "have labels" not in check_path(tmp_path, ())


def test_images_that_a_format_leaves_out_unless_people_label_them(tmp_path):
    voc_item(tmp_path, "a", voc_object("dog", 1, 1, 9, 9))
    image(tmp_path / "JPEGImages" / "b.jpg")
    said = check_path(tmp_path, ())
    assert "left out: 1 images without an annotation\nimages without labels are left out" in said
    wanted = check_path(tmp_path, ["dataset.labels=trusted"])
    assert "left out" not in wanted
    assert "\n1 of 2 images have labels (1 box)\n" in wanted
    assert wanted.endswith("--set dataset.labels=trusted")
