"""What the App offers in a review is what works; what the panel counts, it says."""

import pytest
from app import browser
from playwright.sync_api import expect

from builders_database import require_mongod
from builders_sessions import cut
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIZE = (128, 128)
A, B = (8, 8, 40, 40), (60, 10, 100, 44)
REFUSED = (
    *("action-tag-sample-labels", "action-sort-by-similarity", "action-clips-patches"),
    *("action-color-settings", "field-visibility-icon", "new-panel-btn"),
)


def test_buttons_that_work_and_images_that_count(tmp_path):
    require_mongod()
    folder = tmp_path / "my campaign"
    rows = (("cat", A, 0.9), ("dog", B, 0.8))
    cut(folder, {"b00": dict.fromkeys(("one", "two"), rows)}, size=SIZE)
    with review(folder, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.page.locator("[data-cy=action-toggle-sidebar]").first.wait_for()
        for name in REFUSED:  # they are of this version of the App, and not to be seen
            expect(app.page.locator(f"[data-cy={name}]")).not_to_have_count(0)
            expect(app.page.locator(f"[data-cy={name}]:visible")).to_have_count(0)
        app.start()
        expect(app.page.locator("[data-cy=action-color-settings]")).not_to_have_count(0)
        expect(app.page.locator("[data-cy=action-color-settings]:visible")).to_have_count(0)
        app.close_image()

        person = terminal.app()
        person.move("two", "p0", (-20, 8, 40, 40), SIZE)
        person.mark()
        expect(app.piece("not-counted")).to_have_text("1 image with a fault is not counted")
        app.comes_to("progress", (2, 2))
        assert app.counts()["boxes"] == 2
        person.move("two", "p0", A, SIZE)
        expect(app.piece("not-counted")).to_be_hidden()
        assert app.counts()["boxes"] == 4
