"""A class that is added after images were reviewed: exactly these open again, for all batches."""

from dataclasses import replace

import pytest

from boxloop.campaign import artifacts, screening, submissions
from boxloop.campaign.later import proposals_file, session_name
from boxloop.core.completeness import only_judgeable
from boxloop.core.existing import SURE, as_proposals
from boxloop.core.labeled_set import merge
from boxloop.core.rechecking import recheck_work
from boxloop.core.types import Boxes, Corrections, ImageSet, LabeledSet, Proposals
from boxloop.core.workload import account
from boxloop.errors import UserError
from boxloop.params import load_params
from boxloop.review.collect import collect
from boxloop.review.people import read_submissions
from builders_sessions import A, B, C, D, Session, cut, images, scored

BATCHES = {"b00": images(2, ()), "b01": images(2, first=2), "b02": images(1, first=4)}


@pytest.fixture
def paths(tmp_path):
    return cut(tmp_path / "c", BATCHES)


@pytest.fixture
def open_session(datasets, server, paths):
    return lambda key="b00", **options: Session(server, paths, key, **options)


def add_class(paths, name):
    before = artifacts.read_images(paths.images)
    artifacts.write_images(paths.images, ImageSet(before.images, (*before.classes, name)))


def incomplete(paths):
    today = artifacts.read_images(paths.images)
    found = screening.read(paths.journals, map(paths.corrections, BATCHES), today)
    return screening.by_class(found.incomplete, today.classes)


def labeled(paths, *keys):
    """What the stages after the review make of the journal, and the edits at IoU 0.5 by batch."""
    params = load_params(paths.root / "params.yaml")
    result = LabeledSet(artifacts.read_images(paths.images).classes, (), {})
    ledgers = {}
    for key in keys:
        files = (paths.images, paths.truth, paths.proposals(key), paths.corrections(key))
        made = collect(paths, params.review, *files, say=lambda text: None)
        result = merge(result, made)
        ledgers[key] = account(made, (0.5,), (), {}).ledgers[0.5, 0.5]
    return result, ledgers


def test_the_images_of_all_batches_open_and_keep_their_labels(open_session, paths):
    session = open_session("b00")
    session.app.draw("img00", A, "cat")
    session.finish()
    session = open_session("b01")
    session.app.add_seconds(img02=3.0)
    session.finish()
    before, edits = labeled(paths, "b00", "b01")
    assert not before.incomplete

    add_class(paths, "car")
    assert incomplete(paths) == {"car": ["img00", "img01", "img02", "img03"]}
    open_session("b02").finish()  # by the classes of today
    assert incomplete(paths) == {"car": ["img00", "img01", "img02", "img03"]}
    now, _ = labeled(paths, "b00", "b01", "b02")
    assert now.incomplete == dict.fromkeys(("img00", "img01", "img02", "img03"), ("car",))

    session = open_session(wanted="car")
    assert session.app.overview()["title"] == "Review for car"
    assert set(session.app.samples()) == {"img00", "img01", "img02", "img03"}
    session.app.add_seconds(img02=2.0)
    session.app.draw("img01", B, "car")
    session.app.draw("img02", D, "car")
    text = session.finish()
    assert "Review for car: 4 images with 9 boxes are submitted again by ann." in text
    assert incomplete(paths) == {}

    now, later = labeled(paths, "b00", "b01", "b02")
    assert not now.incomplete
    assert now.boxes["img02"].labels.tolist() == ["cat", "dog", "cat", "car"]
    assert now.boxes["img03"].labels.tolist() == before.boxes["img03"].labels.tolist()
    # What was drawn counts as added in the batch of its image, and so does the time.
    assert later["b01"].added == edits["b01"].added + 1
    assert later["b01"].kept == edits["b01"].kept
    made = submissions.latest(read_submissions(paths, BATCHES))
    assert (made["img01"].batch, made["img02"].batch) == ("b00", "b01")
    assert made["img02"].seconds["img02"] == 5.0
    assert made["img02"].classes == ("cat", "dog", "car")
    assert len(submissions.submission_files(paths.reviews)) == 5  # nothing was rewritten
    with pytest.raises(UserError, match="no image is left to review for 'car'"):
        open_session(wanted="car")


