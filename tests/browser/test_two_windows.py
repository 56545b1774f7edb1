"""One session in two windows of the browser: what is drawn in one is not lost by the other."""

import signal

import pytest
from app import App, browser
from playwright.sync_api import expect

from builders_database import SECONDS, require_mongod, wait_until
from builders_sessions import cut
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIZE = (128, 128)
A, B, C = (8, 8, 40, 40), (60, 10, 100, 44), (20, 70, 50, 110)
FREE = (75, 75, 115, 118)


@pytest.fixture
def folder(tmp_path):
    require_mongod()
    rows = (("cat", A, 0.9), ("dog", B, 0.8), ("cat", C, 0.7))
    root = tmp_path / "my campaign"
    cut(root, {"b00": dict.fromkeys(("one", "two"), rows)}, size=SIZE)
    return root


def another_window(app):
    page = app.page.context.new_page()
    page.set_default_timeout(1000 * SECONDS)
    page.goto(app.page.url)
    page.wait_for_selector("[data-boxloop=panel] [data-boxloop]")
    return App(page)


def boxes(terminal):
    """What is stored of the first image."""
    return terminal.app().record("one")[0]["boxes"]["detections"]


def listed(app):
    return app.page.locator("[data-cy^=annotate-label-]")


def test_an_edit_of_older_boxes_is_said_and_takes_none_away(folder):
    with review(folder, "--reviewer", "ann") as terminal, browser(terminal.address()) as here:
        here.start()
        there = another_window(here)
        there.wait_for_image()
        here.page.bring_to_front()
        here.draw(FREE, SIZE, "dog")
        before = boxes(terminal)
        here.move(B, SIZE, (6, 5))
        # The drawn box, and the other place of the moved one.
        wait_until(lambda: len(boxes(terminal)) == 4 and before[1] not in boxes(terminal))
        stored = boxes(terminal)

        there.page.bring_to_front()
        there.delete(A, SIZE)
        said = there.piece("failure")
        said.wait_for()
        assert said.inner_text().startswith("one was edited in another window meanwhile, so your")
        there.wait_for_image()
        expect(listed(there)).to_have_count(4)
        there.comes_to("labels", ["cat", "cat", "dog", "dog"])
        there.page.wait_for_timeout(3000)
        assert boxes(terminal) == stored

        # The window goes on from there, and the other one is told in its turn.
        there.delete(A, SIZE)
        expect(listed(there)).to_have_count(3)
        wait_until(lambda: len(boxes(terminal)) == 3)
        assert sorted(box["label"] for box in boxes(terminal)) == ["cat", "dog", "dog"]
        here.page.bring_to_front()
        here.delete(C, SIZE)
        here.piece("failure").wait_for()
        here.wait_for_image()
        here.comes_to("labels", ["cat", "dog", "dog"])


def test_every_window_keeps_that_the_batch_was_submitted(folder):
    with review(folder, "--reviewer", "ann") as terminal, browser(terminal.address()) as here:
        beside = another_window(here).page
        elsewhere = here.page.context.browser.new_context().new_page()
        elsewhere.set_default_timeout(1000 * SECONDS)
        elsewhere.goto(terminal.address())
        elsewhere.wait_for_selector("[data-boxloop=panel] [data-boxloop]")
        here.page.bring_to_front()
        terminal.app().mark()
        put_out_of_sight(beside)
        terminal.process.send_signal(signal.SIGSTOP)  # it ends the App two seconds after it is told
        outcome, _ = here.submit()
        assert outcome == "submitted"
        elsewhere.wait_for_selector("[data-boxloop=submitted]")
        terminal.process.send_signal(signal.SIGCONT)
        assert terminal.ends() == 0
        for page in (here.page, beside, elsewhere):
            kept = page.locator("[data-boxloop=kept]")
            expect(kept).to_be_visible()
            expect(kept).to_contain_text("Submitted. Thank you!")
            expect(kept).to_contain_text("6 kept, 0 moved, 0 relabeled, 0 removed, 0 added")
            page.wait_for_timeout(3000)
            expect(kept).to_be_visible()


def put_out_of_sight(page):
    """What a page is told of its tab when another one is looked at; no tab of a test is hidden."""
    page.evaluate("Object.defineProperty(document, 'visibilityState', {get: () => 'hidden'})")
