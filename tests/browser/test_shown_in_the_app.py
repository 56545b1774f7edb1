"""What is marked as reviewed is what was on the screen: no field is hidden, no filter either."""

import pytest
from app import browser
from playwright.sync_api import expect

from builders_database import require_mongod
from builders_sessions import cut, images
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = (128, 128)
A, B, C, D = (8, 8, 40, 40), (60, 10, 100, 44), (20, 70, 50, 110), (75, 75, 115, 118)
ROWS = (("cat", A, 0.9), ("dog", B, 0.8), ("cat", C, 0.7), ("dog", D, 0.6))
TICK = "[data-cy=checkbox-boxes]"


@pytest.fixture
def folder(tmp_path):
    require_mongod()
    root = tmp_path / "my campaign"
    cut(root, {"b00": images(1, ()), "b01": images(4, ROWS, first=1)}, size=SIZE)
    return root


def listed(app):
    return app.page.locator("[data-cy^=annotate-label-]")


def untick(app, where=""):
    """A click on what is not offered."""
    tick = app.page.locator(f"{where} {TICK}").first
    tick.wait_for(state="attached")
    tick.evaluate("(element) => element.click()")


def test_the_field_of_the_boxes_is_never_hidden(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        page = app.page
        untick(app)
        app.open(0)
        expect(listed(app)).to_have_count(4)

        page.locator("[data-cy=explore]").click()
        untick(app, "[data-cy=modal]")
        expect(page.locator(f"{TICK}:visible")).to_have_count(0)
        page.locator("[data-cy=annotate]").click()
        expect(listed(app)).to_have_count(4)
        app.done(key=True)
        expect(listed(app)).to_have_count(4)

        # What an earlier version left in the browser.
        page.evaluate(
            """() => {
                const kept = JSON.parse(sessionStorage.getItem("activeFields"));
                kept.activeFields = kept.activeFields.filter((path) => path !== "boxes");
                sessionStorage.setItem("activeFields", JSON.stringify(kept));
            }"""
        )
        page.reload()
        app.wait_for_image()
        expect(listed(app)).to_have_count(4)


def test_images_whose_boxes_a_filter_hides_are_not_marked_in_the_grid(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        page = app.page
        app.select(0, 1, 2)
        mark = app.piece("mark-selected")
        expect(mark).to_be_enabled()
        page.locator("[data-cy=sidebar-field-arrow-enabled-boxes]").click()
        search = page.locator("[data-cy='selector-sidebar-search-boxes.detections.label']")
        search.click()
        search.fill("cat")
        page.get_by_text("cat", exact=True).locator("visible=true").first.wait_for()
        page.keyboard.press("Enter")
        expect(mark).to_be_disabled(timeout=30_000)
        expect(app.piece("filtered")).to_contain_text("A filter in the sidebar hides boxes")
        page.evaluate(
            "() => { window.__foo__.executeOperator('@voxel51/operators/clear_sidebar_filters') }"
        )
        app.piece("filtered").wait_for(state="hidden")
        expect(mark).to_be_enabled()
        mark.click()
        app.comes_to("progress", (3, 4))


def test_the_panel_names_the_open_image_while_the_mark_of_the_one_before_is_late(folder):
    with review(folder, "b01", "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        page, held, holding = app.page, [], []

        def asks(request, name):
            return f"/{name}" in (request.post_data or "")

        def hold(route):
            names = ("set_reviewed", "overview")
            if holding and any(asks(route.request, name) for name in names):
                held.append(route)
            else:
                route.continue_()

        page.route("**/operators/execute", hold)
        app.start()
        app.done(key=True)
        second, address = app.image_name(), page.url
        with page.expect_response(lambda answer: asks(answer.request, "overview")):
            pass
        holding.append(True)  # from here on, nothing else has the panel drawn anew
        page.keyboard.press("d")
        expect(page).not_to_have_url(address)
        expect(app.piece("image")).not_to_have_text(second, timeout=20_000)
        expect(app.piece("state")).to_have_text("not reviewed yet")
        holding.clear()
        for route in held:
            route.continue_()
        app.comes_to("progress", (2, 4))
        assert second in terminal.app().reviewed()
