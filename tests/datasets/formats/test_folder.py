import os
import sys

import pytest

from boxloop.datasets import FaultKind, faults_payload, faults_summary
from boxloop.errors import DatasetError
from builders_datasets import ids, image, kinds, load


def test_every_image_below_in_natural_order(tmp_path):
    for name in ("b10.jpg", "b2.PNG", "day 2/x.bmp", "day 10/x.bmp"):
        image(tmp_path / name)
    found = load(tmp_path, "folder", classes=["dog", "cat"])
    assert ids(found) == ["b2", "b10", "day 2/x", "day 10/x"]
    assert found.truth is None
    assert found.images.classes == ("dog", "cat")
    assert faults_summary(found) == "4 images, no annotations; classes: dog, cat"
    assert faults_payload(found)["boxes"] == 0


def test_the_same_name_with_two_endings(tmp_path):
    image(tmp_path / "a.jpg")
    image(tmp_path / "a.png")
    assert ids(load(tmp_path, "folder", classes=["dog"])) == ["a.jpg", "a.png"]


def test_damaged_images_are_set_aside(tmp_path):
    image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes(b"")
    found = load(tmp_path, "folder", classes=["dog"])
    assert ids(found) == ["a"]
    assert kinds(found) == [FaultKind.UNREADABLE_IMAGE]
    assert found.faults[0].detail == "is empty"
    assert found.faults[0].file == (tmp_path / "b.jpg").as_posix()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such file names")
def test_a_name_in_another_encoding_is_set_aside(tmp_path):
    image(tmp_path / "a.jpg")
    os.link(os.fsencode(tmp_path / "a.jpg"), os.fsencode(tmp_path) + b"/\xfc.jpg")
    found = load(tmp_path, "folder", classes=["dog"])
    assert ids(found) == ["a"]
    assert kinds(found) == [FaultKind.UNREADABLE_IMAGE]
    assert "rename it" in found.faults[0].detail
    found.faults[0].file.encode("utf-8")


def test_what_makes_the_set_unusable(tmp_path):
    with pytest.raises(DatasetError, match="holds no image file"):
        load(tmp_path, "folder", classes=["dog"])
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"no usable image; .*a\.jpg is empty"):
        load(tmp_path, "folder", classes=["dog"])
    with pytest.raises(DatasetError, match="which is not a folder"):
        load(tmp_path / "a.jpg", "folder", classes=["dog"])
    with pytest.raises(DatasetError, match="does not exist"):
        load(tmp_path / "gone", "folder", classes=["dog"])


def test_a_name_of_two_lines_is_set_aside(tmp_path):
    image(tmp_path / "a.png")
    image(tmp_path / "b\nc.png")
    found = load(tmp_path, "folder", classes=["dog"])
    assert ids(found) == ["a"]
    assert kinds(found) == [FaultKind.UNREADABLE_IMAGE]
