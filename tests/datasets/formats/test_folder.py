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


def test_pictures_that_are_not_read_are_named(tmp_path):
    image(tmp_path / "a.jpg")
    image(tmp_path / "b.jfif.jpg").rename(tmp_path / "b.jfif")
    for name in ("c.heic", "d.NEF", "e.mp4", "f.psd", "g.zip", "notes.txt", "Thumbs.db"):
        (tmp_path / name).write_bytes(b"x" * 40)
    image(tmp_path / "h.png").rename(tmp_path / "h.png_original")
    image(tmp_path / "i.jpg").rename(tmp_path / "i")
    image(tmp_path / ".hidden.jpg")
    (tmp_path / "._a.jpg").write_bytes(b"of macOS")
    (tmp_path / "more").symlink_to(tmp_path / "nowhere")
    (tmp_path / "j.jpg").write_bytes(b"\0\0\0\x18ftypheic" + b"x" * 40)
    found = load(tmp_path, "folder", classes=["dog"])
    assert ids(found) == ["a", "b"]
    said = {fault.file.rpartition("/")[2]: fault.detail for fault in found.faults}
    assert sorted(said) == sorted(
        ["c.heic", "d.NEF", "e.mp4", "f.psd", "g.zip", "h.png_original", "i", "j.jpg", "more"]
    )
    assert "ffmpeg" in said["e.mp4"]
    assert "holds a PNG picture" in said["h.png_original"]
    assert "is a HEIC picture" in said["j.jpg"]
    assert said["more"] == "is a link that leads nowhere"
    assert found.left_out == {"pictures whose names begin with a dot": 1}


def test_links_pipes_and_devices(tmp_path):
    image(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "c.jpg").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "d.jpg")
    (tmp_path / "e.jpg").mkdir()
    (tmp_path / "f.jpg").symlink_to(tmp_path / "e.jpg")
    found = load(tmp_path, "folder", classes=["dog"])
    assert ids(found) == ["a"]
    assert [fault.detail for fault in found.faults] == [
        "is a link that leads nowhere",
        "is a pipe or a device, not a file",
        "is a pipe or a device, not a file",
    ]


def test_identical_files_are_named_and_kept(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        image(tmp_path / name, seed=1 if name < "c" else 2)
    found = load(tmp_path, "folder", classes=["dog"])
    assert ids(found) == ["a", "b", "c"]
    assert kinds(found) == [FaultKind.IDENTICAL_IMAGE]
    assert found.faults[0].detail == f"is the same file as {tmp_path.as_posix()}/a.jpg"


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\ud800", "\x1b[2J", "\u00a0", "?"])
def test_names_of_classes_that_the_section_refuses(tmp_path, name):
    image(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"classes.*name (another|something else)"):
        load(tmp_path, "folder", classes=["dog", name])


@pytest.mark.parametrize("name", ["\u200b", "cat ", "x" * 201])
def test_names_of_classes_that_nobody_could_tell(tmp_path, name):
    image(tmp_path / "a.jpg")
    with pytest.raises(DatasetError, match=r"dataset\.classes has a class '") as caught:
        load(tmp_path, "folder", classes=["dog", name])
    assert str(caught.value).isprintable()
