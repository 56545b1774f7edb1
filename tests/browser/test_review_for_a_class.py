"""Boxes that are there before, in a real browser: labels to check, a class that came late."""

import json

import pytest
from app import browser

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.existing import as_proposals
from boxloop.core.types import Boxes, Corrections, ImageSet, LabeledSet, Proposals
from builders_database import require_mongod, wait_until
from builders_sessions import campaign
from builders_terminals import nothing_runs, review

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

SIZE = (128, 128)
A, B, C, D = (8, 8, 40, 40), (60, 10, 100, 44), (20, 70, 50, 110), (75, 75, 115, 118)
TODAY = ("cat", "dog", "car")

DETECTOR = f'''
from boxloop.core.types import Boxes

class Sure:
    """Sees a car at two places of every image, is in doubt at a third, and takes cats for dogs."""

    def __init__(self, classes):
        self.name, self.classes = "sure:FACTORY", classes

    def propose(self, images, *, score_floor, batch_size, progress=None):
        rows = ([{A}, {B}, {C}, {D}], ["dog", "car", "car", "car"], [0.95, 0.9, 0.7, 0.4])
        found = Boxes.build(*rows, prefix="p").above(score_floor)
        return {{image.id: found for image in images}}

class Factory:
    name = "sure"

    def restore(self, checkpoint, device, params=None):
        return Sure(checkpoint.classes)

FACTORY = Factory()
'''


@pytest.fixture
def paths(tmp_path):
    """Two images of b01 were reviewed without a car; the detector of b02 knows cars."""
    from boxloop.models.checkpoint import DetectorCheckpoint, write_detector

    table = {"one": (("cat", A, 0.9),), "two": (("cat", A, 0.9),)}
    batches = {"b00": {"zero": ()}, "b01": table, "b02": {"three": ()}}
    folder = tmp_path / "my campaign"
    folder.mkdir()
    (folder / "sure.py").write_text(DETECTOR)
    train = {"detector": "sure:FACTORY", "steps": 1, "weights": "none"}
    made = campaign(folder, batches, size=SIZE, params={"train": train})
    images = artifacts.read_images(made.images).images
    artifacts.write_images(made.images, ImageSet(images, TODAY))
    made.reviews.mkdir()
    for key, classes in (("b00", TODAY), ("b01", ("cat", "dog"))):
        offered = artifacts.read_proposals(made.proposals(key))
        final = {i: boxes.select(boxes.scores > 0) for i, boxes in offered.boxes.items()}
        final = {i: Boxes(b.xyxy, b.labels, b.ids) for i, b in final.items()}
        item = Corrections(
            *(offered, 0.5, "fiftyone", final),
            reviewer="ann",
            finished="2024-01-01T00:00:00+00:00",
            classes=classes,
        )
        artifacts.write_corrections(made.reviews / f"{key}-20240101T000000000000Z-ann.json", item)
    known = {"zero": Boxes.build([B], ["car"])}
    artifacts.write_labeled(made.labeled("b01"), LabeledSet(TODAY, ("b00",), known))
    made.detector("b02").parent.mkdir(parents=True)
    checkpoint = DetectorCheckpoint("sure:FACTORY", TODAY, (0, 0), "0" * 64, "none", 1)
    write_detector(made.detector("b02"), checkpoint)
    return made


def test_proposals_of_the_class_are_accepted_and_deleted(paths: CampaignPaths):
    require_mongod()
    folder = paths.root
    with review(folder, "--for", "car", "--reviewer", "ann") as terminal:
        with browser(terminal.address()) as app:
            words = "4 boxes of car on 2 images, which the detector of b02 proposes"
            assert f"Beside the labels: {words}, shown from a score of 0.5." in terminal.said()
            assert app.piece("shown").inner_text().startswith(f"Beside the labels: {words}")
            app.page.get_by_text("Look for car: it could not be chosen").wait_for()
            app.start()
            app.page.screenshot(path=folder / "for.png")
            app.done()  # both are right
            app.delete(C, SIZE)
            app.draw(D, SIZE, "car")
            app.done()
            outcome, text = app.submit()
            assert outcome == "submitted", text
        assert terminal.ends() == 0
    assert "Review for car: 2 images with 6 boxes are submitted again by ann." in terminal.said()
    newest = json.loads(max(paths.reviews.glob("b01-*.json")).read_text())
    found = {i: sorted(row["label"] for row in rows) for i, rows in newest["boxes"].items()}
    assert found == {"one": ["car", "car", "cat"], "two": ["car", "car", "cat"]}
    assert next(row["xyxy"] for row in newest["boxes"]["two"]) == list(A)
    edits = newest["edits"]
    assert (edits["one"]["kept"], edits["two"]["kept"]) == (3, 2)
    assert (edits["two"]["removed"], edits["two"]["added"]) == (1, 1)
    wait_until(lambda: nothing_runs(folder))


def test_labels_that_exist_are_checked_as_proposals(tmp_path):
    require_mongod()
    made = campaign(tmp_path / "my campaign", {"b00": {"one": (), "two": ()}}, size=SIZE)
    found = as_proposals(Boxes.build([A, B, C], ["cat", "dog", "cat"]))
    boxes = {"one": found, "two": Boxes.empty(scored=True)}
    offered = Proposals("b00", "empty, labels", "0" * 64, 0.05, boxes)
    artifacts.write_proposals(made.proposals("b00"), offered)
    with review(made.root, "b00", "--reviewer", "ann") as terminal:
        with browser(terminal.address()) as app:
            app.page.get_by_text("The boxes that you see are proposals.").wait_for()
            app.start()
            app.page.screenshot(path=made.root / "labels.png")
            app.relabel(B, SIZE, "cat")
            app.delete(C, SIZE)
            app.done()
            app.draw(D, SIZE, "dog")
            app.done()
            outcome, text = app.submit()
            assert outcome == "submitted", text
        assert terminal.ends() == 0
    assert "1 kept, 0 moved, 1 relabeled, 1 removed, 1 added" in terminal.said()
    wait_until(lambda: nothing_runs(made.root))
