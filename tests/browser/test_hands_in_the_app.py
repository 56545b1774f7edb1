"""What two hands do at once is not lost, and what is taken back is gone."""

import pytest
from app import browser
from playwright.sync_api import expect

from builders_database import require_mongod, wait_until
from builders_sessions import cut, images
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = (128, 128)
A, B = (8, 8, 40, 40), (60, 10, 100, 44)
FREE = (60, 70, 100, 110)
ROWS = (("cat", A, 0.9), ("dog", B, 0.8))


@pytest.fixture
def folder(tmp_path):
    require_mongod()
    root = tmp_path / "my campaign"
    cut(root, {"b00": images(1, ()), "b01": images(4, ROWS, first=1)}, size=SIZE)
    return root


def stored(terminal, image):
    return terminal.app().record(image)[0]["boxes"]["detections"]


def press_d_in_a_drag(app, start, end):
    """Drags; D is pressed before the button is released. Gives the image's name."""
    image, address, page = app.image_name(), app.page.url, app.page
    page.mouse.move(*start)
    page.wait_for_timeout(60)
    page.mouse.down()
    page.mouse.move(*end, steps=10)
    page.keyboard.press("d")
    page.wait_for_timeout(1500)
    assert page.url == address
    page.mouse.up()
    expect(page).not_to_have_url(address)
    app.wait_for_image()
    return image


def test_d_waits_until_a_drag_is_released(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        app.pick(A, SIZE)
        moved = press_d_in_a_drag(app, app.point(24, 24, SIZE), app.point(34, 74, SIZE))
        wait_until(lambda: terminal.app().reviewed() == {moved})
        x, y, *_ = stored(terminal, moved)[0]["bounding_box"]
        assert (x * SIZE[0], y * SIZE[1]) == pytest.approx((A[0] + 10, A[1] + 50), abs=2)

        app.mode("detection-mode")
        drawn = press_d_in_a_drag(app, app.point(*FREE[:2], SIZE), app.point(*FREE[2:], SIZE))
        wait_until(lambda: len(terminal.app().reviewed()) == 2)
        assert len(stored(terminal, drawn)) == 3


def test_an_undo_takes_a_new_box_away_with_its_class(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        image, page = app.image_name(), app.page

        def labels():
            return [box["label"] for box in stored(terminal, image)]

        app.draw(FREE, SIZE)
        wait_until(lambda: labels() == ["cat", "dog", "?"])
        page.keyboard.press("Control+z")
        wait_until(lambda: labels() != ["cat", "dog", "?"])
        assert labels() == ["cat", "dog"]
        app.comes_to("labels", ["cat", "dog"])
        page.keyboard.press("Control+Shift+z")
        wait_until(lambda: labels() == ["cat", "dog", "?"])

        # A class that was chosen is a step of its own.
        app.pick(FREE, SIZE)
        app.digit("dog")
        app.leave_box()
        wait_until(lambda: labels() == ["cat", "dog", "dog"])
        page.keyboard.press("Control+z")
        wait_until(lambda: labels() == ["cat", "dog", "?"])
        page.keyboard.press("Control+z")
        wait_until(lambda: labels() == ["cat", "dog"])
