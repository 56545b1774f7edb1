"""Numbers, names and files of other tools that are not what they seem."""

import json
import os

import pytest

from boxloop.core.types import ImageRef
from boxloop.datasets.faults import FaultKind
from boxloop.params import DatasetParams
from boxloop.review.external.import_coco import read_coco_corrections
from boxloop.review.fiftyone.assignment import Part
from builders_datasets import coco, coco_content, image, kinds, load, text, voc_item, voc_object
from builders_hostile import refusal, soon

ODD = ("\u0661\u0662", "1_2", "12px", "0x1", "")


@pytest.mark.parametrize("number", ODD)
def test_a_number_of_voc_is_written_in_ascii(tmp_path, number):
    voc_item(tmp_path, "a", voc_object("cat", 1, 1, number, 20), voc_object("cat", 1, 1, 9, 9))
    assert kinds(load(tmp_path, "voc")) == [FaultKind.NOT_A_NUMBER]


def test_an_object_of_voc_has_one_box(tmp_path):
    twice = voc_object("cat", 1, 1, 9, 9).replace(
        "</part>", "</part><bndbox><xmin>1</xmin></bndbox>"
    )
    voc_item(tmp_path, "a", twice, voc_object("cat", 1, 1, 9, 9))
    dataset = load(tmp_path, "voc")
    assert kinds(dataset) == [FaultKind.MALFORMED_ANNOTATION]
    assert "more than one <bndbox>" in dataset.faults[0].detail


def _yolo(root, names="names: [cat]", label="0 0.5 0.5 0.5 0.5"):
    image(root / "images" / "a.jpg")
    text(root / "labels" / "a.txt", label)
    text(root / "data.yaml", f"train: images\n{names}\n")
    return root


@pytest.mark.parametrize(
    "label", ["0 0.5 0.5 0_1 0.5", "0_0 0.5 0.5 0.5 0.5", "\u0660 .5 .5 .5 .5"]
)
def test_a_number_of_yolo_is_written_in_ascii(tmp_path, label):
    root = _yolo(tmp_path, label=f"{label}\n0 0.5 0.5 0.5 0.5\n")
    assert len(kinds(load(root, "yolo"))) == 1


@pytest.mark.parametrize("key", ["010", "0o1", "1_0", "+1", " "])
def test_a_number_of_a_class_has_one_reading(tmp_path, key):
    root = _yolo(tmp_path, names=f"names: {{0: cat, '{key}': dog}}")
    assert "must map numbers to names" in refusal(lambda: load(root, "yolo"))


def test_labels_that_are_no_file_are_not_taken_for_none(tmp_path):
    root = _yolo(tmp_path)
    image(root / "images" / "b.jpg", seed=1)
    os.mkfifo(root / "labels" / "b.txt")
    with soon():
        assert FaultKind.MALFORMED_ANNOTATION in kinds(load(root, "yolo"))


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"bbox": ["1", "2", "10", "20"]}, FaultKind.NOT_A_NUMBER),
        ({"bbox": [True, 2, 10, 20]}, FaultKind.NOT_A_NUMBER),
        ({"category_id": True}, FaultKind.UNKNOWN_CLASS),
        ({"image_id": True}, FaultKind.UNKNOWN_IMAGE),
    ],
)
def test_a_text_and_a_boolean_are_no_numbers_of_coco(tmp_path, change, kind):
    [annotation] = coco_content()["annotations"]
    categories = [{"id": 1, "name": "cat"}, {"id": 18, "name": "dog"}]
    both = [{**annotation, "id": 2, **change}, annotation]
    coco(tmp_path, annotations=both, categories=categories)
    assert kinds(load(tmp_path, "coco", annotations="instances.json")) == [kind]


# --- corrections of other tools -------------------------------------------------------------------

REF = ImageRef("a", "images/a.png", 40, 30, "0" * 64)


def _import(folder, **changes):
    path = folder / "corrected.json"
    [annotation] = coco_content()["annotations"]
    categories = [{"id": 1, "name": "cat"}, {"id": 18, "name": "dog"}]
    text(
        path,
        json.dumps(coco_content(annotations=[{**annotation, **changes}], categories=categories)),
    )
    return read_coco_corrections(path, [REF])


def test_corrections_are_read(tmp_path):
    [item] = _import(tmp_path)
    assert [box.xyxy for box in item.boxes] == [(1, 2, 11, 22)]


@pytest.mark.parametrize("change", [{"category_id": True}, {"category_id": "18"}])
def test_a_category_is_a_number(tmp_path, change):
    [item] = _import(tmp_path, **change)
    assert not item.boxes
    assert len(item.problems) == 1


def test_corners_are_numbers(tmp_path):
    [item] = _import(tmp_path, bbox=["1", "2", "10", "20"])
    assert all(value != value for value in item.boxes[0].xyxy)


@pytest.mark.parametrize("what", ["fifo", "/dev/zero"])
def test_corrections_that_are_no_file_are_refused(tmp_path, what):
    path = tmp_path / "corrected.json"
    if what == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(what)
    assert "is a pipe or a device" in refusal(lambda: read_coco_corrections(path, [REF]), None)


@pytest.mark.parametrize("part", ["9" * 5000 + "/2", "1/" + "9" * 5000, "\u0661/2/3", "0/0"])
def test_a_part_is_refused(part):
    message = refusal(lambda: Part.parse(part))
    assert "must be like 1/2" in message
    assert len(message) < 200


def test_a_path_of_zero_bytes_is_refused_by_its_section():
    with pytest.raises(ValueError, match="path holds a line break, a control character"):
        DatasetParams(path="a\0b")
