import json
import os

import pytest

from boxloop.datasets.recognition import recognize
from boxloop.errors import DatasetError
from builders_datasets import (
    KITTI_CAR,
    KITTI_DONTCARE,
    coco,
    coco_content,
    image,
    kitti_item,
    load,
    text,
    voc_item,
    voc_object,
    voc_xml,
)

DOG = voc_object("dog", 5, 5, 15, 15)
LINE = "0 0.5 0.5 0.25 0.25\n"


def _recognized(path):
    found = recognize(path)
    return found.format, os.path.relpath(found.path, path), dict(found.settings)


def _yolo(root, *parts):
    for part in parts:
        image(root / part / "images" / "a.png")
        text(root / part / "labels" / "a.txt", LINE)


def test_voc(tmp_path):
    voc_item(tmp_path / "VOCdevkit" / "VOC2007", "a", DOG)
    assert _recognized(tmp_path) == ("voc", ".", {})
    assert _recognized(tmp_path / "VOCdevkit" / "VOC2007") == ("voc", ".", {})


def test_voc_beside_the_pictures(tmp_path):
    image(tmp_path / "a.jpg")
    text(tmp_path / "a.xml", voc_xml(DOG))
    assert _recognized(tmp_path) == ("voc", ".", {})


@pytest.mark.parametrize("name", ["data.yaml", "my.yml"])
def test_yolo_by_its_yaml(tmp_path, name):
    _yolo(tmp_path, "train", "val")
    file = text(tmp_path / name, "train: train/images\nval: val/images\nnames: [cat]\n")
    # A file of another name has to be named, or it would not be found.
    path = "." if name == "data.yaml" else name
    assert _recognized(tmp_path) == ("yolo", path, {})
    assert recognize(file) == recognize(tmp_path)


def test_a_yaml_without_names_is_none(tmp_path):
    image(tmp_path / "a.png")
    text(tmp_path / "conf.yaml", "order: {seed: 1}\n")
    assert _recognized(tmp_path)[0] == "folder"


@pytest.mark.parametrize("place", ["classes.txt", "labels/classes.txt"])
def test_yolo_by_its_classes(tmp_path, place):
    _yolo(tmp_path, ".")
    text(tmp_path / place, "cat\n")
    assert _recognized(tmp_path) == ("yolo", ".", {})


def test_yolo_of_labelimg_and_of_cvat(tmp_path):
    image(tmp_path / "a" / "a.png")
    text(tmp_path / "a" / "a.txt", LINE)
    text(tmp_path / "a" / "classes.txt", "cat\n")
    assert _recognized(tmp_path / "a") == ("yolo", ".", {})
    image(tmp_path / "b" / "obj_train_data" / "a.png")
    text(tmp_path / "b" / "obj_train_data" / "a.txt", LINE)
    text(tmp_path / "b" / "obj.names", "cat\n")
    text(tmp_path / "b" / "obj.data", "classes = 1\nnames = obj.names\ntrain = train.txt\n")
    assert _recognized(tmp_path / "b") == ("yolo", ".", {})
    assert recognize(tmp_path / "b" / "obj.data").path == tmp_path / "b"


@pytest.mark.parametrize("content", ["", "weather = rain\n", "\0\1"])
def test_data_of_any_kind_does_not_make_a_set_yolo_s(tmp_path, content):
    voc_item(tmp_path, "a", DOG)
    text(tmp_path / "sensor.data", content)
    found = recognize(tmp_path)
    assert (found.format, found.also) == ("voc", ())


def test_yolo_without_the_names_of_the_classes(tmp_path):
    _yolo(tmp_path, ".")
    with pytest.raises(DatasetError, match="labels/a.txt.*write them into classes.txt"):
        recognize(tmp_path)


@pytest.mark.parametrize("base", ["training", "."])
def test_kitti(tmp_path, base):
    image(tmp_path / base / "image_2" / "a.png")
    text(tmp_path / base / "label_2" / "a.txt", "")
    assert _recognized(tmp_path) == ("kitti", ".", {})


