"""What Label Studio, macOS and users hand in: portraits of phones, names, and the wrong file."""

import json

import pytest
from PIL import Image

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import ImageRef
from boxloop.errors import DatasetError
from boxloop.files import file_digest
from boxloop.review.external.corrections import import_file
from boxloop.review.external.import_coco import ReviewedImage
from boxloop.review.external.stored_size import is_upright
from boxloop.review.validation import RawBox
from builders_campaign import build_campaign, small_params

PARAMS = small_params(1, review={"annotator": "fiftyone"})
INFO = {"contributor": "Label Studio"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A campaign whose first image, 64x48, is stored lying on its side."""
    build_campaign(tmp_path, PARAMS, done=0, annotator="fiftyone", through="proposals")
    path = tmp_path / "data" / "images" / "img00.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (48, 64)).save(path, exif=exif)
    images = artifacts.read_images(tmp_path / "data/images.json")
    first = ImageRef("img00", images.images[0].path, 64, 48, file_digest(path))
    changed = type(images)((first, *images.images[1:]), images.classes)
    artifacts.write_images(tmp_path / "data/images.json", changed)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def back(root, bbox, *, name="img00.png", size=(48, 64), **more):
    content = {
        "images": [{"id": 0, "file_name": name, "width": size[0], "height": size[1]}],
        "annotations": [{"id": 0, "image_id": 0, "category_id": 0, "bbox": bbox}],
        "categories": [{"id": 0, "name": "cat"}],
        **more,
    }
    path = root / "back.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def taken(root, file):
    import_file(CampaignPaths(root), PARAMS, file)
    (found,) = submissions.read(CampaignPaths(root).reviews)
    return found.boxes["img00"].xyxy.tolist()


@pytest.mark.parametrize(
    ("bbox", "more"),
    [
        ([2, 3, 10, 20], {"info": INFO}),
        ([2, 3, 10, 20], {"name": "images/90fbb0c0-img00.png"}),
        ([50, 3, 10, 20], {}),  # fits the upright image only
        ([2, 3, 10, 20], {"size": (64, 48)}),
    ],
)
def test_a_portrait_is_taken_as_people_saw_it(root, bbox, more):
    x, y, width, height = bbox
    assert taken(root, back(root, bbox, **more)) == [[x, y, x + width, y + height]]


@pytest.mark.parametrize("more", [{}, {"info": INFO, "size": (24, 32)}, {"name": "img01.png"}])
def test_a_size_that_may_mean_other_pixels_is_refused(root, more):
    with pytest.raises(DatasetError, match="pixels, but the upright image has 64x48"):
        taken(root, back(root, [2, 3, 10, 20], **more))
    assert submissions.read(CampaignPaths(root).reviews) == []


def test_a_box_outside_of_both_is_no_proof_for_an_image_that_is_not_turned(tmp_path):
    ref = ImageRef("a", str(tmp_path / "gone.png"), 64, 48, "0")
    item = ReviewedImage(ref, (48, 64), boxes=[RawBox("0", "cat", (50, 3, 60, 20))])
    assert not is_upright(item)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("<?xml version='1.0'?><annotations></annotations>", "CVAT's own XML .*'COCO 1.0'"),
        ('{"shapes": [], "imagePath": "img00.png"}', "LabelMe's JSON"),
        ('[{"data": {"image": "x"}, "annotations": []}]', "Label Studio's own JSON.*'COCO'"),
        ("PK\x03\x04", "an archive: unpack it"),
        ("filename,class,xmin,ymin\n", "a table"),
    ],
)
def test_the_wrong_kind_of_file_is_named_with_the_right_one(root, content, words):
    (root / "back").write_text(content)
    with pytest.raises(DatasetError, match=words):
        taken(root, root / "back")


@pytest.mark.parametrize(
    "change",
    [
        {"annotations": [{"id": 0, "image_id": False, "category_id": 0, "bbox": [1, 2, 3, 4]}]},
        {"annotations": [{"id": 0, "image_id": 0, "category_id": False, "bbox": [1, 2, 3, 4]}]},
        {"annotations": [{"id": 0, "image_id": 0, "category_id": 0, "bbox": ["1", 2, 9, 9]}]},
        {"annotations": [{"id": 0, "image_id": 0, "category_id": 0, "bbox": [0.1, 0.1, 0.5, 1]}]},
    ],
)
def test_booleans_texts_and_fractions_are_refused(root, change):
    with pytest.raises(DatasetError):
        taken(root, back(root, [2, 3, 10, 20], size=(64, 48), **change))
    assert submissions.read(CampaignPaths(root).reviews) == []
