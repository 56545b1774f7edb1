"""Predictions in every form that other programs write them in."""

import json
import math

import pytest

from boxloop.core.types import ImageRef
from boxloop.errors import DatasetError
from boxloop.review.external.predictions import read_predictions

IMAGES = [
    ImageRef("a/one", "set/a/one.jpg", 100, 50, "0"),
    ImageRef("b/one", "set/b/one.jpg", 100, 50, "1"),
    ImageRef("two", "set/two.png", 200, 100, "2"),
]
CLASSES = ("cat", "dog")
WANTED = {"two": [("dog", (20.0, 10.0, 60.0, 50.0), 0.75)]}


def rows(found):
    return {
        image_id: [(box.label, tuple(round(v, 6) for v in box.xyxy), box.score) for box in boxes]
        for image_id, boxes in found.boxes.items()
    }


def read(source, **options):
    return read_predictions(source, IMAGES, CLASSES, **options)


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


BOX = {"bbox": [20, 10, 40, 40], "score": 0.75}
LISTING = {
    "images": [{"id": 5, "file_name": "two.png"}, {"id": 6, "file_name": "b/one.jpg"}],
    "categories": [{"id": 3, "name": "dog"}],
}


def test_coco_results_with_the_file_that_they_count_in(tmp_path):
    source = save(tmp_path / "results.json", [{"image_id": 5, "category_id": 3, **BOX}])
    listing = save(tmp_path / "images.json", {**LISTING, "annotations": []})
    assert rows(read(source, listing=listing)) == {**WANTED, "b/one": []}


def test_coco_results_that_say_names(tmp_path):
    source = save(tmp_path / "results.json", [{"image_id": "two.png", "category": "dog", **BOX}])
    assert rows(read(source)) == WANTED


def test_a_whole_coco_file_with_scores(tmp_path):
    box = {"id": 1, "image_id": 5, "category_id": 3, **BOX}
    for row in (box, {**box, "image_id": 5.0, "category_id": 3.0}):
        source = save(tmp_path / "coco.json", {**LISTING, "annotations": [row]})
        assert rows(read(source)) == {**WANTED, "b/one": []}


@pytest.mark.parametrize("folder", ["", "labels/", "exp/labels/"])
def test_yolo_texts(tmp_path, folder):
    save(tmp_path / f"{folder}two.txt", "1 0.2 0.3 0.2 0.4 0.75\n")
    save(tmp_path / f"{folder}a/one.txt", "\n")
    assert rows(read(tmp_path)) == {**WANTED, "a/one": []}


@pytest.mark.parametrize(
    ("name", "content"),
    [("data.yaml", "names: {0: x, 1: y, 2: dog}\n"), ("classes.txt", "x\ny\ndog\n")],
)
def test_yolo_numbers_may_count_other_classes(tmp_path, name, content):
    save(tmp_path / "out/two.txt", "2 0.2 0.3 0.2 0.4 0.75\n")
    assert rows(read(tmp_path / "out", names=save(tmp_path / name, content))) == WANTED


@pytest.mark.parametrize("name", ["classes.txt", "labels/classes.txt", "obj.names"])
def test_a_yolo_folder_tells_its_classes_unless_they_are_given(tmp_path, name):
    save(tmp_path / "out/labels/two.txt", "0 0.2 0.3 0.2 0.4 0.75\n")
    save(tmp_path / f"out/{name}", "dog\ncat\n")
    assert rows(read(tmp_path / "out")) == WANTED
    assert read(tmp_path / "out").unknown == set()
    save(tmp_path / "out/more/classes.txt", "cow\n")
    with pytest.raises(DatasetError, match="number the classes differently"):
        read(tmp_path / "out")
    names = save(tmp_path / "names.txt", "dog\n")
    assert rows(read(tmp_path / "out", names=names)) == WANTED


def test_a_fiftyone_dataset(tmp_path):
    box = {"label": "dog", "bounding_box": [0.1, 0.1, 0.2, 0.4], "confidence": 0.75}
    samples = [
        {"filepath": "data/two.png", "yolo": {"_cls": "Detections", "detections": [box]}},
        {"filepath": "data/elsewhere.png", "yolo": {"detections": [box, box]}},
    ]
    save(tmp_path / "samples.json", {"samples": samples})
    found = read(tmp_path, field_name="yolo")
    assert rows(found) == WANTED
    assert found.unknown == {"data/elsewhere.png"}
    assert found.left_out == {"boxes of images that are not the campaign's": 2}
    with pytest.raises(DatasetError, match=r"samples\[0\]: has no field 'predictions', but yolo"):
        read(tmp_path)


def test_rows_without_a_score_count_as_certain(tmp_path):
    save(tmp_path / "two.txt", "1 0.2 0.3 0.2 0.4\n1 0.2 0.3 0.2 0.4 0.5\n")
    found = read(tmp_path)
    assert [box.score for box in found.boxes["two"]] == [1.0, 0.5]
    assert found.unscored == 1