def test_kitti_with_classes_of_ones_own(tmp_path):
    kitti_item(tmp_path, "a", KITTI_CAR, KITTI_DONTCARE)
    kitti_item(tmp_path, "b")
    assert _recognized(tmp_path) == ("kitti", ".", {})
    kitti_item(tmp_path, "c", KITTI_CAR.replace("Car", "tram_stop"))
    assert _recognized(tmp_path) == ("kitti", ".", {"classes": ("Car", "tram_stop")})


def test_coco_wherever_its_file_lies(tmp_path):
    coco(tmp_path / "a")
    assert _recognized(tmp_path / "a") == ("coco", ".", {"annotations": "instances.json"})
    (tmp_path / "a" / "annotations").mkdir()
    (tmp_path / "a" / "instances.json").rename(tmp_path / "a" / "annotations" / "x.json")
    assert _recognized(tmp_path / "a") == ("coco", ".", {"annotations": "annotations/x.json"})
    assert recognize(tmp_path / "a" / "annotations" / "x.json") == recognize(tmp_path / "a")


def test_coco_files_of_different_pictures_are_one_dataset(tmp_path):
    for split in ("test", "train", "valid"):
        text(tmp_path / split / "_annotations.coco.json", json.dumps(coco_content()))
        image(tmp_path / split / "a.png")
    names = tuple(f"{split}/_annotations.coco.json" for split in ("train", "valid", "test"))
    assert _recognized(tmp_path) == ("coco", ".", {"annotations": names})
    alone = tmp_path / "test" / "_annotations.coco.json"
    assert recognize(alone).settings == {"annotations": "_annotations.coco.json"}


@pytest.mark.parametrize("other", ["person_keypoints_val2017.json", "v2.json"])
def test_of_coco_files_of_the_same_pictures_one_is_taken(tmp_path, other):
    image(tmp_path / "val2017" / "a.png")
    for name in ("instances_val2017.json", other):
        text(tmp_path / "annotations" / name, json.dumps(coco_content()))
    captions = coco_content(annotations=[{"image_id": 1, "caption": "x"}])
    text(tmp_path / "annotations" / "captions_val2017.json", json.dumps(captions))
    found = recognize(tmp_path)
    assert found.settings == {"annotations": "annotations/instances_val2017.json"}
    assert len(found.also) == 1
    assert other in found.also[0]


def test_a_large_file_is_not_parsed_to_tell_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("boxloop.datasets.coco_search._LARGE", 10)
    coco(tmp_path)
    text(tmp_path / "other.json", json.dumps({"images": ["x" * 20]}))
    assert _recognized(tmp_path) == ("coco", ".", {"annotations": "instances.json"})


CONTENT = json.dumps(coco_content()).encode()
BROKEN = {
    "cut short": CONTENT[:150],
    "empty": b"",
    "UTF-16": CONTENT.decode().encode("utf-16"),
    "Latin-1": CONTENT.replace(b"dog", b"\xfcber"),
    "no JSON": b"<html>",
}


@pytest.mark.parametrize(
    ("content", "large"),
    [(name, False) for name in BROKEN] + [("cut short", True), ("UTF-16", True)],
)
def test_a_file_of_annotations_that_cannot_be_read_is_not_passed_over(
    tmp_path, content, large, monkeypatch
):
    if large:
        monkeypatch.setattr("boxloop.datasets.coco_search._LARGE", 10)
    image(tmp_path / "valid" / "b.png")
    file = tmp_path / "valid" / "_annotations.coco.json"
    file.write_bytes(BROKEN[content])
    with pytest.raises(DatasetError, match=rf"{file} .*; put it right.*dataset.format=folder"):
        recognize(tmp_path)
    # Half of a set is no set, however good the other half is.
    coco(tmp_path / "train")
    with pytest.raises(DatasetError, match=rf"{file} .*; put it right, .*dataset.annotations=FILE"):
        recognize(tmp_path)
    file.unlink()
    assert _recognized(tmp_path)[0] == "coco"


