"""Boxes drawn round what a real browser shows: they must be where boxloop's pixels are."""

import io
import json

import numpy as np
import pytest
from app import CANVAS, browser
from PIL import Image

from boxloop.campaign import artifacts, submissions
from boxloop.core.types import ImageRef, ImageSet
from boxloop.datasets.images import probe_image, read_image
from builders_datasets import save_with_xmp
from builders_sessions import CLASSES, cut
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIZE = (320, 200)
OBJECT = (20, 30, 90, 60)
"""In the stored pixels: away from the middle, so that each turn puts it elsewhere."""


def _turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _draw_all(folder):
    """One image of each kind; gives their files by id."""
    plain = Image.new("RGB", SIZE, (96, 96, 96))
    plain.paste((255, 0, 0), OBJECT)
    cut_out = Image.new("RGBA", SIZE, (0, 0, 0, 0))
    cut_out.paste((255, 0, 0, 255), OBJECT)
    saved = {
        "jpeg6": ("a.jpg", plain, {"exif": _turned(6), "quality": 95}),
        "png6": ("b.png", plain, {"exif": _turned(6)}),
        "webp3": ("c.webp", plain, {"exif": _turned(3), "lossless": True}),
        "webp6": ("d.webp", plain, {"exif": _turned(6), "lossless": True}),
        "tiff as jpeg": ("f.jpg", plain, {"format": "TIFF"}),
        "ppm as png": ("g.png", plain, {"format": "PPM"}),
        "jpeg 2000 as jpeg": ("h.jpg", plain, {"format": "JPEG2000"}),
        "transparent": ("i.png", cut_out, {}),
        "gif": ("j.gif", cut_out, {}),
    }
    for name, picture, how in saved.values():
        picture.save(folder / name, **how)
    save_with_xmp(folder / "e.jpg", np.asarray(plain), 6, quality=95)
    save_with_xmp(folder / "k.jpg", np.asarray(plain), 3, quality=95)
    return {
        "xmp6": folder / "e.jpg",
        "xmp3": folder / "k.jpg",
        **{image_id: folder / name for image_id, (name, _, _) in saved.items()},
    }


@pytest.fixture
def paths(tmp_path):
    folder = tmp_path / "my campaign" / "data" / "images"
    folder.mkdir(parents=True)
    files = _draw_all(folder)
    paths = cut(tmp_path / "my campaign", {"b00": dict.fromkeys(files, ())})
    refs = []
    for image_id, path in files.items():
        probe = probe_image(path)
        place = path.relative_to(paths.root).as_posix()
        refs.append(ImageRef(image_id, place, probe.width, probe.height, probe.digest))
    artifacts.write_images(paths.images, ImageSet(tuple(refs), CLASSES))
    return paths


def _red(pixels):
    """The box around what is red; None where nothing is."""
    r, g, b = np.moveaxis(pixels[..., :3].astype(int), -1, 0)
    ys, xs = ((r > 180) & (g < 70) & (b < 70)).nonzero()
    if not len(xs):
        return None
    return tuple(map(int, (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)))


def _seen(app):
    """The box around the red object on the screen, and the colour beside it; None without it."""
    area = app.page.locator(CANVAS).bounding_box()
    picture = Image.open(io.BytesIO(app.page.screenshot(clip=area)))
    pixels = np.asarray(picture.convert("RGB"))
    if (found := _red(pixels)) is None:
        return None
    x1, y1, x2, y2 = found
    left, top = area["x"], area["y"]
    return (left + x1, top + y1, left + x2, top + y2), pixels[(y1 + y2) // 2, x2 + 8]


def test_boxes_are_where_the_person_saw_the_object(paths):
    known = artifacts.read_images(paths.images).by_id()
    with (
        review(paths.root, "b00", "--reviewer", "ann") as terminal,
        browser(terminal.address()) as app,
    ):
        app.start()
        beside = {}
        for _ in known:
            for _ in range(60):  # until the image is there
                if seen := _seen(app):
                    break
                app.page.wait_for_timeout(1000)
            if seen:
                (x1, y1, x2, y2), beside[app.image_name()] = seen
                app.mode("detection-mode")
                app.drag((x1, y1), (x2, y2))
                app.page.locator("[data-cy=root_label_container]").wait_for()
                app.choose("cat")
                app.leave_box()
            app.done()
        outcome, text = app.submit()
        assert outcome == "submitted", text
        assert terminal.ends() == 0
    (path,) = paths.reviews.glob("b00-*.json")
    assert len(json.loads(path.read_text())["boxes"]) == len(known)
    newest = submissions.latest(submissions.read(paths.reviews))
    wrong = {}
    for image_id, ref in known.items():
        if image_id not in beside:
            wrong[image_id] = "is not seen"
            continue
        pixels = read_image(paths.root / ref.path)
        x1, y1, x2, y2 = expected = _red(pixels)
        (drawn,) = newest[image_id].boxes[image_id].xyxy
        shade = pixels[(y1 + y2) // 2, min(x2 + 4, ref.width - 1)]
        if np.abs(drawn - expected).max() > 2:
            wrong[image_id] = (drawn.tolist(), expected)
        elif np.abs(beside[image_id].astype(int) - shade).max() > 8:
            wrong[image_id] = (beside[image_id].tolist(), shade.tolist())
    assert wrong == {}
