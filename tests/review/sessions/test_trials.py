"""Blind images and planted errors in `boxloop review`: killed in the middle, and opened again."""

import pytest

from boxloop.campaign import submissions
from builders_database import wait_until
from builders_terminals import kill, nothing_runs, review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TRIED = {"review": {"annotator": "fiftyone", "score_threshold": 0.5, "seed": 4,
                    "blind_fraction": 0.25, "plant_fraction": 0.3}}  # fmt: skip


def on_screen(app):
    return {i: app.record(i)[0]["boxes"]["detections"] for i in app.samples()}


def test_trials_outlive_a_kill_and_what_was_missed_opens_by_itself(make_campaign):
    paths = make_campaign(count=6, params=TRIED)
    folder = paths.root
    with review(folder, "--reviewer", "ann") as terminal:
        app = terminal.app()
        before = on_screen(app)
        app.mark("img00")
        kill(folder, "session", "server", "keeper", "mongod")
        wait_until(lambda: nothing_runs(folder), 15)

    with review(folder, "--reviewer", "bob") as terminal:
        app = terminal.app()
        assert on_screen(app) == before
        app.mark()
        assert "missed" in app.submit()["summary"]
        assert terminal.ends() == 0
        assert terminal.said().rstrip().endswith("Next: boxloop review b00 --planted")
    (made,) = submissions.read(paths.reviews)
    assert set(made.blind) == {i for i, boxes in before.items() if not boxes}
    assert made.blind
    assert made.missed
    wait_until(lambda: nothing_runs(folder), 15)

    with review(folder, "--reviewer", "ann") as terminal:
        app = terminal.app()
        assert f"Opening {len(made.missed)} images of batch b00 again" in terminal.said()
        assert list(app.samples()) == made.missed
        app.mark()
        assert "looked at again" in app.submit()["summary"]
        assert terminal.ends() == 0
        assert terminal.said().rstrip().endswith("Next: dvc repro")
    newest = submissions.latest(submissions.read(paths.reviews))
    for image_id, found in newest.items():
        wanted = [] if image_id in made.blind else ["p0", "p1", "p2"]
        assert sorted(found.boxes[image_id].ids.tolist()) == wanted
        assert found.missed == [] or image_id not in found.missed
