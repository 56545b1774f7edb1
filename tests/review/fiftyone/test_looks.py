"""Second and third looks: who decides, what counts, and what is kept."""

import json

import pytest

from boxloop.campaign import artifacts, second_looks, submissions
from boxloop.core.labeled_set import merge
from boxloop.core.types import LabeledSet
from boxloop.core.workload import account
from boxloop.errors import UserError
from boxloop.params import load_params
from boxloop.review.collect import collect
from builders_sessions import D, Session, cut, images

BATCHES = {"b00": images(1, ()), "b01": images(4, first=1)}
IOU = 0.5


@pytest.fixture
def paths(tmp_path):
    return cut(tmp_path / "c", BATCHES)


@pytest.fixture
def open_session(datasets, server, paths):
    return lambda key="b01", **options: Session(server, paths, key, **options)


def after(paths, key="b01"):
    """Labels of a batch and its workload, as the stages after the review make them."""
    params = load_params(paths.root / "params.yaml")
    out = paths.corrections(key)
    files = (paths.images, paths.truth, paths.proposals(key), out)
    collect(paths, params.review, *files, say=lambda text: None)
    made = artifacts.read_corrections(out)
    classes = artifacts.read_images(paths.images).classes
    return merge(LabeledSet(classes, (), {}), made).boxes, account(made, (0.5, 0.7), (), {})


def looks(paths):
    return second_looks.read(paths, BATCHES)


def label(session):
    """The first person draws what was not proposed in one image, and moves nothing."""
    session.app.draw("img01", D, "dog")
    session.app.add_seconds(img01=4.0)
    session.finish()


def test_two_people_differ_and_a_third_decides(open_session, paths):
    label(open_session(reviewer="ann"))
    before, workload = after(paths)
    file = paths.corrections("b01").read_bytes()
    assert second_looks.for_status(paths, BATCHES, IOU) == ("", ())

    second = open_session(reviewer="bob", look="also")
    assert second.app.overview()["title"] == "Second look at batch b01"
    # The very proposals, and nothing of the first person's.
    assert second.app.overview()["objects"] == 0
    assert len(second.app.record("img01")[0]["boxes"]["detections"]) == 3
    second.app.relabel("img02", "p0", "dog")
    second.app.delete("img03", "p2")
    second.app.add_seconds(img02=3.0)
    text = second.finish()
    assert "Second look at batch b01: 4 images with 11 boxes are submitted by bob." in text
    # No label and no count has changed, and the file is the same to the byte.
    again, same = after(paths)
    assert (again, same) == (before, workload)
    assert paths.corrections("b01").read_bytes() == file
    found = looks(paths)
    assert {look.image_id for look in found.differing(IOU)} == {"img01", "img02", "img03"}
    (work,) = found.work
    assert (work.reviewer, work.look, work.images, work.seconds) == ("bob", "second", 4, 3.0)
    assert (work.edits.kept, work.edits.relabeled, work.edits.removed) == (10, 1, 1)
    line, notes = second_looks.for_status(paths, BATCHES, IOU)
    assert not notes
    assert line == (
        "4 images have a second look; on 3 two people differ: 'boxloop review b01 --disagreements"
        " --reviewer NAME' lets a third one decide."
    )

    for name in ("ann", "bob"):
        with pytest.raises(UserError, match=f"{name} is one of the two who differ on 3 images"):
            open_session(reviewer=name, look="disagreements")
    third = open_session(reviewer="eve", look="disagreements")
    assert set(third.app.samples()) == {"img01", "img02", "img03"}
    panel = third.app.overview()
    assert panel["shown"].startswith("Confidence: those at 1 are both people's")
    notes = {(row["image"], row["message"]) for row in panel["notes"]}
    assert notes == {
        ("img01", "ann has 'dog' at (10, 45), bob none"),
        ("img02", "ann says 'cat' at (10, 10), bob 'dog'"),
        ("img03", "ann has 'cat' at (70, 10), bob none"),
    }
    boxes = third.app.record("img02")[0]["boxes"]["detections"]
    assert sorted((b["label"], b["confidence"], *b["tags"]) for b in boxes) == [
        ("cat", 0.5, "disputed"),
        ("cat", 1.0),
        ("dog", 0.5, "disputed"),
        ("dog", 1.0),
    ]
    drawn = next(n for n in third.assignment.items[0].start.ids if not n.startswith("p"))
    third.app.delete("img01", drawn)  # bob was right
    third.app.delete("img02", "p0")  # and here
    third.app.add_seconds(img01=2.0)
    third.finish()  # in the third image ann was right
    decided, counted = after(paths)
    assert decided["img01"].labels.tolist() == ["cat", "dog", "cat"]
    assert sorted(decided["img02"].labels.tolist()) == ["cat", "dog", "dog"]
    assert decided["img03"] == before["img03"]
    # The edits, WB and WT stay the first person's, to the last digit.
    assert counted == workload
    found = looks(paths)
    assert not found.differing(IOU)
    assert [(w.reviewer, w.look, w.images, w.seconds) for w in found.work] == [
        ("bob", "second", 4, 3.0),
        ("eve", "third", 3, 2.0),
    ]
    assert (found.work[1].edits.kept, found.work[1].edits.removed) == (9, 2)
    agreement = found.agreements(IOU)["ann", "bob"]  # of the two, whatever was decided
    assert (agreement.images, agreement.differing, agreement.matched) == (4, 3, 11)
    assert second_looks.for_status(paths, BATCHES, IOU)[0] == (
        "4 images have a second look, 3 of them decided by a third person; no two people differ."
    )
    with pytest.raises(UserError, match="no two people differ on b01"):
        open_session(reviewer="eve", look="disagreements")

    # A redo opens what was decided, and is the newest: nothing of before is gone.
    redo = open_session(reviewer="ann", redo=True)
    assert len(redo.assignment.items) == 4
    by_id = {item.image.id: item.start for item in redo.assignment.items}
    assert sorted(by_id["img02"].ids.tolist()) == ["p0", "p1", "p2"]
    redo.app.draw("img01", D, "dog")
    redo.finish()
    labels, counted = after(paths)
    assert labels["img01"].labels.tolist() == ["cat", "dog", "cat", "dog"]
    assert counted.edits.relabeled == 1  # p0 of img02, as decided, is ann's now
    assert counted.revision == 2
    assert len(submissions.submission_files(paths.reviews)) == 3
    assert len(submissions.submission_files(paths.reviews, look=True)) == 1
    # The first look of img01 is the redo; bob still has no dog there.
    assert [look.image_id for look in looks(paths).differing(IOU)] == ["img01"]


