"""A batch with a blind image and planted errors in a real browser, killed in the middle."""

import json

import numpy as np
import pytest
from app import browser

from boxloop.campaign import submissions
from builders_database import require_mongod, wait_until
from builders_sessions import campaign
from builders_terminals import kill, nothing_runs, review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIZE = (128, 128)
A, B = (8, 8, 40, 40), (60, 10, 100, 44)
# By this seed the second image is blind, the cat of the third is shifted, that of the fourth a dog.
TRIED = {"review": {"annotator": "fiftyone", "score_threshold": 0.5, "seed": 4,
                    "blind_fraction": 0.25, "plant_fraction": 0.34}}  # fmt: skip


@pytest.fixture
def paths(tmp_path):
    rows = (("cat", A, 0.9), ("dog", B, 0.8))
    table = dict.fromkeys(("one", "two", "three", "four"), rows)
    batches = {"b00": {"zero": ()}, "b01": table}
    return campaign(tmp_path / "my campaign", batches, size=SIZE, params=TRIED)


def test_caught_missed_and_opened_again(paths):
    require_mongod()
    folder = paths.root
    with (
        review(folder, "b01", "--reviewer", "ann") as terminal,
        browser(terminal.address()) as app,
    ):
        app.start()
        app.comes_to("labels", ["cat", "dog"])
        app.done()
        app.comes_to("labels", [])
        wait_until(lambda: terminal.app().reviewed() == {"one"})  # stored, not only shown
        kill(folder, "session", "server", "keeper", "mongod")
        assert terminal.ends() != 0
    wait_until(lambda: nothing_runs(folder))

    with review(folder, "b01", "--reviewer", "ann") as terminal:
        with browser(terminal.address()) as app:
            app.comes_to("progress", (1, 4))
            app.start()
            app.comes_to("labels", [])
            app.draw(A, SIZE, "cat")
            app.draw(B, SIZE, "dog")
            app.done()
            app.comes_to("labels", ["cat", "dog"])  # nothing tells that one of them is shifted
            assert not app.page.locator("[data-boxloop=hints]").count()
            app.done()
            app.comes_to("labels", ["dog", "dog"])
            app.relabel(A, SIZE, "cat")
            app.done()
            outcome, text = app.submit()
            assert outcome == "submitted", text
            assert "missed" in text
        assert terminal.ends() == 0
        assert terminal.said().rstrip().endswith("Next: boxloop review b01 --planted")
    wait_until(lambda: nothing_runs(folder))

    with review(folder, "b01", "--reviewer", "ann") as terminal:  # nothing else waits in it
        with browser(terminal.address()) as app:
            assert "Opening 1 image of batch b01 again" in terminal.said()
            app.comes_to("progress", (0, 1))
            app.start()
            assert app.image_name() == "three"
            assert "this was planted, and was missed" in app.piece("hints").inner_text()
            app.page.screenshot(path=folder / "planted.png")
            app.done()
            outcome, text = app.submit()
            assert outcome == "submitted", text
        assert terminal.ends() == 0
        assert terminal.said().rstrip().endswith("Next: dvc repro")

    newest = submissions.latest(submissions.read(paths.reviews))
    assert {i: (i in made.blind) for i, made in newest.items()} == {
        "one": False, "two": True, "three": False, "four": False,
    }  # fmt: skip
    states = {
        i: [(e.kind, e.state, e.reviewer) for e in newest[i].planted.get(i, ())] for i in newest
    }
    assert states == {
        "one": [], "two": [],
        "three": [("shifted", "mended", "ann")], "four": [("relabeled", "caught", "ann")],
    }  # fmt: skip
    for image_id, made in newest.items():
        boxes = made.boxes[image_id]
        order = np.argsort(boxes.labels)
        assert boxes.labels[order].tolist() == ["cat", "dog"]
        # What was drawn by hand is right to a pixel or two, the detector's to the last digit.
        assert np.abs(boxes.xyxy[order] - [A, B]).max() <= (2 if image_id == "two" else 0)
    first = json.loads(min(paths.reviews.glob("b01-*.json")).read_text())
    assert first["edits"]["two"] == {
        "kept": 0,
        "moved": 0,
        "relabeled": 0,
        "removed": 0,
        "added": 2,
    }
    assert first["edits"]["four"]["kept"] == 2  # what was planted is no work
