"""The dot beside Edit is green when everything is stored, whatever happens to the database."""

import pytest
from app import browser

from builders_database import require_mongod, wait_until
from builders_sessions import cut
from builders_terminals import kill, processes, review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIZE = (128, 128)
A = (8, 8, 40, 40)
COLOUR = "(dot) => getComputedStyle(dot).color"


@pytest.fixture
def folder(tmp_path):
    require_mongod()
    root = tmp_path / "my campaign"
    cut(root, {"b00": dict.fromkeys(("one", "two"), (("cat", A, 0.9),))}, size=SIZE)
    return root


def dot(app):
    """Red, green and blue of the dot."""
    found = app.page.locator("[role=status][class*=_indicator_] svg").evaluate(COLOUR)
    return tuple(int(part) for part in found.strip("rgba()").split(",")[:3])


def is_green(app):
    red, green, _ = dot(app)
    return green > red


def labels(terminal):
    return [box["label"] for box in terminal.app().record("one")[0]["boxes"]["detections"]]


def test_the_dot_is_green_for_what_is_stored_alone(folder):
    with review(folder, "--reviewer", "ann") as terminal, browser(terminal.address()) as app:
        app.start()
        assert is_green(app)
        database = processes(folder)["mongod"]
        for process in database:
            process.suspend()
        try:
            app.draw((75, 75, 85, 85), SIZE, "dog")
            wait_until(lambda: not is_green(app))
            said = app.piece("error")
            said.wait_for()
            assert said.inner_text().startswith("The review session does not answer (")
        finally:
            for process in database:
                process.resume()
        app.piece("error").wait_for(state="hidden")
        app.page.wait_for_timeout(2000)
        wait_until(lambda: is_green(app))
        assert labels(terminal) == ["cat", "dog"]

        kill(folder, "keeper", "mongod")
        app.draw((95, 75, 105, 85), SIZE, "dog")
        wait_until(lambda: len(processes(folder)["mongod"]) == 1)
        app.page.wait_for_timeout(6000)
        wait_until(lambda: is_green(app))
        assert labels(terminal) == ["cat", "dog", "dog"]
