from pathlib import Path, PurePosixPath

import pytest

from boxloop.core.types import ImageRef
from boxloop.errors import DatasetError
from boxloop.review.external.file_names import FileNames, pair

IMAGES = [
    ImageRef("BloodImage_00001", "/data/JPEGImages/BloodImage_00001.jpg", 4, 4, "0"),
    ImageRef("cam1/001", "/data/cam1/001.png", 4, 4, "0"),
    ImageRef("cam2/001", "/data/cam2/001.png", 4, 4, "0"),
    ImageRef("002", "/data/002.png", 4, 4, "0"),
    ImageRef("cam2/002", "/data/cam2/002.png", 4, 4, "0"),
    ImageRef("my image (1)", "/data/my image (1).jpg", 4, 4, "0"),
    ImageRef("deadbeef-x", "/data/deadbeef-x.jpg", 4, 4, "0"),
    ImageRef("café/ñ", "/data/cafe\u0301/n\u0303.jpg", 4, 4, "0"),
    ImageRef("annotation 7", "/data/picture_7.jpg", 4, 4, "0"),
]


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("BloodImage_00001.jpg", ["BloodImage_00001"]),
        ("images/BloodImage_00001.jpg", ["BloodImage_00001"]),
        (r"D:\work\BloodImage_00001.jpg", ["BloodImage_00001"]),
        ("3ffd1ab2-BloodImage_00001.jpg", ["BloodImage_00001"]),
        ("images/1/3ffd1ab2-BloodImage_00001.jpg", ["BloodImage_00001"]),
        ("/data/local-files/?d=cam2/001.png", ["cam2/001"]),
        ("cam1/001.png", ["cam1/001"]),
        ("upload/cam2/001.png", ["cam2/001"]),
        ("001.png", ["cam1/001", "cam2/001"]),
        ("other/001.png", ["cam1/001", "cam2/001"]),
        ("3ffd1ab2-001.png", ["cam1/001", "cam2/001"]),
        ("002.png", ["002"]),
        ("my image (1).jpg", ["my image (1)"]),
        ("my%20image%20%281%29.jpg", ["my image (1)"]),
        ("0a1b2c3d-my_image_1.jpg", ["my image (1)"]),
        ("deadbeef-x.jpg", ["deadbeef-x"]),
        ("Blood20240101-Image_00001.jpg", []),
        ("12345678-deadbeef-x.jpg", ["deadbeef-x"]),
        ("\u00f1.jpg", ["café/ñ"]),
        ("n\u0303.jpg", ["café/ñ"]),
        ("images/0a1b2c3d-n%CC%83.jpg", ["café/ñ"]),
        ("caf\u00e9/n\u0303.jpg", ["café/ñ"]),
        ("annotation 7.jpg", ["annotation 7"]),
        ("picture_7.jpg", ["annotation 7"]),
        ("BloodImage_00002.jpg", []),
        ("BloodImage_00001", []),
        ("deadbeef-", []),
        ("/", []),
        ("..", []),
        ("\0", []),
    ],
)
def test_names_as_tools_give_them_back(name, ids):
    assert [image.id for image in FileNames(IMAGES).match(name).images] == ids


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        (r"back\slash.jpg", [r"back\slash"]),
        (r"set/0a1b2c3d-back\slash.jpg", [r"back\slash"]),
        (r"cam1\001.jpg", ["cam1/001"]),
        (r"D:\set\cam1\001.jpg", ["cam1/001"]),
        # The literal name goes before a folder's, and no backslash is left out of a name.
        (r"cam2\001.jpg", [r"cam2\001"]),
        (r"cam3\001.jpg", ["cam1/001", "cam2/001"]),
        ("cam2/001.jpg", ["cam2/001"]),
    ],
)
def test_a_backslash_may_be_a_part_of_a_name(name, ids):
    names = (r"back\slash", "cam1/001", "cam2/001", r"cam2\001", "cam3001")
    images = [image(image_id) for image_id in names]
    assert [image.id for image in FileNames(images).match(name).images] == ids


def image(image_id, path=None):
    return ImageRef(image_id, path or f"/sets/ours/{image_id}.jpg", 4, 4, "0")


