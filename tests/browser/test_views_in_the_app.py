"""Whatever view a person sets in the App: an edit takes no box away that it does not show."""

import pytest
from app import browser
from playwright.sync_api import expect

from builders_database import require_mongod, wait_until
from builders_sessions import cut
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIZE = (128, 128)
A, B, C = (8, 8, 40, 40), (60, 10, 100, 44), (20, 70, 50, 110)
SET_VIEW = """(view) => {
  window.__foo__.executeOperator("@voxel51/operators/set_view", { view });
}"""
CAT = {"$eq": ["$$this.label", "cat"]}
BOXES = ("field", "boxes")


@pytest.fixture
def folder(tmp_path):
    require_mongod()
    root = tmp_path / "my campaign"
    rows = (("cat", A, 0.9), ("dog", B, 0.8), ("cat", C, 0.6))
    cut(root, {"b00": dict.fromkeys(("one", "two"), rows)}, size=SIZE)
    return root


def hiding(stored):
    """Views whose images would not be whole."""
    ids = [box["_id"]["$oid"] for box in stored["one"][:1]]
    return {
        "FilterLabels": [BOXES, ("filter", CAT)],
        "FilterField": [("field", "boxes.detections"), ("filter", CAT)],
        "LimitLabels": [BOXES, ("limit", 1)],
        "MapLabels": [BOXES, ("map", {"cat": "dog"})],
        "ExcludeLabels": [("ids", ids), ("fields", "boxes")],
        "SelectLabels": [("ids", ids), ("fields", "boxes")],
        "ExcludeFields": [("field_names", ["boxes.detections.confidence"])],
        "SelectFields": [("field_names", ["filepath"])],
    }


def choosing(samples):
    """Views of whole images."""
    return {
        "Exclude": [("sample_ids", [samples["one"]])],
        "ExcludeBy": [("field", "position"), ("values", [0])],
        "Exists": [("field", "boxes"), ("bool", True)],
        "Limit": [("limit", 1)],
        "Match": [("filter", {"boxes.detections.label": "dog"})],
        "MatchLabels": [("filter", CAT), ("fields", "boxes")],
        "MatchTags": [("tags", ["reviewed"]), ("bool", False)],
        "Select": [("sample_ids", [samples["two"]])],
        "SelectBy": [("field", "position"), ("values", [1])],
        "Shuffle": [("seed", 3)],
        "Skip": [("skip", 1)],
        "SortBy": [("field_or_expr", {"$size": "$boxes.detections"}), ("reverse", True)],
        "Take": [("size", 1), ("seed", 3)],
    }


class Stored:
    """What is in the database: a box that was drawn counts as one, every other one must stay."""

    def __init__(self, client):
        self._client = client
        self.boxes = self.read()

    def read(self):
        samples = self._client.samples()
        return {i: self._client.record(i)[0]["boxes"]["detections"] for i in samples}

    def has_one_more(self, image, what):
        def drawn():
            return len(self.read()[image]) > len(self.boxes[image])

        wait_until(drawn)
        now = self.read()
        for i, boxes in self.boxes.items():
            assert now[i][: len(boxes)] == boxes, what
            assert len(now[i]) == len(boxes) + (i == image), what
        self.boxes = now


def draw_one(app, stored, what):
    """Draws into the first image of the grid."""
    app.open(0)
    image = app.image_name()
    count = sum(map(len, stored.boxes.values()))
    x, y = 70 + 12 * (count % 4), 60 + 10 * (count // 4 % 6)
    app.draw((x, y, x + 9, y + 8), SIZE)
    app.page.wait_for_timeout(1000)
    stored.has_one_more(image, what)
    app.close_image()


def set_view(app, stages):
    described = [
        {"_cls": f"fiftyone.core.stages.{name}", "kwargs": [list(pair) for pair in kwargs]}
        for name, kwargs in stages.items()
    ]
    app.page.evaluate(SET_VIEW, described)
    app.page.wait_for_timeout(1500)


def test_a_label_filter_that_is_made_a_view(folder):
    with review(folder, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        page, stored = app.page, Stored(terminal.app())
        page.locator("[data-cy=sidebar-field-arrow-enabled-boxes]").click()
        search = page.locator("[data-cy='selector-sidebar-search-boxes.detections.label']")
        search.click()
        search.fill("cat")
        page.wait_for_timeout(800)
        page.keyboard.press("Enter")
        button = page.locator("[data-cy=action-convert-filters-to-view-stages]")
        expect(button).not_to_have_count(0)
        expect(
            page.locator("[data-cy=action-convert-filters-to-view-stages]:visible")
        ).to_have_count(0)
        draw_one(app, stored, "a filter in the sidebar")

        button.first.evaluate("(element) => element.click()")
        page.get_by_text("a review shows whole images").wait_for()
        draw_one(app, stored, "a filter that was to become a view")


def test_every_stage_of_a_view(folder):
    with review(folder, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        client = terminal.app()
        stored = Stored(client)
        for name, kwargs in hiding(stored.boxes).items():
            set_view(app, {name: kwargs})
            expect(app.piece("failure")).to_contain_text(f"a view with {name} hides")
        draw_one(app, stored, "views that were refused")
        for name, kwargs in choosing(client.samples()).items():
            set_view(app, {name: kwargs})
            expect(app.piece("failure")).to_be_hidden()
            draw_one(app, stored, name)
