"""Classes of the names of what every JavaScript object has: their boxes are seen as others are."""

import io
import json

import numpy as np
import pytest
from app import browser
from PIL import Image
from playwright.sync_api import expect

from builders_database import require_mongod, wait_until
from builders_sessions import cut
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIZE = (128, 128)
A, B, C, D = (8, 8, 40, 40), (60, 10, 100, 44), (20, 70, 50, 110), (75, 75, 115, 118)
CLASSES = ("cat", "constructor", "__proto__", "toString")
ROWS = tuple(zip(CLASSES, (A, B, C, D), (0.9, 0.9, 0.9, 0.9), strict=True))
GREEN = np.broadcast_to(np.array([30, 120, 60], np.uint8), (SIZE[1], SIZE[0], 3))


@pytest.fixture
def folder(tmp_path):
    require_mongod()
    root = tmp_path / "my campaign"
    cut(root, {"b00": {"one": ROWS, "two": ()}}, classes=CLASSES, size=SIZE, pixels=GREEN)
    return root


def screen(page):
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)


def drawn(pixels):
    """The colour of most of what is not the image, in pixels of the screen; None for too little."""
    found = pixels.reshape(-1, 3)
    found = found[np.abs(found - GREEN[0, 0]).max(axis=1) > 40]
    if len(found) < 20:
        return None
    colours, counts = np.unique(found, axis=0, return_counts=True)
    return tuple(int(value) for value in colours[counts.argmax()])


def edges(app):
    """The colours of the boxes' lower edges in the open image."""
    app.page.mouse.move(5, 5)
    app.page.wait_for_timeout(500)
    shot, colours = screen(app.page), {}
    for label, (x1, _, x2, y2), _ in ROWS:
        left, top = (round(v) for v in app.point(x1 + 3, y2 - 1.5, SIZE))
        right, bottom = (round(v) for v in app.point(x2 - 3, y2 + 1.5, SIZE))
        colours[label] = drawn(shot[top:bottom, left:right])
    return colours


def test_boxes_of_every_class_are_drawn_and_can_be_made(folder):
    with review(folder, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        app.comes_to("labels", sorted(CLASSES))
        wait_until(lambda: None not in edges(app).values())
        colours = edges(app)
        assert len(set(colours.values())) == len(CLASSES), colours

        app.relabel(A, SIZE, "__proto__")
        expect(app.page.locator("[data-cy^=annotate-label-]").get_by_text("cat")).to_have_count(0)
        wait_until(lambda: edges(app)["cat"] == colours["__proto__"])
        app.done()
        app.draw(A, SIZE, "constructor")
        wait_until(lambda: edges(app)["cat"] == colours["constructor"])
        app.done()
        outcome, _ = app.submit()
        assert outcome == "submitted"
    submitted = json.loads(next((folder / "reviews").glob("b00-*.json")).read_text())["boxes"]
    labels = {image: [box["label"] for box in boxes] for image, boxes in submitted.items()}
    assert labels == {"one": ["__proto__", *CLASSES[1:]], "two": ["constructor"]}