def test_proposals_of_the_class_are_edits_of_the_batch_but_say_nothing_of_its_detector(
    open_session, paths
):
    for key in ("b00", "b01"):
        open_session(key).finish()
    before, edits = labeled(paths, "b00", "b01")
    judged = artifacts.read_corrections(paths.corrections("b01"))
    add_class(paths, "car")
    # Lower than what was shown from (0.5) in these batches, and still shown.
    found = {
        "img00": scored([("car", A, 0.3)]),
        "img02": scored([("car", D, 0.4), ("car", (40, 45, 60, 65), 0.3)]),
        "img03": scored([]),
    }
    offered = Proposals("b02", "ssd", "1" * 64, 0.25, found)
    artifacts.write_proposals(proposals_file(paths, "car"), offered)

    session = open_session(wanted="car")
    overview = session.app.overview()
    assert overview["wanted"] == ["car"]
    assert not overview["blank"]
    assert overview["shown"] == (
        "Beside the labels: 3 boxes of car on 2 images, which the detector of b02 proposes, shown"
        " from a score of 0.25."
    )
    boxes = session.app.record("img02")[0]["boxes"]["detections"]
    assert [(b["label"], b.get("confidence")) for b in boxes] == [
        *(("cat", 0.9), ("dog", 0.8), ("cat", 0.7)),
        *(("car", 0.4), ("car", 0.3)),
    ]
    session.app.delete("img02", "later:b02:1")
    text = session.finish()
    assert "1 removed" in text

    now, later = labeled(paths, "b00", "b01")
    assert now.boxes["img00"].labels.tolist() == ["car"]
    assert now.boxes["img02"].labels.tolist() == ["cat", "dog", "cat", "car"]
    assert now.boxes["img03"] == before.boxes["img03"]
    assert later["b01"].kept == edits["b01"].kept + 1
    assert later["b01"].removed == edits["b01"].removed + 1
    assert later["b01"].added == edits["b01"].added
    # AP and thresholds are of what the batch's detector offered, before there was the class.
    made = artifacts.read_corrections(paths.corrections("b01"))
    assert made.proposals.checkpoint == judged.proposals.checkpoint
    assert only_judgeable(made, now.classes).proposals == judged.proposals
    redone = open_session("b01", redo=True)
    names = [b.get("confidence") for b in redone.app.record("img02")[0]["boxes"]["detections"]]
    assert names == [0.9, 0.8, 0.7, 0.4]


def test_a_part_of_a_batch_that_was_looked_through(open_session, paths):
    session = open_session("b01")
    session.finish()
    add_class(paths, "car")
    session = open_session(wanted="car", part="1/2")
    session.app.draw("img02", C, "car")
    session.app.draw("img02", D, "car")
    assert set(session.app.samples()) == {"img02"}
    session.app.delete("img02", "p2")
    session.finish()
    assert incomplete(paths) == {"car": ["img03"]}
    # So it stays, where DVC brings the corrections back that hold both.
    params = load_params(paths.root / "params.yaml")
    files = (paths.images, paths.truth, paths.proposals("b01"), paths.corrections("b01"))
    made = collect(paths, params.review, *files, say=lambda text: None)
    assert made.classes == ("cat", "dog")
    assert made.offered == {"img02": ("cat", "dog", "car")}
    assert artifacts.read_corrections(paths.corrections("b01")) == made
    assert incomplete(paths) == {"car": ["img03"]}


def test_labels_that_were_given_stay_so_and_what_is_found_beside_them_counts_apart(
    open_session, paths
):
    refs = artifacts.read_images(paths.images)
    offered = {"img02": as_proposals(Boxes.build([A, B], ["cat", "dog"]))}
    trusted = Corrections(
        Proposals("given", "labels", "", 0.0, offered),
        SURE,
        "given",
        {i: replace(boxes, scores=None) for i, boxes in offered.items()},
        finished=submissions.timestamp(),
        digests={i: refs.by_id()[i].digest for i in offered},
        classes=refs.classes,
        given=tuple(offered),
    )
    submissions.append(paths.reviews, trusted)
    open_session("b01").finish()
    _, edits = labeled(paths, "b01")
    add_class(paths, "car")
    session = open_session(wanted="car")
    assert set(session.app.samples()) == {"img02", "img03"}
    session.app.draw("img02", D, "car")
    session.app.add_seconds(img02=2.0, img03=1.0)
    session.app.draw("img03", D, "car")
    session.finish()
    now, later = labeled(paths, "b01")
    assert later["b01"] == replace(edits["b01"], added=edits["b01"].added + 1)
    assert now.boxes["img02"].labels.tolist() == ["cat", "dog", "car"]
    assert incomplete(paths) == {}
    made = artifacts.read_corrections(paths.corrections("b01"))
    assert (made.given, made.seconds) == (("img02",), {"img03": 1.0})
    work = recheck_work([made])
    assert (work.images, work.changed, work.edits.added) == (1, 1, 1)
    assert (work.seconds, work.people) == (2.0, ("ann",))


def test_a_class_that_is_none(paths):
    from boxloop.review.fiftyone.assignment import Part
    from boxloop.review.fiftyone.wanted import assign

    with pytest.raises(UserError, match="'boxloop classes add bus' adds it"):
        assign(paths, BATCHES, "bus", "ann", Part())
    names = {session_name(name) for name in ("car", "Car", "traffic light", "自転車", "自動車")}
    assert len(names) == 5
    assert all(name.isascii() and " " not in name for name in names)
