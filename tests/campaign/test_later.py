"""Which detector is asked for a class that came later, for which images, and from which score."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from boxloop.campaign import artifacts, class_changes, later, submissions
from boxloop.core.box_set import NOTHING
from boxloop.core.evidence import sweep
from boxloop.core.types import Boxes, Corrections, ImageSet, LabeledSet, Proposals
from boxloop.params import load_params
from builders_sessions import A, B, C, campaign, images, scored

BATCHES = {"b00": images(2, ()), "b01": images(1, first=2), "b02": images(1, first=3)}


def submit(paths, key, classes, labels):
    offered = artifacts.read_proposals(paths.proposals(key))
    boxes = {i: Boxes.build([A, B][: len(labels)], labels) for i in offered.boxes}
    when = f"2024-01-0{int(key[1:]) + 1}T00:00:00+00:00"
    made = Corrections(
        offered, 0.5, "fiftyone", boxes, reviewer="ann", finished=when, classes=classes
    )
    artifacts.write_corrections(paths.corrections(key), made)
    paths.reviews.mkdir(exist_ok=True)
    artifacts.write_corrections(paths.reviews / f"{key}-20240101T000000000000Z-ann.json", made)
    return boxes


@pytest.fixture
def paths(tmp_path):
    """Images of b00 were reviewed without a car; b01's detector knows none, b02's does."""
    made = campaign(tmp_path / "c", BATCHES)
    today = ("cat", "dog", "car")
    artifacts.write_images(made.images, ImageSet(artifacts.read_images(made.images).images, today))
    first = submit(made, "b00", ("cat", "dog"), ["cat"])
    second = submit(made, "b01", today, ["dog", "car"])
    artifacts.write_labeled(made.labeled("b00"), LabeledSet(today, ("b00",), first))
    artifacts.write_labeled(
        made.labeled("b01"), LabeledSet(today, ("b00", "b01"), {**first, **second})
    )
    for key in ("b00", "b01", "b02"):
        made.detector(key).parent.mkdir(parents=True, exist_ok=True)
        made.detector(key).write_bytes(b"weights")
    return made


def ask(paths, wanted="car", **review):
    content = json.loads((paths.root / "params.yaml").read_text())
    content["review"] |= review
    (paths.root / "params.yaml").write_text(json.dumps(content))
    return later.ask(paths, load_params(paths.root / "params.yaml"), wanted)


def test_the_latest_detector_is_asked_for_what_is_not_complete(paths):
    asked = ask(paths)
    assert (asked.turn, asked.threshold) == ("b02", 0.5)
    assert [image.id for image in asked.images] == ["img00", "img01"]
    assert ask(paths, "cat") is None  # all are complete for it
    paths.detector("b02").unlink()
    assert ask(paths) is None  # b01's was trained on b00, where there was no car
    assert ask(paths, "bus") is None


def test_no_detector_is_asked_for_a_name_that_was_another_class_when_it_was_trained(paths):
    """As between ``boxloop classes`` and ``dvc repro``."""
    assert ask(paths) is not None
    today = ("cat", "dog", "van", "car")
    change = class_changes.ClassChange("rename", "car", "van", datetime.now(UTC))
    entry = class_changes.append(paths.reviews, change, today[:3])
    before = artifacts.read_images(paths.images).images
    artifacts.write_images(paths.images, ImageSet(before, today, (entry.name,)))
    assert ask(paths) is None
    for key in ("b00", "b01"):
        made = artifacts.read_corrections(paths.corrections(key))
        changes = class_changes.read(paths.reviews)
        renamed = submissions.named_as_today(made, changes)
        artifacts.write_corrections(paths.corrections(key), renamed)
    assert ask(paths) is not None  # here the labeled set has it still


def test_the_threshold_is_that_of_least_cost_for_the_class(paths):
    assert ask(paths, score_threshold="fitted").threshold == 0.5  # nothing is known
    final = {f"x{i}": Boxes.build([A], ["car"]) for i in range(40)}

    def judged(score):
        good = {i: scored([("car", A, score), ("cat", B, 0.9)]) for i in final}
        return sweep("b01", good, final, (0.5,), 0.05)

    artifacts.write_evidence(paths.evidence("b01"), (judged(0.3),))
    assert ask(paths, score_threshold="fitted").threshold == 0.3  # whatever cats cost
    wrong = {i: scored([("car", C, 0.97)]) for i in final}
    artifacts.write_evidence(paths.evidence("b01"), (sweep("b01", wrong, final, (0.5,), 0.05),))
    assert ask(paths, score_threshold="fitted").threshold == NOTHING


def test_what_is_shown_is_told_from_the_batch_s_own_proposals():
    found = scored([("car", A, 0.8), ("cat", B, 0.9), ("car", C, 0.2), ("car", (5, 5, 9, 9), 0.5)])
    cars = later.of_class(found, "car", 0.5)
    assert cars.scores.tolist() == [0.8, 0.5]
    kept = later.not_boxed(cars, Boxes.build([A, (5, 5, 9, 9)], ["car", "dog"]))
    assert kept.scores.tolist() == [0.5]  # the other is there already
    before = scored([("cat", B, 0.9)])
    named = later.name(kept, "b03", before)
    assert named.ids.tolist() == ["later:b03:0"]
    again = later.name(kept, "b03", named)
    assert again.ids.tolist() == ["later:b03:1"]
    assert named.reach(NOTHING).tolist() == [True]  # only what was shown is stored
    assert np.array_equal(before.reach(NOTHING), [False])


def test_in_words():
    offered = Proposals("b02", "ssd", "", 0.4, {"a": scored([("car", A, 0.8)]), "b": scored([])})
    assert later.in_words(offered, "car").startswith("1 box of car on 1 image")
    none = Proposals("b02", "ssd", "", 0.4, {"a": scored([])})
    assert later.in_words(none, "car") == "the detector of b02 finds no car on these images"
