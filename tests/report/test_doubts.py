"""The list and the page of the images whose labels are likely to hold an error."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from boxloop.campaign import artifacts, class_changes
from boxloop.campaign.doubts import find_suspects
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes, Corrections, Proposals
from boxloop.errors import UserError
from boxloop.params import load_params
from boxloop.pipeline.qa import qa_text
from builders_sessions import A, B, C, D, campaign, scored

OFFERED = (("cat", A, 0.9), ("dog", B, 0.8), ("cat", C, 0.7))
RIGHT = (("cat", A), ("dog", B), ("cat", C))
LABELS = {
    "img0": RIGHT,
    "img1": RIGHT[1:],  # overlooked
    "img2": (("dog", A), *RIGHT[1:]),
    "img3": (("cat", (10, 10, 30, 22)), *RIGHT[1:]),
    "img4": (*RIGHT, ("dog", D)),
    "img5": RIGHT,
}


def labels(rows):
    return Boxes.build([box for _, box in rows], [label for label, _ in rows])


@pytest.fixture
def paths(tmp_path):
    table = dict.fromkeys(LABELS, OFFERED)
    table["img2"] = (*OFFERED[1:], ("cat", A, 0.9), ("dog", A, 0.1))
    made = campaign(tmp_path / "c", {"b00": {"first": ()}, "b01": table, "b02": {"last": OFFERED}})
    for key, final in (("b00", {"first": RIGHT}), ("b01", LABELS)):
        offered = artifacts.read_proposals(made.proposals(key))
        boxes = {image_id: labels(rows) for image_id, rows in final.items()}
        artifacts.write_corrections(
            made.corrections(key), Corrections(offered, 0.5, "simulated", boxes)
        )
    return made


def test_list_and_page(paths):
    params = load_params(paths.root / "params.yaml")
    suspects = find_suspects(paths, params, 4)
    assert [s.rank for s in suspects] == [1, 2, 3, 4]
    reasons = {s.image.id: s.reason for s in suspects}
    assert reasons["img1"] == (
        "no label where a 'cat' (score 0.90) is proposed, at (10, 10) to (30, 30)"
    )
    assert reasons["img2"] == (
        "the label 'dog' looks like a 'cat' (score 0.90), IoU 1.00, at (10, 10) to (30, 30)"
    )
    assert reasons["img3"] == (
        "the label 'cat' lies beside the proposal of its class: IoU 0.60 with a 'cat'"
        " (score 0.90), at (10, 10) to (30, 22)"
    )
    assert reasons["img4"].startswith("no object is seen where the label 'dog' is, at (10, 45)")
    text = qa_text(paths, params, 2)
    assert text.count("b01") == 2
    assert "Next: boxloop review --qa 2" in text
    page = paths.doubts.read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert not re.search(r"https?://|<script|<link", page)
    for suspect in suspects[:2]:
        assert suspect.image.id in page
    (paths.root / suspects[0].image.path).unlink()
    qa_text(paths, params, 2)  # an image that is gone takes no page down
    assert paths.doubts.read_text().count("This image cannot be read.") == 1


def test_the_first_batch_is_judged_by_what_was_held_out(paths):
    params = load_params(paths.root / "params.yaml")
    assert "first" not in {s.image.id for s in find_suspects(paths, params, 99)}
    offered = {"first": scored((*OFFERED, ("dog", D, 0.95)))}
    held = Proposals("held-out part of b00", "ssd", "0" * 64, 0.05, offered)
    artifacts.write_training(
        paths.training("b01"), replace(TrainingLog.of_nothing(), held_out=held)
    )
    found = {s.image.id: s for s in find_suspects(paths, params, 99)}
    assert found["first"].batch == "b00"
    assert found["first"].doubt.kind == "overlooked"


def test_a_name_that_was_given_to_another_class_is_what_todays_detector_means(paths):
    params = load_params(paths.root / "params.yaml")
    before = find_suspects(paths, params, 9)
    images = artifacts.read_images(paths.images)
    names = (*images.classes, "kitten")
    artifacts.write_images(paths.images, replace(images, classes=names))
    for old, new in (("cat", "kitten"), ("puppy", "cat")):
        change = class_changes.ClassChange("rename", old, new, datetime.now(UTC))
        class_changes.append(paths.reviews, change, names)
    assert find_suspects(paths, params, 9) == before


def test_names_that_were_exchanged_make_no_label_doubtful(paths):
    """Neither by proposals nor by what was held out: each says what it follows."""
    params = load_params(paths.root / "params.yaml")
    held = Proposals("held-out part of b00", "ssd", "0" * 64, 0.05, {"first": scored(OFFERED)})
    artifacts.write_training(
        paths.training("b01"), replace(TrainingLog.of_nothing(), held_out=held)
    )
    before = [(s.image.id, s.doubt) for s in find_suspects(paths, params, 99)]
    other = {"cat": "dog", "dog": "cat"}
    for key in ("b00", "b01"):
        made = artifacts.read_corrections(paths.corrections(key))
        boxes = {
            i: replace(b, labels=np.array([other[name] for name in b.labels.tolist()]))
            for i, b in made.boxes.items()
        }
        artifacts.write_corrections(paths.corrections(key), replace(made, boxes=boxes))
    images = artifacts.read_images(paths.images)
    for old, new in (("cat", "between"), ("dog", "cat"), ("between", "dog")):
        change = class_changes.ClassChange("rename", old, new, datetime.now(UTC))
        class_changes.append(paths.reviews, change, images.classes)
    entries = tuple(path.name for path in class_changes.files(paths.reviews))
    artifacts.write_images(paths.images, replace(images, changes=entries))
    assert [(s.image.id, s.doubt) for s in find_suspects(paths, params, 99)] == before


def test_labels_that_images_had_are_no_second_opinion(paths):
    params = load_params(paths.root / "params.yaml")
    before = artifacts.read_proposals(paths.proposals("b01"))
    table = {i: scored(OFFERED, prefix="label") for i in before.boxes}
    artifacts.write_proposals(
        paths.proposals("b01"), Proposals("b01", "labels", "0" * 64, 0, table)
    )
    with pytest.raises(UserError, match="no finished batch has proposals"):
        find_suspects(paths, params, 9)


def test_labels_of_other_pixels_are_not_held_against_an_image(paths):
    """Neither labels nor proposals of a batch follow its pixels before ``dvc repro``."""
    params = load_params(paths.root / "params.yaml")
    found = {s.image.id for s in find_suspects(paths, params, 9)}
    assert {"img1", "img2"} <= found
    digests = {ref.id: ref.digest for ref in artifacts.read_images(paths.images).images}
    made = artifacts.read_corrections(paths.corrections("b01"))
    told = {i: digests[i] for i in made.boxes} | dict.fromkeys(("img1", "img2"), "0" * 64)
    artifacts.write_corrections(paths.corrections("b01"), replace(made, digests=told))
    assert {s.image.id for s in find_suspects(paths, params, 9)} == found - {"img1", "img2"}


def test_where_all_images_have_other_pixels_that_is_told(paths):
    params = load_params(paths.root / "params.yaml")
    for key in ("b00", "b01"):
        path = paths.corrections(key)
        made = artifacts.read_corrections(path)
        told = dict.fromkeys(made.boxes, "0" * 64)
        artifacts.write_corrections(path, replace(made, digests=told))
    with pytest.raises(UserError) as said:
        find_suspects(paths, params, 9)
    assert str(said.value).startswith("every image whose labels could be held against proposals ")
    assert "has other pixels now than were labeled" in str(said.value)
    assert "run 'dvc repro'" in str(said.value)
