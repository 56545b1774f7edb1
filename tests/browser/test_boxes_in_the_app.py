"""No box is hidden, named or doubled without the reviewer."""

import signal
import time

import pytest
from app import browser
from playwright.sync_api import expect

from builders_database import require_mongod
from builders_sessions import cut, images
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = (128, 128)
A, B, C, D = (8, 8, 40, 40), (60, 10, 100, 44), (20, 70, 50, 110), (75, 75, 115, 118)
BELOW = (100, 50, 124, 66)
FREE, SMALL = (106, 8, 124, 30), (4, 50, 16, 64)
CLASSES = ("ball", "box", "cup", "star")
ROWS = (("ball", A, 0.9), ("ball", B, 0.8), ("cup", C, 0.7), ("star", D, 0.6))


@pytest.fixture
def folder(tmp_path):
    require_mongod()
    root = tmp_path / "my campaign"
    rows = (*ROWS, ("ball", BELOW, 0.3))
    cut(root, {"b00": images(1, ()), "b01": images(4, rows, first=2)}, classes=CLASSES, size=SIZE)
    return root


def listed(app):
    return app.page.locator("[data-cy^=annotate-label-]")


def stored(terminal, image):
    return terminal.app().record(image)[0]["boxes"]["detections"]


def until_stored(app, terminal, image, added):
    """Waits, while the browser goes on, for the classes that come after those of the proposals."""
    deadline = time.monotonic() + 60
    wanted = [label for label, *_ in ROWS] + list(added)
    while (labels := [box["label"] for box in stored(terminal, image)]) != wanted:
        assert time.monotonic() < deadline, labels
        app.page.wait_for_timeout(50)


def reload(app):
    app.page.reload()
    app.page.wait_for_selector("[data-boxloop=panel] [data-boxloop]")
    app.wait_for_image()


def test_no_key_and_no_button_hides_the_boxes_of_all_images(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        page, toggle = app.page, app.page.locator("[data-cy=modal] [data-cy=action-toggle-sidebar]")
        page.keyboard.press("s")
        app.done(key=True)
        expect(listed(app)).to_have_count(4)
        expect(toggle).not_to_have_count(0)
        expect(toggle).to_be_hidden()
        toggle.evaluate("(element) => element.click()")
        app.done(key=True)
        expect(listed(app)).to_have_count(4)

        # What an earlier version left in the browser.
        page.evaluate("localStorage.setItem('sidebarVisible-modal-true', 'false')")
        reload(app)
        expect(listed(app)).to_have_count(4)


def test_the_first_box_has_no_class_until_one_is_chosen(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        first = app.image_name()
        app.draw(FREE, SIZE)
        expect(listed(app).filter(has_text="?")).to_have_count(1, timeout=20_000)
        app.draw(SMALL, SIZE, "ball")  # the most frequent one, which the form has from the start
        until_stored(app, terminal, first, ["?", "ball"])
        app.done()
        second = app.image_name()
        app.draw(FREE, SIZE, "cup")
        app.draw(SMALL, SIZE)
        until_stored(app, terminal, second, ["cup", "cup"])
        reload(app)
        app.done()
        third = app.image_name()
        app.draw(FREE, SIZE)  # the class used last, also after a reload
        until_stored(app, terminal, third, ["cup"])
        app.pick(FREE, SIZE)
        app.page.locator("[data-cy=root_label_container] [role=combobox]").click()
        star = app.page.get_by_role("option", name="star", exact=True)
        star.wait_for()
        for _ in range(6):
            if "active" in star.get_attribute("data-headlessui-state"):
                break
            app.page.keyboard.press("ArrowDown")
            app.page.wait_for_timeout(200)
        app.page.keyboard.press("Enter")
        until_stored(app, terminal, third, ["star"])
        app.page.wait_for_function("sessionStorage['boxloop-class-used-last'] === 'star'")
        app.leave_box()
        app.draw(SMALL, SIZE)
        until_stored(app, terminal, third, ["star", "star"])
        until_stored(app, terminal, first, ["?", "ball"])

        terminal.app().mark()
        app.close_image()
        outcome, text = app.submit()
        assert outcome == "faults"
        assert "has no class chosen yet" in text


def test_a_proposal_from_below_is_taken_once(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        image, page = app.image_name(), app.page
        app.take_from_below()
        expect(listed(app)).to_have_count(5)
        app.delete(BELOW, SIZE)
        until_stored(app, terminal, image, [])
        page.keyboard.press("b")
        offered = page.locator("[data-boxloop=accept]")
        expect(offered).to_have_count(1, timeout=20_000)
        old = offered.first.element_handle()
        app.undo()
        expect(listed(app)).to_have_count(5)
        old.evaluate("(button) => button.click()")  # before it is gone
        expect(offered).to_have_count(0, timeout=20_000)
        expect(app.piece("done")).to_be_enabled(timeout=20_000)
        until_stored(app, terminal, image, ["ball"])
        ids = [box["_id"]["$oid"] for box in stored(terminal, image)]
        assert len(ids) == len(set(ids)) == 5


def test_only_boxes_are_drawn(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        tools = ("segmentation-mode", "polyline-mode", "create-classification")
        for name in (*tools, "open-schema-manager"):
            expect(app.page.locator(f"[data-cy={name}]")).not_to_have_count(0)
            expect(app.page.locator(f"[data-cy={name}]:visible")).to_have_count(0)
        app.pick(A, SIZE)
        app.page.locator("[data-cy=label-menu-trigger]").click()
        app.page.locator("[data-cy=label-menu-delete]").wait_for()
        expect(app.page.locator("[data-cy=label-menu-add-mask]:visible")).to_have_count(0)


def test_a_session_that_ended_without_a_submission_says_so(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        terminal.process.send_signal(signal.SIGINT)
        terminal.ends()
        ended = app.page.locator("[data-boxloop=ended]")
        expect(ended).to_be_visible(timeout=60_000)
        expect(ended).to_contain_text(
            "This session has ended, or cannot be reached: 'boxloop review'"
        )
