"""A second and a third look in a terminal, through all that stands before the App."""

from dataclasses import replace

import pytest

from boxloop.campaign import artifacts, second_looks, submissions
from builders_reviews import submission
from builders_terminals import review

pytestmark = [pytest.mark.timeout(400), pytest.mark.slow]


def test_a_second_person_looks_and_a_third_decides(make_campaign):
    paths = make_campaign(count=2)
    offered = artifacts.read_proposals(paths.proposals("b00"))
    truth = {i: replace(b.above(0.5), scores=None) for i, b in offered.boxes.items()}
    submissions.append(paths.reviews, submission(offered, truth, reviewer="ann"))
    with review(paths.root, "b00", "--reviewer", "bob", "--also") as terminal:
        app = terminal.app()
        assert "Opening 2 images of b00 for a second look by bob." in terminal.said()
        app.relabel("img00", "p0", "dog")
        app.mark()
        summary = app.submit()["summary"]
        assert "Second look at batch b00: 2 images with 6 boxes are submitted by bob." in summary
        assert "5 kept, 0 moved, 1 relabeled, 0 removed, 0 added" in summary
        assert terminal.ends() == 0
        assert "Next: dvc repro --single-item --force report" in terminal.said()
    with review(paths.root, "b00", "--reviewer", "eve", "--disagreements") as terminal:
        app = terminal.app()
        assert set(app.samples()) == {"img00"}
        app.delete("img00", "p0")
        app.mark()
        app.submit()
        assert terminal.ends() == 0
        assert "Next: dvc repro" in terminal.said()
    label = submissions.latest(submissions.read(paths.reviews))["img00"]
    assert sorted(label.boxes["img00"].labels.tolist()) == ["cat", "dog", "dog"]
    assert second_looks.read(paths, ["b00"]).images[0].decided.reviewer == "eve"
