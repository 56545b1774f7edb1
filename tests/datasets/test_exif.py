from pathlib import PurePosixPath

import pytest
from PIL import Image

from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets import FaultKind
from boxloop.datasets.format_protocol import ExportContent
from boxloop.datasets.formats import yolo
from boxloop.datasets.images import read_image
from boxloop.errors import DatasetError
from builders_datasets import coco_content, ids, kinds, load, text, voc_object, voc_xml
from builders_datasets import image as noise

RAW, SIZE = (30, 6, 38, 16), (40, 30)
"""A red box in the pixels as they are stored, without its right and lower edge."""


def _photo(path, orientation, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", size)
    picture.paste((255, 0, 0), RAW)
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture.save(path, exif=exif)


def _red(path):
    """The box of what is red in the upright image."""
    ys, xs = (read_image(path)[..., 0] > 128).nonzero()
    return [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]


def _voc(root, orientation, size=SIZE):
    _photo(root / "JPEGImages" / "a.png", orientation, size)
    x1, y1, x2, y2 = RAW
    box = voc_object("dog", x1 + 1, y1 + 1, x2, y2)
    text(root / "Annotations" / "a.xml", voc_xml(box, size=size))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_of_raw_pixels_turn_with_the_photo(tmp_path, orientation):
    _voc(tmp_path, orientation)
    found = load(tmp_path, "voc", exif="raw")
    assert found.truth["a"].xyxy[0].tolist() == _red(tmp_path / "JPEGImages" / "a.png")
    assert found.faults == ()


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_the_declared_size_tells(tmp_path, orientation):
    _voc(tmp_path, orientation)
    found = load(tmp_path, "voc")
    assert found.truth["a"].xyxy[0].tolist() == _red(tmp_path / "JPEGImages" / "a.png")
    text(tmp_path / "Annotations" / "a.xml", voc_xml(voc_object("dog", 5, 6, 9, 11), size=(30, 40)))
    found = load(tmp_path, "voc")
    assert found.truth["a"].xyxy.tolist() == [[4, 5, 9, 11]]
    assert found.faults == ()


@pytest.mark.parametrize(("orientation", "size"), [(3, SIZE), (2, SIZE), (6, (40, 40))])
def test_where_the_size_cannot_tell_the_question_is_asked(tmp_path, orientation, size):
    _voc(tmp_path, orientation, size)
    with pytest.raises(DatasetError, match=r"a\.png for one, .*set dataset\.exif to raw"):
        load(tmp_path, "voc")
    x1, y1, x2, y2 = RAW
    assert load(tmp_path, "voc", exif="upright").truth["a"].xyxy.tolist() == [[x1, y1, x2, y2]]
    # What the size says of another photo of the set holds for this one.
    _photo(tmp_path / "JPEGImages" / "b.png", 8)
    text(tmp_path / "Annotations" / "b.xml", voc_xml(voc_object("dog", 5, 6, 9, 11)))
    found = load(tmp_path, "voc")
    assert found.truth["a"].xyxy[0].tolist() == _red(tmp_path / "JPEGImages" / "a.png")


@pytest.mark.parametrize("orientation", [3, 6])
def test_fractions_are_of_the_image_as_it_was_labeled(tmp_path, orientation):
    _photo(tmp_path / "images" / "a.png", orientation)
    x1, y1, x2, y2 = RAW
    w, h = SIZE
    row = ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
    text(tmp_path / "labels" / "a.txt", "0 " + " ".join(map(str, row)))
    text(tmp_path / "classes.txt", "dog")
    with pytest.raises(DatasetError, match=r"set dataset\.exif"):
        load(tmp_path, "yolo")
    found = load(tmp_path, "yolo", exif="raw")
    assert found.truth["a"].xyxy[0] == pytest.approx(_red(tmp_path / "images" / "a.png"))


def test_an_export_of_boxloop_says_for_which_pixels_its_boxes_are(tmp_path):
    _photo(tmp_path / "photo.png", 6)
    ref = ImageRef("a", (tmp_path / "photo.png").as_posix(), 30, 40, "0")
    boxes = Boxes.build([[3, 4, 13, 24]], ["dog"], prefix="x")
    content = ExportContent(("dog",), (ref,), {"a": PurePosixPath("a.png")}, {"a": boxes}, "")
    yolo.write(tmp_path / "set", content)
    _photo(tmp_path / "set" / "images" / "a.png", 6)
    for said in (None, "upright"):
        found = load(tmp_path / "set", "yolo", exif=said)
        assert found.truth["a"].xyxy[0] == pytest.approx([3, 4, 13, 24])
    assert load(tmp_path / "set", "yolo", exif="raw").truth["a"].xyxy[0][0] > 3


def test_coco_tells_by_its_size(tmp_path):
    import json

    _photo(tmp_path / "images" / "a.png", 6)
    x1, y1, x2, y2 = RAW
    box = {"id": 1, "image_id": 1, "category_id": 18, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    text(tmp_path / "a.json", json.dumps(coco_content(annotations=[box])))
    found = load(tmp_path, "coco", annotations="a.json")
    assert found.truth["a"].xyxy[0].tolist() == _red(tmp_path / "images" / "a.png")


def test_photos_without_boxes_raise_no_question(tmp_path):
    _photo(tmp_path / "images" / "a.png", 3)
    noise(tmp_path / "images" / "b.png")
    text(tmp_path / "labels" / "b.txt", "0 0.5 0.5 0.2 0.2")
    text(tmp_path / "classes.txt", "dog")
    assert ids(load(tmp_path, "yolo")) == ["a", "b"]


@pytest.mark.parametrize("exif", [None, "raw", "upright"])
def test_the_stored_size_of_photos_without_boxes_is_no_fault(tmp_path, exif):
    _voc(tmp_path, 6)
    _photo(tmp_path / "JPEGImages" / "b.png", 6)
    text(tmp_path / "Annotations" / "b.xml", voc_xml(size=SIZE))
    found = load(tmp_path, "voc", exif=exif)
    sizes = [f.image_id for f in found.faults if f.kind == FaultKind.SIZE_MISMATCH]
    assert sizes == (["a", "b"] if exif == "upright" else [])
    assert len(found.truth["b"]) == 0
    # Of a set that is upright by its other photos it is one.
    upright = voc_xml(voc_object("dog", 5, 6, 9, 11), size=(30, 40))
    text(tmp_path / "Annotations" / "a.xml", upright)
    if exif is None:
        assert [f.image_id for f in load(tmp_path, "voc").faults if "declares" in f.detail] == ["b"]


def test_a_size_of_another_image_stays_a_fault(tmp_path):
    _voc(tmp_path, 6)
    text(tmp_path / "Annotations" / "a.xml", voc_xml(voc_object("dog", 5, 6, 9, 11), size=(99, 98)))
    assert kinds(load(tmp_path, "voc")) == [FaultKind.SIZE_MISMATCH]


def test_a_size_of_another_image_answers_no_question_about_others(tmp_path):
    _voc(tmp_path, 6)
    strange = voc_xml(voc_object("dog", 5, 6, 9, 11), size=(99, 98))
    text(tmp_path / "Annotations" / "a.xml", strange)
    _photo(tmp_path / "JPEGImages" / "b.png", 3)  # whose size cannot tell
    text(tmp_path / "Annotations" / "b.xml", voc_xml(voc_object("dog", 5, 6, 9, 11), size=SIZE))
    with pytest.raises(DatasetError, match=r"set dataset\.exif to raw"):
        load(tmp_path, "voc")
    # Nor does it contradict what another one tells.
    _photo(tmp_path / "JPEGImages" / "c.png", 6)
    text(tmp_path / "Annotations" / "c.xml", voc_xml(voc_object("dog", 5, 6, 9, 11), size=SIZE))
    found, said = load(tmp_path, "voc"), load(tmp_path, "voc", exif="raw")
    for image_id in "abc":
        assert found.truth[image_id].xyxy.tolist() == said.truth[image_id].xyxy.tolist()
    (strange,) = (f.detail for f in found.faults if f.kind is FaultKind.SIZE_MISMATCH)
    assert strange.startswith("declares 99x98 pixels")


def test_there_is_nothing_to_turn_without_boxes(tmp_path):
    _photo(tmp_path / "a.png", 6)
    with pytest.raises(DatasetError, match=r"dataset\.exif means nothing to format 'folder'"):
        load(tmp_path, "folder", classes=["dog"], exif="raw")
