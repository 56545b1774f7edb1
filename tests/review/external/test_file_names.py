import pytest

from boxloop.core.types import ImageRef
from boxloop.review.external.file_names import FileNames

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
    assert [image.id for image in FileNames(IMAGES).find(name)] == ids
