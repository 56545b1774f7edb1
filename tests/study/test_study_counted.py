"""Cells that are counted anew, by a detector that calls everything one class."""

from boxloop.study.run import run
from boxloop.study.spec import load_spec
from builders_study import TINY, study_file, table

CONFUSED = '''
"""Finds every object, a pixel off, and calls all of them the first class."""
import json
import os
from dataclasses import replace

from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes
from boxloop.models.checkpoint import DetectorCheckpoint, write_detector

class Detector:
    name = "confused"
    def __init__(self, classes):
        self.classes = classes
    def train(self, labeled, images, params, progress=None):
        with open(os.environ["TRAINED"], "a") as file:
            print(len(labeled), file=file)
        return replace(TrainingLog.of_nothing(), steps=1, images=len(labeled))
    def propose(self, images, *, score_floor, batch_size, progress=None):
        with open(os.environ["TRUTH"]) as file:
            truth = json.load(file)["boxes"]
        places = {i.id: [[v + 1 for v in box["xyxy"]] for box in truth[i.id]] for i in images}
        return {
            i: Boxes.build(own, [self.classes[0]] * len(own), [0.9] * len(own), prefix="p")
            for i, own in places.items()
        }
    def save(self, path, *, labeled_digest):
        content = (self.name, self.classes, (0, 0), labeled_digest, "none", 1)
        write_detector(path, DetectorCheckpoint(*content))

class Factory:
    name = "confused"
    def create(self, params, classes):
        return Detector(classes)
    def restore(self, checkpoint, device, params=None):
        return Detector(checkpoint.classes)

FACTORY = Factory()
'''


def test_a_changed_study_has_the_numbers_of_one_that_began_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study_detector.py").write_text(CONFUSED)
    trained = tmp_path / "trained.txt"
    monkeypatch.setenv("TRAINED", str(trained))

    def rows(out, **review):
        monkeypatch.setenv("TRUTH", str(tmp_path / out / "shared" / "data" / "truth.json"))
        demo = {"demo": {"images": 12, "video_fraction": 0.0, "size": [64, 64]}}
        sections = {**TINY["set"], "dataset": demo, "review": review}
        given = {"orderings": ["random"], "seeds": [0]}
        detectors = {"mine": {"detector": "study_detector:FACTORY"}}
        path = study_file(tmp_path, set=sections, detectors=detectors, **given)
        run(load_spec(path), tmp_path / out, jobs=1)
        shown = [row for row in table(tmp_path / out / "results.csv") if row["shown"] == "1"]
        return [(row["iou"], row["wt_reduction"]) for row in shown]

    fixed = rows("changed", score_threshold=0.5)
    before = trained.read_text()
    changed = rows("changed", score_threshold="fitted")
    assert trained.read_text() == before
    assert changed == rows("fresh", score_threshold="fitted") != fixed
