"""Second and third looks in a real browser: --also, then --disagreements, then --qa."""

from dataclasses import replace

import pytest
from app import browser

from boxloop import pipeline
from boxloop.campaign import artifacts, second_looks, submissions
from boxloop.campaign.campaign import Campaign
from boxloop.core.rechecking import recheck_work
from boxloop.params import load_params
from builders_database import require_mongod, wait_until
from builders_reviews import submission
from builders_sessions import cut
from builders_terminals import review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIZE = (128, 128)
A, B = (8, 8, 40, 40), (60, 10, 100, 44)


@pytest.fixture
def paths(tmp_path):
    rows = (("cat", A, 0.9), ("dog", B, 0.8))
    batches = {"b00": {"zero": ()}, "b01": dict.fromkeys(("one", "two", "three"), rows)}
    return cut(tmp_path / "my campaign", batches, size=SIZE)


def submit(paths, key, *, without=None):
    """What ann makes of a batch: its proposals, but for the first box of one image."""
    offered = artifacts.read_proposals(paths.proposals(key))
    truth = {i: replace(b.above(0.5), scores=None) for i, b in offered.boxes.items()}
    if without:
        truth[without] = truth[without].select(truth[without].labels != "cat")
    submissions.append(paths.reviews, submission(offered, truth, reviewer="ann"))


def collected(paths, key):
    """The corrections, as the stages make them of the journal."""
    campaign = Campaign(paths, load_params(paths.root / "params.yaml"))
    pipeline.review(campaign, key)
    pipeline.account(campaign, key)
    return artifacts.read_corrections(paths.corrections(key))


def test_two_people_a_third_and_what_may_be_wrong(paths):
    require_mongod()
    folder = paths.root
    submit(paths, "b00")
    submit(paths, "b01", without="two")

    also = ("b01", "--reviewer", "bob", "--also")
    with review(folder, *also) as terminal, browser(terminal.address()) as app:
        assert "Opening 3 images of b01 for a second look by bob." in terminal.said()
        app.start()
        assert app.image_name() == "one"
        app.relabel(A, SIZE, "dog")
        app.done()
        app.comes_to("labels", ["cat", "dog"])  # what ann took away is proposed again
        app.delete(A, SIZE)
        app.done()
        app.done()
        outcome, text = app.submit()
        assert outcome == "submitted", text
        assert "4 kept, 0 moved, 1 relabeled, 1 removed, 0 added" in text
        assert terminal.ends() == 0
        assert "Next: dvc repro --single-item --force report" in terminal.said()

    third = ("b01", "--reviewer", "eve", "--disagreements")
    with review(folder, *third) as terminal, browser(terminal.address()) as app:
        app.page.get_by_text("These boxes are two people's.").wait_for()
        assert "Where two people differ" in app.piece("notes").inner_text()
        app.piece("note").click()
        app.wait_for_image()
        assert app.image_name() == "one"
        assert "ann says 'cat' at (8, 8), bob 'dog'" in app.piece("notes").inner_text()
        app.comes_to("labels", ["cat", "dog", "dog"])
        app.delete(A, SIZE)  # the one on top, either
        wait_until(lambda: len(app.labels()) == 2)
        left = app.labels()
        app.done()
        app.comes_to("progress", (1, 1))
        outcome, text = app.submit()
        assert outcome == "submitted", text
        assert terminal.ends() == 0
        assert "Next: dvc repro" in terminal.said()
    decided = submissions.latest(submissions.read(paths.reviews))["one"]
    assert sorted(decided.boxes["one"].labels.tolist()) == left
    assert second_looks.read(paths, ["b01"]).images[0].decided.reviewer == "eve"
    before = [collected(paths, key) for key in ("b00", "b01")][1]

    qa = ("--qa", "1", "--reviewer", "kim")
    with review(folder, *qa) as terminal, browser(terminal.address()) as app:
        app.page.get_by_text("These boxes are the labels that count.").wait_for()
        app.start()
        assert app.image_name() == "two"
        notes = app.piece("notes").inner_text()
        assert "What may be wrong" in notes
        assert "no label where a 'cat' (score 0.90) is proposed" in notes
        app.comes_to("labels", ["dog"])
        app.draw(A, SIZE, "cat")
        app.page.screenshot(path=folder / "qa.png")
        app.done()
        outcome, text = app.submit()
        assert outcome == "submitted", text
        assert "Second look: 1 image with 2 boxes is submitted again by kim." in text
        assert terminal.ends() == 0
    after = collected(paths, "b01")
    work = recheck_work([after])
    assert (work.images, work.changed, work.edits.added, work.people) == (1, 1, 1, ("kim",))
    assert sorted(after.boxes["two"].labels.tolist()) == ["cat", "dog"]
    assert artifacts.read_workload(paths.workload("b01")).edits.added == 0
    assert before.boxes["two"].labels.tolist() == ["dog"]