def paired(images, names):
    matches = {f"[{number}]": FileNames(images).match(name) for number, name in enumerate(names)}
    return [ref and ref.id for ref in pair(matches, Path("a.json")).values()]


CLIP = [image("clip2/001")]
MIXED = [image("1"), image("cam1/2")]


@pytest.mark.parametrize(
    ("images", "names", "ids"),
    [
        (CLIP, ["clip1/001.jpg", "clip2/001.jpg"], [None, "clip2/001"]),
        (CLIP, ["/mnt/clip1/001.jpg", "/mnt/clip2/001.jpg"], [None, "clip2/001"]),
        (CLIP, ["clip1/001.jpg"], [None]),
        (CLIP, ["001.jpg"], ["clip2/001"]),
        (CLIP, ["images/001.jpg"], ["clip2/001"]),
        (CLIP, ["../001.jpg"], ["clip2/001"]),
        (CLIP, ["labels/train/001.jpg"], ["clip2/001"]),
        (CLIP, ["images/7/0a1b2c3d-001.jpg"], ["clip2/001"]),
        (CLIP, ["/home/ann/photos/001.jpg"], ["clip2/001"]),
        (CLIP, [r"D:\photos\001.jpg"], ["clip2/001"]),
        (CLIP, ["s3://bucket/001.jpg"], ["clip2/001"]),
        # The folder of the set is the clip's.
        ([image("001", "/sets/clip2/001.jpg")], ["clip1/001.jpg", "clip2/001.jpg"], [None, "001"]),
        ([image("001"), image("2")], ["clip1/001.jpg", "ours/2.jpg"], [None, "2"]),
        # Two clips have that frame, and it is neither's.
        ([*CLIP, image("clip3/001")], ["clip1/001.jpg", "clip3/001.jpg"], [None, "clip3/001"]),
        ([*CLIP, image("clip3/002")], ["clip1/001.jpg", "clip3/002.jpg"], [None, "clip3/002"]),
        # Images in folders and others beside them, from another machine.
        (MIXED, ["/home/ann/photos/1.jpg", "/home/ann/photos/cam1/2.jpg"], ["1", "cam1/2"]),
        (MIXED, ["obj_train_data/1.jpg", "obj_train_data/cam1/2.jpg"], ["1", "cam1/2"]),
        (MIXED, ["cam3/1.jpg", "cam1/2.jpg"], [None, "cam1/2"]),
        ([image("images/1"), image("thumbs/1")], ["images/1.jpg"], ["images/1"]),
        ([image("images/1"), image("1")], ["1.jpg"], ["1"]),
    ],
)
def test_labels_of_another_folder_s_image_are_not_this_one_s(images, names, ids):
    assert paired(images, names) == ids


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["001.jpg", "001.jpg"],
            r"a.json: \[0\] and \[1\] are both image clip2/001: leave one out",
        ),
        (["0a1b2c3d-001.jpg", "1a1b2c3d-001.jpg"], "are both image clip2/001"),
        (["001.jpg", "/y/001.jpg"], "are both image clip2/001"),
    ],
)
def test_names_that_are_as_good_as_each_other_are_refused(names, said):
    with pytest.raises(DatasetError, match=said):
        paired(CLIP, names)


@pytest.mark.parametrize(
    ("path", "ids"),
    [
        ("clip2/001.txt", ["clip2/001"]),
        ("clip2/labels/001.txt", ["clip2/001"]),
        ("labels/clip2/001.txt", ["clip2/001"]),
        ("001.jpg.txt", ["clip2/001"]),
        ("001.png.txt", []),
        # As Label Studio exports them.
        ("labels/0a1b2c3d-001.txt", ["clip2/001"]),
        ("labels/0a1b2c3d-my_image_1.txt", ["my image (1)"]),
        ("labels/my_image_1.txt", []),
        ("labels/deadbeef-x.txt", ["deadbeef-x"]),
        ("labels/12345678-deadbeef-x.txt", ["deadbeef-x"]),
        ("labels/0a1b2c3d-002.txt", []),
    ],
)
def test_a_text_is_called_after_its_image(path, ids):
    images = [*CLIP, *(image for image in IMAGES if image.id in ("my image (1)", "deadbeef-x"))]
    assert [i.id for i in FileNames(images).match_text(PurePosixPath(path)).images] == ids
