"""Cells that are counted anew, by a detector that calls everything one class."""

from boxloop.study.run import run
from boxloop.study.spec import load_spec
from builders_own_detector import module as own_detector
from builders_study import TINY, study_file, table

_PROPOSE = """
        with open(os.environ["TRUTH"]) as file:
            truth = json.load(file)["boxes"]
        places = {i.id: [[v + 1 for v in box["xyxy"]] for box in truth[i.id]] for i in images}
        return {
            i: Boxes.build(own, [self.classes[0]] * len(own), [0.9] * len(own), prefix="p")
            for i, own in places.items()
        }
"""
CONFUSED = own_detector(
    "confused",
    "Finds every object, a pixel off, and calls all of them the first class.",
    _PROPOSE,
    log='os.environ["TRAINED"]',
)


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
