"""A connection that drops for a while takes no edit away, whatever the person does meanwhile."""

import time

import pytest
from app import browser
from playwright.sync_api import expect

from builders_database import require_mongod
from builders_sessions import cut, images
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = (128, 128)
A, B = (8, 8, 40, 40), (60, 10, 100, 44)
CLASSES = ("ball", "box", "cup", "star")
ROWS = (("ball", A, 0.9), ("box", B, 0.8))


@pytest.fixture
def folder(tmp_path):
    require_mongod()
    root = tmp_path / "my campaign"
    cut(root, {"b00": images(1, ()), "b01": images(4, ROWS, first=2)}, classes=CLASSES, size=SIZE)
    return root


def until(app, condition, seconds=60):
    """Waits, while the browser goes on."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        app.page.wait_for_timeout(50)


def is_said(app, sentence):
    expect(app.piece("failure")).to_contain_text(sentence, timeout=60_000)


def labels(terminal, image):
    boxes = terminal.app().record(image)[0]["boxes"]["detections"]
    return [box["label"] for box in boxes]


def relabel_offline(app, label):
    """Chooses B and, once the connection is gone, its class; that this is not stored is seen."""
    app.pick(B, SIZE)
    app.page.context.set_offline(True)
    app.digit(label)
    expect(app.page.locator("html[data-boxloop-unsaved]")).to_be_attached(timeout=60_000)


def test_a_short_drop_and_the_key_d(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        image, page, failed = app.image_name(), app.page, []
        page.on("requestfailed", lambda request: failed.append(request.method))
        app.pick(B, SIZE)
        before = page.url
        page.context.set_offline(True)
        app.digit("star")
        page.keyboard.press("d")
        until(app, lambda: failed.count("PATCH") >= 4 or page.url != before)
        assert page.url == before
        page.context.set_offline(False)
        until(app, lambda: gone_on(app, before))
        until(app, lambda: terminal.app().reviewed() == {image})
        assert labels(terminal, image) == ["ball", "star"]


def gone_on(app, before):
    if app.page.url == before and app.piece("done").is_enabled():
        app.page.keyboard.press("d")  # a slow machine was told to wait
    return app.page.url != before


def test_d_stays_at_an_image_whose_edit_cannot_be_stored(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        image, page = app.image_name(), app.page
        tries = []

        def refuse(route):
            if route.request.method == "PATCH":
                tries.append(route.request)
                route.abort()
            else:
                route.continue_()

        page.route("**/sample/*", refuse)
        app.pick(B, SIZE)
        before = page.url
        app.digit("star")
        until(app, lambda: len(tries) > 4)  # the App itself tries three times
        page.keyboard.press("d")
        is_said(app, f"The last edit of {image} is not stored yet")
        assert (page.url, app.image_name()) == (before, image)
        assert terminal.app().reviewed() == set()

        page.unroute("**/sample/*")
        expect(app.piece("failure")).to_be_hidden(timeout=60_000)
        assert labels(terminal, image) == ["ball", "star"]
        app.done(key=True)
        until(app, lambda: terminal.app().reviewed() == {image})


def leave_by(app, way):
    page = app.page
    if way == "back":
        app.piece("back").click()
    elif way in ("Escape", "ArrowRight"):
        page.keyboard.press(way)
    elif way == "the grid around it":
        page.mouse.click(4, 450)
    else:
        page.locator(f"[data-cy={way}]").click()


def test_other_ways_to_leave(folder):
    ways = ("explore", "back", "Escape", "ArrowRight", "nav-right-button", "the grid around it")
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.open(0)  # images opened from the grid have arrows
        for number, way in enumerate(ways):
            stays(app, terminal, way, ("star", "cup")[number % 2])


def stays(app, terminal, way, label):
    """Leaves with an edit that cannot be stored, and again when it is."""
    page, image, before = app.page, app.image_name(), app.page.url
    relabel_offline(app, label)
    leave_by(app, way)
    is_said(app, f"The last edit of {image} is not stored yet")
    assert (page.url, app.image_name()) == (before, image)
    page.context.set_offline(False)
    expect(app.piece("failure")).to_be_hidden(timeout=60_000)
    assert labels(terminal, image) == ["ball", label]
    if way == "explore":
        page.locator("[data-cy=explore]").click()
        page.locator("[data-cy=detection-mode]").wait_for(state="hidden")
        page.locator("[data-cy=annotate]").click()
        app.wait_for_image()
        return
    until(app, lambda: left(app, way, before))
    if "id=" not in page.url:
        app.piece("submit").wait_for()
        app.open(0)
    app.wait_for_image()


def left(app, way, before):
    if app.page.url == before:
        leave_by(app, way)  # Escape first lets go of the box
        app.page.wait_for_timeout(500)
    return app.page.url != before


def test_the_browser_s_back_names_the_image(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        image = app.image_name()
        relabel_offline(app, "star")
        app.digit("cup")
        app.page.wait_for_timeout(600)
        app.page.evaluate("history.back()")
        is_said(app, f"The last edit of {image} may be lost")
        app.page.context.set_offline(False)
        # At most one edit is lost: whether the last one is, too, depends on what the App had sent.
        stored = [["ball", "star"], ["ball", "cup"]]
        until(app, lambda: labels(terminal, image) in stored)
