"""The layouts of VOC sets that other tools leave, and names that differ."""

import os
import unicodedata

import pytest

from boxloop.datasets import FaultKind
from boxloop.datasets.recognition import recognize
from boxloop.errors import DatasetError
from builders_datasets import ids, image, kinds, load, text, voc_object, voc_xml

DOG = voc_object("dog", 5, 6, 15, 20)
NFC, NFD = (unicodedata.normalize(form, "Größe") for form in ("NFC", "NFD"))


def _item(root, picture, annotation, **xml):
    image(root / picture)
    text(root / annotation, voc_xml(DOG, **xml))


def test_images_and_xml_side_by_side(tmp_path):
    for folder in ("train", "valid"):
        _item(tmp_path, f"{folder}/a.jpg", f"{folder}/a.xml")
    image(tmp_path / "train" / "b.jpg")
    found = load(tmp_path, "voc")
    assert ids(found) == ["train/a", "valid/a"]
    assert found.left_out == {"images without an annotation": 1}
    assert ids(load(tmp_path, "voc", split="valid")) == ["valid/a"]
    with pytest.raises(DatasetError, match="split 'test': .* does not exist"):
        load(tmp_path, "voc", split="test")


@pytest.mark.parametrize(
    ("images", "annotations"),
    [
        ("images", "annotations"),
        ("Images", "Annotations"),
        ("images", "annotations/xmls"),
        ("images", "voc_labels"),
    ],
)
def test_folders_of_other_names(tmp_path, images, annotations):
    _item(tmp_path, f"{images}/a.jpg", f"{annotations}/a.xml")
    assert [boxes.labels.tolist() for boxes in load(tmp_path, "voc").truth.values()] == [["dog"]]


def test_the_folder_with_most_xml_files(tmp_path):
    for name in ("a", "b"):
        _item(tmp_path, f"images/{name}.jpg", f"voc_labels/{name}.xml")
    for stray in ("images/wrong_format.xml", "others/a.xml"):
        text(tmp_path / stray, "no XML")
    assert recognize(tmp_path).what == "VOC (voc_labels/a.xml and others)"
    assert ids(load(tmp_path, "voc")) == ["a", "b"]
    _item(tmp_path, "images/c.jpg", "images/c.xml")
    assert ids(load(tmp_path, "voc")) == ["c"]


def test_xml_files_among_jpegimages(tmp_path):
    _item(tmp_path, "JPEGImages/a.jpg", "JPEGImages/a.xml")
    assert ids(load(tmp_path, "voc")) == ["a"]


def test_two_annotations_of_one_image(tmp_path):
    _item(tmp_path, "JPEGImages/b.jpg", "Annotations/b.xml")
    for name in ("a", "c"):  # an image with an annotation of its own is no other's
        text(tmp_path / "Annotations" / f"{name}.xml", voc_xml(DOG, filename="b.jpg"))
    found = load(tmp_path, "voc")
    assert ids(found) == ["b"]
    assert kinds(found) == [FaultKind.MISSING_IMAGE] * 2
    (tmp_path / "Annotations" / "b.xml").unlink()
    found = load(tmp_path, "voc")
    assert ids(found) == ["a"]
    assert kinds(found) == [FaultKind.DUPLICATE_ID]


def test_the_name_decides_between_two_images(tmp_path):
    _item(tmp_path, "JPEGImages/a.jpg", "Annotations/a.xml", filename="A.TIFF")
    image(tmp_path / "JPEGImages" / "a.png")
    found = load(tmp_path, "voc")
    assert found.images.images[0].path.endswith("a.jpg")
    assert "a.xml does not tell it from a.jpg" in found.faults[0].detail
    text(tmp_path / "Annotations" / "a.xml", voc_xml(DOG, filename="C:\\pictures\\a.png"))
    assert load(tmp_path, "voc").images.images[0].path.endswith("a.png")


