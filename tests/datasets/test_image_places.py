import os
import unicodedata

import pytest

from boxloop.datasets.image_places import find_folder
from boxloop.errors import DatasetError


def _files(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def _found(root, names, file="annotations/instances_train.json", usual="", fixed=False):
    """Relative paths of what the names lead to; None for those that lead outside."""
    place = find_folder(names, root / file, root, root / usual, fixed=fixed)
    paths = [place.find(name) for name in names]
    return [None if path is None else os.path.relpath(path, root) for path in paths]


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("a.jpg", "a.jpg"),
        ("a.jpg", "train2017/a.jpg"),
        ("a.jpg", "images/train/a.jpg"),
        ("a.jpg", "data/a.jpg"),
        ("images/a.jpg", "images/a.jpg"),
        ("images\\a.jpg", "images/a.jpg"),
        ("./images/a.jpg", "images/a.jpg"),
        ("C:\\Users\\me\\set\\images\\a.jpg", "images/a.jpg"),
        ("/home/me/set/images/a.jpg", "images/a.jpg"),
        ("/home/me/set/images/a.jpg", "pictures/a.jpg"),
        ("/data/local-files/?d=set/images/a%20b.jpg", "images/a b.jpg"),
        ("/data/local-files/?d=a%20b.jpg", "images/a b.jpg"),
        ("cam/2021-01-01T10:30.jpg", "images/cam/2021-01-01T10:30.jpg"),
        ("T10:30.jpg", "images/T10:30.jpg"),
        ("s3://bucket/set/a.jpg", "images/a.jpg"),
        ("A.JPG", "images/a.jpg"),
        (unicodedata.normalize("NFC", "café.jpg"), unicodedata.normalize("NFD", "café.jpg")),
        (unicodedata.normalize("NFD", "é/café.jpg"), unicodedata.normalize("NFC", "é/café.jpg")),
    ],
)
def test_names_as_tools_write_them(tmp_path, name, place):
    _files(tmp_path, place, "other/b.jpg")
    assert _found(tmp_path, [name]) == [place]


def test_an_absolute_path_within_the_set(tmp_path):
    _files(tmp_path, "x/a.jpg", "y/z/b.jpg")
    names = [str(tmp_path / "x" / "a.jpg"), str(tmp_path / "y" / "z" / "b.jpg")]
    assert _found(tmp_path, names) == ["x/a.jpg", "y/z/b.jpg"]


def test_a_link_to_the_set_is_the_set(tmp_path):
    real = tmp_path / "real"
    _files(real, "x/a.jpg")
    os.symlink(real, tmp_path / "link")
    assert _found(tmp_path / "link", [str(real / "x" / "a.jpg")]) == ["x/a.jpg"]


def test_of_two_folders_the_one_is_taken_that_the_annotation_file_means(tmp_path):
    _files(tmp_path, "images/train/a.jpg", "images/val/a.jpg")
    assert _found(tmp_path, ["a.jpg"]) == ["images/train/a.jpg"]
    for file in ("images/val/_annotations.coco.json", "labels/val/x.json", "val.json"):
        assert _found(tmp_path, ["a.jpg"], file) == ["images/val/a.jpg"]
    with pytest.raises(DatasetError, match="may lie in images/train or images/val: set dataset.im"):
        _found(tmp_path, ["a.jpg"], "all.json")
    assert _found(tmp_path, ["a.jpg"], "all.json", "images/val", True) == ["images/val/a.jpg"]
    _files(tmp_path / "two", "train/images/a.jpg", "val/images/a.jpg")
    assert _found(tmp_path / "two", ["a.jpg"], "val/all.json") == ["val/images/a.jpg"]


def test_the_folder_of_most_images_is_taken_and_the_others_are_missing(tmp_path):
    _files(tmp_path, "p/a.jpg", "p/b.jpg", "q/c.jpg")
    assert _found(tmp_path, ["a.jpg", "b.jpg", "c.jpg"]) == ["p/a.jpg", "p/b.jpg", "p/c.jpg"]


def test_another_picture_of_the_same_name_is_never_taken_for_one_that_is_missing(tmp_path):
    _files(tmp_path, "train/1.jpg", "1.jpg")
    assert _found(tmp_path, ["train/1.jpg", "val/1.jpg"]) == ["train/1.jpg", "val/1.jpg"]
    _files(tmp_path, "case/X.jpg", "case/x.jpg", "case/y.jpg")
    assert _found(tmp_path, ["y.jpg", "x.JPG"]) == ["case/y.jpg", "case/x.JPG"]


@pytest.mark.parametrize("name", ["../out.jpg", "/etc/out.jpg", "..\\out.jpg", ".", "a\0.jpg"])
def test_nothing_outside_is_reached(tmp_path, name):
    _files(tmp_path, "set/a.jpg", "out.jpg")
    assert _found(tmp_path / "set", ["a.jpg", name]) == ["a.jpg", None]


def test_images_that_are_nowhere(tmp_path):
    _files(tmp_path, "a.jpg")
    with pytest.raises(DatasetError, match="lists 1 images, such as 'b.jpg', and none of them"):
        _found(tmp_path, ["b.jpg"])
