import json

import pytest

from boxloop import datasets
from boxloop.campaign import artifacts
from boxloop.datasets import FaultKind, faults_payload, faults_summary
from boxloop.datasets.cleaning import probe_refs
from boxloop.datasets.faults import FaultLog
from boxloop.errors import DatasetError
from boxloop.files import write_json
from boxloop.params import DatasetParams
from builders_datasets import (
    KITTI_CAR,
    coco,
    ids,
    image,
    kitti_item,
    load,
    text,
    voc_item,
    voc_object,
)


def _with_faults(root):
    for number in range(5):
        voc_item(root, f"i{number}", voc_object("dog", 5, 5, 15, 15), voc_object("dog", 5, 5, 5, 5))
    voc_item(root, "i5", voc_object("cat", 30, 5, 60, 15))
    voc_item(root, "i6")
    return load(root, "voc", classes=["dog"])


def test_the_payload_counts_and_lists_every_fault(tmp_path):
    found = _with_faults(tmp_path / "set")
    payload = faults_payload(found)
    assert (payload["images"], payload["boxes"]) == (7, 5)
    assert payload["counts"] == {"zero_size_box": 5}
    assert list(payload["left_out"].values()) == [1]
    assert len(payload["faults"]) == 5
    assert payload["faults"][0]["image"] == "i0"
    assert payload["faults"][0]["file"].endswith("Annotations/i0.xml")
    write_json(tmp_path / "faults.json", payload, depth=3)
    assert json.loads((tmp_path / "faults.json").read_text()) == payload


def test_the_summary_can_be_read_at_a_glance(tmp_path):
    lines = faults_summary(_with_faults(tmp_path / "set")).splitlines()
    assert lines[0] == "7 images, 5 boxes: dog 5; 2 of the images without any object"
    assert lines[1] == "left out: 1 boxes of classes that dataset.classes does not list"
    assert lines[2] == "zero_size_box: 5 (box dropped)"
    assert "i0.xml: object 2 (dog): xmin=5 ymin=5 xmax=5 ymax=5 has no width" in lines[3]
    assert lines[6] == "  and 2 more"
    assert len(lines) == 7


def test_what_an_annotation_says_cannot_upset_the_terminal():
    log = FaultLog()
    log.add(FaultKind.NOT_A_NUMBER, "a\x1b[2J.xml", "line\nbreak \udcfc " + "x" * 9999, "i\t")
    (fault,) = log.faults
    assert fault.file == "a\\x1b[2J.xml"
    assert fault.detail.startswith("line\\nbreak \\xfc xxx")
    assert len(fault.detail) < 600
    assert fault.image_id == "i\\t"


def test_two_images_of_one_id_are_told_apart(tmp_path):
    log = FaultLog()
    pairs = [("a", image(tmp_path / "1.png")), ("a", image(tmp_path / "2.png"))]
    refs = probe_refs(pairs, log)
    assert [ref.path for ref in refs] == [pairs[0][1].as_posix()]
    assert [fault.kind for fault in log.faults] == [FaultKind.DUPLICATE_ID]


def test_an_empty_choice_of_classes_is_refused(tmp_path):
    voc_item(tmp_path, "a", voc_object("dog", 5, 5, 15, 15))
    with pytest.raises(DatasetError, match=r"dataset\.classes is empty"):
        load(tmp_path, "voc", classes=[])


def test_what_is_loaded_can_be_stored_and_read_back(tmp_path):
    found = _with_faults(tmp_path / "set")
    artifacts.write_images(tmp_path / "images.json", found.images)
    artifacts.write_truth(tmp_path / "truth.json", found.truth)
    assert artifacts.read_images(tmp_path / "images.json") == found.images
    assert artifacts.read_truth(tmp_path / "truth.json") == found.truth
    assert list(found.truth) == [ref.id for ref in found.images.images]


@pytest.mark.parametrize("name", ["holiday.jpg", "scans", "Still_1.png"])
@pytest.mark.parametrize("format_", ["demo", "folder"])
def test_photos_in_the_drawn_folder_are_told_and_stay(tmp_path, name, format_):
    drawn = tmp_path / "data" / "images"
    (drawn / name).mkdir(parents=True)
    for own in (".DS_Store", "README.txt", "still_001.png", "shot1_frame2.png"):
        (drawn / own).touch()
    params = DatasetParams(format=format_, path=str(tmp_path), classes=["cat"])
    with pytest.raises(DatasetError, match=f"images holds {name}, which boxloop did not draw"):
        datasets.load(params, drawn)
    assert len(list(drawn.iterdir())) == 5