def test_what_was_begun_of_a_look_survives_a_kill_and_every_other_session(open_session, paths):
    label(open_session(reviewer="ann"))
    begun = open_session(reviewer="bob", look="also")
    begun.app.delete("img02", "p0")
    begun.app.mark("img02")
    del begun  # killed: nothing ends in order
    redo = open_session(reviewer="ann", redo=True)
    assert len(redo.app.record("img02")[0]["boxes"]["detections"]) == 3  # not bob's two
    redo.app.draw("img02", D, "cat")
    again = open_session(reviewer="bob", look="also")
    assert again.app.reviewed() == {"img02"}
    assert len(again.app.record("img02")[0]["boxes"]["detections"]) == 2
    # Nobody else finds bob's work begun.
    other = open_session(reviewer="cy", look="also")
    assert other.app.reviewed() == set()
    again = open_session(reviewer="bob", look="also")
    again.finish()
    assert "img02" in {look.image_id for look in looks(paths).differing(IOU)}
    redo = open_session(reviewer="ann", redo=True)
    assert len(redo.app.record("img02")[0]["boxes"]["detections"]) == 4  # ann's begun redo, too


def test_a_second_look_is_redone_and_shared(open_session, paths):
    label(open_session(reviewer="ann"))
    with pytest.raises(UserError, match="b01 was labeled by ann: a second look needs another"):
        open_session(reviewer="ann", look="also")
    with pytest.raises(UserError, match="b00 is not labeled by a person yet: leave --also out"):
        open_session("b00", reviewer="bob", look="also")
    with pytest.raises(UserError, match="b01 has no second look yet: 'boxloop review b01 --also'"):
        open_session(reviewer="eve", look="disagreements")
    half = open_session(reviewer="bob", look="also", part="1/2")
    assert set(half.app.samples()) == {"img01", "img02"}
    half.app.draw("img01", D, "dog")
    half.finish()
    assert [look.image_id for look in looks(paths).images] == ["img01", "img02"]
    assert not looks(paths).differing(IOU)
    other = open_session(reviewer="cy", look="also")
    assert set(other.app.samples()) == {"img03", "img04"}
    other.finish()
    with pytest.raises(UserError, match="b01 has a second look already"):
        open_session(reviewer="cy", look="also")
    redo = open_session(reviewer="bob", look="also", redo=True)
    assert set(redo.app.samples()) == {"img01", "img02"}
    assert len(redo.app.record("img01")[0]["boxes"]["detections"]) == 4
    redo.app.relabel("img01", "p0", "dog")
    redo.finish()
    found = looks(paths)
    assert [look.image_id for look in found.differing(IOU)] == ["img01"]
    assert sorted(found.agreements(IOU)) == [("ann", "bob"), ("ann", "cy")]
    assert len(submissions.submission_files(paths.reviews, look=True)) == 3