@pytest.mark.parametrize(("file", "said"), [(NFD, NFC), (NFC, NFD)])
def test_letters_composed_otherwise_are_the_same_name(tmp_path, file, said):
    _item(tmp_path, f"JPEGImages/{file}.jpg", f"Annotations/{said}.xml")
    _item(tmp_path, f"JPEGImages/{file} 2.jpg", "Annotations/x.xml", filename=f"{said} 2.jpg")
    text(tmp_path / "ImageSets" / "Main" / "s.txt", f"{file}\n")
    assert ids(load(tmp_path, "voc")) == [said, "x"]
    assert ids(load(tmp_path, "voc", split="s")) == [said]


def test_a_list_may_name_files(tmp_path):
    _item(tmp_path, "JPEGImages/a.jpg", "Annotations/a.xml")
    text(tmp_path / "ImageSets" / "Main" / "s.txt", "a.jpg\n")
    assert ids(load(tmp_path, "voc", split="s")) == ["a"]


def test_boxes_that_are_rotated_or_said_twice_are_set_aside(tmp_path):
    turned = "<attributes><attribute><name>rotation</name><value>30.0</value></attribute>"
    upright = turned.replace("30.0", "0.0")
    bounds = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
    image(tmp_path / "JPEGImages" / "a.jpg")
    objects = [
        f"<object><name>dog</name>{bounds}{upright}</attributes></object>",
        f"<object><name>dog</name>{bounds}{turned}</attributes></object>",
        f"<object><name>dog</name>{bounds}{bounds}</object>",
        "<object><name>dog</name><robndbox><cx>5</cx></robndbox></object>",
        voc_object("dog", "1_0", 6, 15, 20),
        voc_object("dog", "\u0661", 6, 15, 20),
    ]
    text(tmp_path / "Annotations" / "a.xml", voc_xml(*objects))
    found = load(tmp_path, "voc")
    assert len(found.truth["a"]) == 1
    assert sorted(kinds(found)) == [
        *[FaultKind.MALFORMED_ANNOTATION] * 2,
        *[FaultKind.NOT_A_NUMBER] * 2,
        FaultKind.ROTATED_BOX,
    ]


@pytest.mark.parametrize("degrees", ["180", "-180.0", "360", "nan"])
def test_boxes_that_are_turned_by_half_a_turn_lie_where_they_did(tmp_path, degrees):
    turned = f"<attribute><name>rotation</name><value>{degrees}</value></attribute>"
    box = voc_object("dog", 1, 1, 9, 9)
    box = box.replace("</object>", f"<attributes>{turned}</attributes></object>")
    image(tmp_path / "JPEGImages" / "a.jpg")
    text(tmp_path / "Annotations" / "a.xml", voc_xml(box))
    found = load(tmp_path, "voc")
    assert found.truth["a"].xyxy.tolist() == [[0, 0, 9, 9]]
    assert found.faults == ()


def test_an_image_whose_every_box_is_wrong_is_not_one_without_objects(tmp_path):
    _item(tmp_path, "JPEGImages/a.jpg", "Annotations/a.xml")
    image(tmp_path / "JPEGImages" / "b.jpg")
    text(tmp_path / "Annotations" / "b.xml", voc_xml(voc_object("dog", 7, 7, 7, 7)))
    found = load(tmp_path, "voc")
    assert ids(found) == ["a"]
    assert kinds(found) == [FaultKind.ZERO_SIZE_BOX, FaultKind.NO_USABLE_BOX]


def test_no_pipe_and_no_device_is_read(tmp_path):
    for name in "abc":
        _item(tmp_path, f"JPEGImages/{name}.jpg", f"Annotations/{name}.xml")
    (tmp_path / "Annotations" / "b.xml").unlink()
    os.mkfifo(tmp_path / "Annotations" / "b.xml")
    (tmp_path / "Annotations" / "c.xml").unlink()
    (tmp_path / "Annotations" / "c.xml").symlink_to("/dev/zero")
    found = load(tmp_path, "voc")
    assert ids(found) == ["a"]
    assert [f.detail for f in found.faults] == ["is a pipe or a device, not a file"] * 2