def test_the_drawn_folder_is_made_and_stays_empty(tmp_path):
    image(tmp_path / "set" / "a.jpg")
    params = DatasetParams(format="folder", path=str(tmp_path / "set"), classes=("dog",))
    seen = []
    datasets.load(params, tmp_path / "x" / "drawn", lambda done, total: seen.append((done, total)))
    assert list((tmp_path / "x" / "drawn").iterdir()) == []
    assert seen == [(1, 1)]
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="cannot be made a folder"):
        datasets.load(params, tmp_path / "file")


@pytest.mark.parametrize(
    ("format_", "key"),
    [("folder", "split"), ("kitti", "split"), ("voc", "annotations"), ("demo", "images")],
)
def test_a_key_that_a_format_does_not_know_is_refused(tmp_path, format_, key):
    with pytest.raises(DatasetError, match=f"dataset.{key} means nothing to format '{format_}'"):
        load(tmp_path, format_, classes=["dog"], **{key: "x"})


def test_the_wrong_format_is_told_with_the_right_one(tmp_path):
    coco(tmp_path / "set")
    with pytest.raises(
        DatasetError, match=r"no folder 'Annotations'.*looks like COCO's JSON \(instances.json\)"
    ):
        load(tmp_path / "set", "voc")
    text(tmp_path / "set" / "instances.json", '{"shapes": [], "imagePath": "a.png"}')
    with pytest.raises(DatasetError, match="Annotations.*instances.json is LabelMe's JSON"):
        load(tmp_path / "set", "voc")
    (tmp_path / "set.zip").write_bytes(b"PK\x03\x04")
    with pytest.raises(DatasetError, match=r"not a folder; .*set.zip is an archive: unpack it"):
        load(tmp_path / "set.zip", "folder", classes=["dog"])


def test_a_set_of_the_right_format_gets_no_advice(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="/empty holds no image file$"):
        load(tmp_path / "empty", "folder", classes=["dog"])
    voc_item(tmp_path, "a", voc_object("dog", 5, 5, 15, 15))
    with pytest.raises(DatasetError) as caught:
        load(tmp_path, "voc", classes=["cat"])
    assert str(caught.value).endswith("(known: dog)")


ROTATED = "0.5 0.2 0.8 0.5 0.5 0.8 0.2 0.5"


def _coco_of_damages(root):
    boxes = [{"bbox": [1, 2, 10, 20]}, {"bbox": None}, {"bbox": [1, 2, 9, 9], "rotation": 30}]
    rows = [
        {"image_id": i, "category_id": category, **box}
        for i, category, box in zip(
            range(5), (18, 3, 3, 18, 99), (*boxes, boxes[1], boxes[0]), strict=True
        )
    ]
    entries = [{"id": i, "file_name": f"i{i}.png", "width": 40, "height": 30} for i in range(5)]
    for entry in entries:
        image(root / "images" / entry["file_name"])
    coco(root, images=entries, annotations=rows)
    (root / "images" / "a.png").unlink()
    return {"format_": "coco", "annotations": "instances.json", "classes": ["dog"]}


def _voc_of_damages(root):
    good, rotation = voc_object("dog", 5, 5, 15, 15), "<attributes><attribute><name>rotation"
    turned = voc_object("car", 5, 5, 15, 15).replace(
        "<difficult>",
        f"{rotation}</name><value>30</value></attribute></attributes><difficult>",
    )
    bare = "<object><name>{}</name></object>"
    objects = (good, bare.format("car"), turned, bare.format("dog"), bare.format(""))
    for number, item in enumerate(objects):
        voc_item(root, f"i{number}", item)
    return {"format_": "voc", "classes": ["dog"]}


def _yolo_of_damages(root):
    lines = ("1 0.5 0.5 0.2 0.2", f"0 {ROTATED}", f"0 {ROTATED}", f"1 {ROTATED}", "0 0.5 0.5")
    for number, line in enumerate(lines):
        image(root / "images" / f"i{number}.png", 40, 40)
        text(root / "labels" / f"i{number}.txt", line)
    text(root / "classes.txt", "car\ndog\n")
    return {"format_": "yolo", "classes": ["dog"]}


def _kitti_of_damages(root):
    for number, line in enumerate((KITTI_CAR, "Van 0.00 0", "Tram 0.00", "Car 0", "0 0 0")):
        kitti_item(root, f"i{number}", line)
    return {"format_": "kitti", "classes": ["Car"]}


@pytest.mark.parametrize(
    "make", [_coco_of_damages, _voc_of_damages, _yolo_of_damages, _kitti_of_damages]
)
def test_damages_of_classes_that_are_not_asked_for_cost_no_image(tmp_path, make):
    """Image i0 has a box of the class; i1, i2 damages of others, i3 of it, i4 of none known."""
    options = make(tmp_path)
    assert ids(load(tmp_path, **options)) == ["i0", "i1", "i2"]
    assert ids(load(tmp_path, **{**options, "classes": None})) == ["i0"]