def test_coordinates_that_are_no_numbers_are_left_to_the_check(tmp_path):
    row = {"image_id": "two.png", "category": "dog", "bbox": [1, "x", 3, 4], "score": 0.5}
    found = read(save(tmp_path / "results.json", [row]))
    assert math.isnan(found.boxes["two"][0].xyxy[1])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", r"is not valid JSON \(line 1, column 2\)"),
        ("3", "is no file of predictions"),
        ([3], r"\[0\]: is not an object"),
        ([{"image_id": 5, **BOX}], r"image_id 5 names no image: say by --images"),
        ([{"image_id": "two.png", **BOX}], "category_id None names no class: say by --images"),
        ([{"image_id": "one.jpg", "label": "cat", **BOX}], "may be set/a/one.jpg, set/b/one.jpg"),
        ([{"image_id": "two.png", "label": "cat", "bbox": [1, 2]}], "'bbox' is not four numbers"),
        (
            [{"image_id": "two.png", "label": "cat", **BOX, "score": 75}],
            "a score lies in 0 to 1, got 75: write percent as a fraction",
        ),
        ([{"image_id": "two.png", "label": "cat", **BOX, "score": True}], "0 to 1, got True"),
    ],
)
def test_what_is_wrong_with_coco_s_json_is_told_with_its_place(tmp_path, content, said):
    with pytest.raises(DatasetError, match=said) as caught:
        read(save(tmp_path / "results.json", content))
    assert "results.json" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 0.1 0.1 0.2\n", "line 1: has 4 columns, not 5 or 6"),
        ("1 0.1 0.1 0.2 0.2 0.5 0.5\n", "line 1: has 7 columns"),
        ("\n2 0.1 0.1 0.2 0.2\n", "line 2: there is no class 2, but 0 to 1: say by --names"),
        ("0.5 0.1 0.1 0.2 0.2\n", "line 1: there is no class 0.5"),
        ("1 0.1 0.1 0.2 0.2 nan\n", "line 1: a score lies in 0 to 1, got nan"),
    ],
)
def test_what_is_wrong_with_a_text_is_told_with_its_line(tmp_path, text, said):
    save(tmp_path / "two.txt", text)
    with pytest.raises(DatasetError, match=said):
        read(tmp_path)


def test_a_text_of_several_images_is_refused_until_it_lies_in_a_folder(tmp_path):
    save(tmp_path / "one.txt", "1 0.2 0.3 0.2 0.4 0.75\n")
    with pytest.raises(DatasetError, match=r"one.txt: several images are called one"):
        read(tmp_path)


def test_a_folder_without_predictions(tmp_path):
    with pytest.raises(DatasetError, match="holds no predictions"):
        read(tmp_path)


@pytest.mark.parametrize("format_", ["coco", "names", "yolo", "fiftyone"])
def test_another_clip_s_boxes_are_not_taken_for_this_one_s(tmp_path, format_):
    image = ImageRef("clip2/001", "set/clip2/001.png", 200, 100, "2")
    names = ["clip1/001.png", "clip2/001.png"]
    boxes = [[0, 0, 20, 20], [20, 10, 40, 40]]
    if format_ == "yolo":
        save(tmp_path / "clip1/001.txt", "1 0.5 0.5 0.2 0.4 0.75\n")
        source = save(tmp_path / "clip2/001.txt", "1 0.2 0.3 0.2 0.4 0.75\n").parents[1]
    elif format_ == "fiftyone":
        place = [[v / (200, 100)[i % 2] for i, v in enumerate(box)] for box in boxes]
        found = [{"label": "dog", "bounding_box": box, "confidence": 0.75} for box in place]
        samples = [
            {"filepath": f"/mnt/{name}", "predictions": {"detections": [box]}}
            for name, box in zip(names, found, strict=True)
        ]
        source = save(tmp_path / "samples.json", {"samples": samples}).parent
    else:
        listed_rows = [
            {"image_id": name if format_ == "names" else i, "category_id": 3, "label": "dog"}
            | {"bbox": box, "score": 0.75}
            for i, (name, box) in enumerate(zip(names, boxes, strict=True))
        ]
        listed = [{"id": i, "file_name": name} for i, name in enumerate(names)]
        content = {
            "images": listed,
            "annotations": listed_rows,
            "categories": LISTING["categories"],
        }
        source = save(tmp_path / "a.json", listed_rows if format_ == "names" else content)
    found = read_predictions(source, [image], CLASSES)
    assert rows(found) == {"clip2/001": WANTED["two"]}
    assert [name.rpartition("clip1")[1] for name in found.unknown] == ["clip1"]


def test_boxes_of_one_image_in_two_places_are_refused(tmp_path):
    save(tmp_path / "exp/two.txt", "1 0.2 0.3 0.2 0.4 0.75\n")
    save(tmp_path / "exp2/two.txt", "1 0.2 0.3 0.2 0.4 0.75\n")
    with pytest.raises(DatasetError, match=r"exp/two.txt and exp2/two.txt are both image two"):
        read(tmp_path)


def test_accents_may_be_characters_of_their_own(tmp_path):
    save(tmp_path / "cafe\u0301.txt", "1 0.2 0.3 0.2 0.4 0.75\n")
    image = ImageRef("caf\u00e9", "set/caf\u00e9.png", 200, 100, "2")
    assert rows(read_predictions(tmp_path, [image], CLASSES)) == {"caf\u00e9": WANTED["two"]}