def test_a_look_by_whoever_labeled_the_image_since_blocks_nobody(open_session, paths):
    """It counts for nothing: one person is not two."""
    label(open_session(reviewer="ann"))
    open_session(reviewer="zoe", look="also").finish()
    open_session(reviewer="zoe", redo=True, part="1/2").finish()
    assert {look.people for look in looks(paths).images} == {("ann", "zoe")}
    for reviewer, message in (("zoe", "labeled by zoe"), ("kim", "look already")):
        with pytest.raises(UserError, match=message):
            open_session(reviewer=reviewer, look="also", part=f"{1 + (reviewer == 'kim')}/2")
    third = open_session(reviewer="kim", look="also")
    assert set(third.app.samples()) == {"img01", "img02"}
    third.app.delete("img02", "p0")
    assert "2 images with 5 boxes are submitted by kim" in third.finish()
    found = looks(paths)
    assert {look.people for look in found.images} == {("ann", "zoe"), ("zoe", "kim")}
    assert [look.image_id for look in found.differing(IOU) if look.people[1] == "kim"]


def test_whoever_was_slower_hears_of_it(open_session, paths):
    label(open_session(reviewer="ann"))
    slow = open_session(reviewer="bob", look="also")
    fast = open_session(reviewer="cy", look="also")
    fast.finish()
    from boxloop.review.fiftyone import operators

    operators.serve(slow.controller)
    slow.app.mark()
    faults = slow.submit()["faults"]
    assert {fault["image"] for fault in faults} == {"img01", "img02", "img03", "img04"}
    assert "submitted by cy while you worked on it" in faults[0]["message"]
    assert "'boxloop review b01 --also'" in faults[0]["message"]


def test_a_label_that_was_redone_meanwhile_is_not_decided_over(open_session, paths):
    label(open_session(reviewer="ann"))
    second = open_session(reviewer="bob", look="also")
    second.app.delete("img03", "p0")
    second.finish()
    third = open_session(reviewer="eve", look="disagreements")
    assert set(third.app.samples()) == {"img01", "img03"}
    redo = open_session(reviewer="ann", redo=True)
    redo.app.delete("img03", "p0")
    redo.finish()
    from boxloop.review.fiftyone import operators

    operators.serve(third.controller)
    third.app.mark()
    assert "submitted by ann while" in third.submit()["faults"][0]["message"]
    third = open_session(reviewer="eve", look="disagreements")
    assert set(third.app.samples()) == {"img01"}


def test_files_of_looks_are_told_by_an_older_version(open_session, paths):
    label(open_session(reviewer="ann"))
    open_session(reviewer="bob", look="also").finish()
    (file,) = submissions.submission_files(paths.reviews, look=True)
    content = json.loads(file.read_text())
    assert content["format"] == "boxloop/corrections@2"  # which older ones refuse by that name
    assert content["look"] == "second"
    open_session(reviewer="eve", look="disagreements").finish()
    newest = submissions.submission_files(paths.reviews)[-1]
    content = json.loads(newest.read_text())
    assert content["format"] == "boxloop/corrections@2"
    assert set(content["decided"]["images"]) == {"img01"}
    assert content["reviewer"] == "eve"
