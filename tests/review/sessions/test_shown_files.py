"""Which file the App shows of an image: what it shows must be what boxloop reads."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from boxloop.campaign import artifacts
from boxloop.core.types import ImageSet
from boxloop.datasets.images import read_image
from boxloop.errors import ArtifactError
from boxloop.params import load_params
from boxloop.review.fiftyone.session_inputs import (
    ReviewRequest,
    batch_files,
    display_file,
    display_files,
    read_assignment,
    require_same_pixels,
)
from builders_datasets import save_with_xmp
from builders_sessions import CLASSES, cut, images

PIXELS = np.arange(80 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(80, 100, 3)


@pytest.fixture
def paths(tmp_path):
    return cut(tmp_path / "c", {"b00": images(3, ())}, pixels=PIXELS)


def _first(paths):
    return artifacts.read_images(paths.images).images[0]


def test_an_image_that_browsers_show_as_it_is_read_is_not_copied(paths):
    image = _first(paths)
    assert display_file(paths, image) == paths.root / image.path
    assert not (paths.state / "display").exists()


@pytest.mark.parametrize("kind", ["turned WebP", "TIFF", "transparent"])
def test_other_images_are_shown_by_a_copy_of_what_is_read(paths, kind):
    image = _first(paths)
    path = paths.root / image.path
    picture = Image.fromarray(PIXELS)
    if kind == "turned WebP":
        path = path.with_suffix(".webp")
        image = replace(image, path=path.relative_to(paths.root).as_posix())
        exif = Image.Exif()
        exif[0x0112] = 3
        picture.save(path, exif=exif, lossless=True)
    elif kind == "TIFF":
        picture.save(path, "TIFF")
    else:
        picture.putalpha(Image.new("L", picture.size, 128))
        picture.save(path)
    shown = display_file(paths, image)
    assert shown == paths.state / "display" / f"{image.digest}.png"
    with Image.open(shown) as copy:
        assert (copy.mode, copy.info) == ("RGB", {})
        np.testing.assert_array_equal(np.asarray(copy), read_image(path))


def test_the_app_may_show_what_it_is_told_to_show(paths):
    path = paths.root / _first(paths).path
    picture = Image.fromarray(PIXELS)
    picture.putalpha(Image.new("L", picture.size, 128))
    picture.save(path)
    made = read_assignment(
        paths, load_params(paths.root / "params.yaml"), ReviewRequest("b00", "ann")
    )
    shown = display_files(paths, made)
    assert sorted(batch_files(paths, made)) == sorted(shown.values())
    assert path not in shown.values()
    assert display_file(paths, _first(paths), to_draw=False) == path  # to look at, it will do
    path.unlink()
    assert display_file(paths, _first(paths), to_draw=False) == path
    with pytest.raises(ArtifactError, match="is gone"):
        display_files(paths, made)


def test_images_that_xmp_turned_when_the_dataset_was_read_are_not_opened(paths):
    image_set = artifacts.read_images(paths.images)
    first, *others = image_set.images
    path = (paths.root / first.path).with_suffix(".jpg")
    save_with_xmp(path, PIXELS, 3)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    place = path.relative_to(paths.root).as_posix()
    first = replace(first, path=place, digest=digest)
    artifacts.write_images(paths.images, ImageSet((first, *others), CLASSES))
    made = read_assignment(
        paths, load_params(paths.root / "params.yaml"), ReviewRequest("b00", "ann")
    )
    with pytest.raises(ArtifactError, match=r"\(image img00\) is turned by XMP alone, .*-f data"):
        require_same_pixels(paths, made)
