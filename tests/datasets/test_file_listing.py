from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.datasets.file_listing import ids_of, list_files, natural_key, read_text, within
from boxloop.errors import DatasetError
from builders_datasets import text


def test_natural_order_counts_and_goes_folder_by_folder():
    names = [
        "b.jpg",
        "img10.jpg",
        "img2.jpg",
        "IMG1.jpg",
        "img02.jpg",
        "10/a.jpg",
        "9/z.jpg",
        "a-1/x",
    ]
    assert sorted(names, key=lambda name: (natural_key(name), name)) == [
        "9/z.jpg",
        "10/a.jpg",
        "a-1/x",
        "b.jpg",
        "IMG1.jpg",
        "img02.jpg",
        "img2.jpg",
        "img10.jpg",
    ]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet="aB\u0661\u00b210./-\u00e9 ", min_size=1, max_size=9)))
def test_any_names_can_be_sorted(names):
    ordered = sorted(names, key=lambda name: (natural_key(name), name))
    assert sorted(ordered) == sorted(names)


def test_files_are_found_below_through_links_and_hidden_ones_are_skipped(tmp_path):
    archive = tmp_path / "archive"
    for name in ("day/2.JPG", "day/10.jpg", "day/notes.txt", "day/._2.jpg", ".trash/3.jpg"):
        text(archive / name, "")
    root = tmp_path / "set"
    root.mkdir()
    (root / "photos").symlink_to(archive)
    (root / "one.jpg").symlink_to(archive / "day" / "10.jpg")
    (root / "circle").symlink_to(root)
    found = [path.as_posix() for path in list_files(root, (".jpg",))]
    assert found == ["one.jpg", "photos/day/2.JPG", "photos/day/10.jpg"]


def test_ids_are_paths_without_endings_and_stay_apart():
    paths = [PurePosixPath(p) for p in ("a.jpg", "sub/a.jpg", "b.jpg", "b.png", "v1.2.jpg")]
    assert ids_of(paths) == ["a", "sub/a", "b.jpg", "b.png", "v1.2"]


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "..", "C:/x", "C:x", "\\\\host\\x", "..\\x", "a\0b", ""],
)
def test_what_leads_outside(name):
    assert within(Path("set"), name) is None


@pytest.mark.parametrize(
    ("name", "path"),
    [("a.jpg", "set/a.jpg"), ("x/../a.jpg", "set/a.jpg"), ("./b/a..jpg", "set/b/a..jpg")],
)
def test_what_stays_inside(name, path):
    assert within(Path("set"), name) == Path(path)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["..", ".", "a", "", "b", "...", "..a"]), max_size=6))
def test_within_agrees_with_walking_the_path(parts):
    name, depth, escaped = "/".join(parts), 0, False
    for part in parts:
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        escaped |= depth < 0
    result = within(Path("set"), name)
    if result is not None:
        assert not name.startswith("/")
        assert ".." not in result.parts
        assert result.is_relative_to("set")
    elif name and not name.startswith("/"):
        assert escaped


def test_text_that_cannot_be_read(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(DatasetError, match=r"a\.txt is not UTF-8 text"):
        read_text(tmp_path / "a.txt")
    with pytest.raises(DatasetError, match=r"b\.txt does not exist"):
        read_text(tmp_path / "b.txt")
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbfdog")
    assert read_text(tmp_path / "bom.txt") == "dog"