def test_json_of_other_programs_is_passed_over_and_broken_one_beside_other_formats_named(tmp_path):
    coco(tmp_path)
    for number, content in enumerate(('{"a": 1, "a": 2}', "[]", "null", "NaN", '"\\ud800"')):
        text(tmp_path / f"settings{number}.json", content)
    assert recognize(tmp_path).also == ()
    assert _recognized(tmp_path) == ("coco", ".", {"annotations": "instances.json"})
    voc_item(tmp_path, "a", DOG)
    text(tmp_path / "broken.json", "{")
    found = recognize(tmp_path)
    assert found.format == "voc"
    assert "broken.json is not valid JSON (line 1, column 2)" in found.also[-1]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_texts_in_utf_16_are_told_for_what_they_are(tmp_path, encoding):
    _yolo(tmp_path, ".")
    for name, content in (
        ("data.yaml", "names: [cat]\ntrain: images\n"),
        ("classes.txt", "cat\n"),
        ("labels/a.txt", LINE),
    ):
        (tmp_path / name).write_bytes(content.encode(encoding))
    for name in ("data.yaml", "classes.txt"):
        assert _recognized(tmp_path)[0] == "yolo"
        with pytest.raises(DatasetError, match=f"{name} is not UTF-8 text: save it as UTF-8"):
            load(tmp_path, "yolo")
        (tmp_path / name).unlink()
    with pytest.raises(DatasetError, match="labels/a.txt.*write them into classes.txt"):
        recognize(tmp_path)


def test_a_set_may_lie_one_folder_below(tmp_path):
    _yolo(tmp_path / "export", ".")
    text(tmp_path / "export" / "classes.txt", "cat\n")
    text(tmp_path / "README.txt", "hello\n")
    assert _recognized(tmp_path) == ("yolo", "export", {})
    _yolo(tmp_path / "second", ".")
    text(tmp_path / "second" / "classes.txt", "cat\n")
    with pytest.raises(DatasetError, match="holds several sets: .* export, second"):
        recognize(tmp_path)


def test_pictures_alone(tmp_path):
    image(tmp_path / "deep" / "er" / "a.png")
    assert _recognized(tmp_path) == ("folder", ".", {})


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("a.json", '{"shapes": [], "imagePath": "a.png"}', "LabelMe.*dataset.format=folder"),
        ("ds/ann/a.png.json", '{"objects": [], "size": {}}', "Supervisely"),
        ("export.json", '[{"data": {}, "annotations": []}]', "Label Studio's own JSON"),
        ("annotations.xml", "<annotations/>", "CVAT's own XML"),
        ("labels.csv", "filename,class,xmin,ymin\n", "a table"),
        ("labels.jsonl", '{"data_row": {}}\n', "JSON Lines"),
    ],
)
def test_other_formats_are_named(tmp_path, file, content, words):
    image(tmp_path / "a.png")
    text(tmp_path / file, content)
    with pytest.raises(DatasetError, match=words):
        recognize(tmp_path)


def test_what_holds_nothing_to_label(tmp_path):
    with pytest.raises(DatasetError, match="does not exist"):
        recognize(tmp_path / "gone")
    with pytest.raises(DatasetError, match="holds no file"):
        recognize(tmp_path)
    text(tmp_path / "notes.md", "x")
    with pytest.raises(DatasetError, match="holds no picture, and no annotations"):
        recognize(tmp_path)
    text(tmp_path / "set.zip", "PK\x03\x04")
    with pytest.raises(DatasetError, match=r"an archive \(set.zip\): unpack it"):
        recognize(tmp_path)
    with pytest.raises(DatasetError, match="is an archive: unpack it"):
        recognize(tmp_path / "set.zip")


def test_pipes_and_links_to_nowhere_stop_nothing(tmp_path):
    coco(tmp_path)
    for suffix in (".json", ".xml", ".txt", ".yaml", ".csv"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
        os.symlink(tmp_path / "gone", tmp_path / f"link{suffix}")
        os.symlink("/dev/zero", tmp_path / f"zero{suffix}")
    assert _recognized(tmp_path) == ("coco", ".", {"annotations": "instances.json"})
    (tmp_path / "instances.json").unlink()
    assert _recognized(tmp_path)[0] == "folder"
    with pytest.raises(DatasetError, match="is a pipe or a device"):
        recognize(tmp_path / "pipe.json")
