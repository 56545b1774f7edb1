"""A second look: the worst images open with their labels, and its fixes are work of their own."""

from dataclasses import replace

import pytest

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.doubts import find_suspects
from boxloop.campaign.recheck_results import in_words
from boxloop.campaign.results import read_results
from boxloop.campaign.standing import Standing
from boxloop.core.labeled_set import merge
from boxloop.core.rechecking import as_reviewed, recheck_work
from boxloop.core.types import Boxes, LabeledSet
from boxloop.core.workload import PAPER, account
from boxloop.errors import UserError
from boxloop.params import load_params
from boxloop.report import tables
from boxloop.review.collect import collect
from boxloop.review.people import read_submissions
from builders_reviews import submission
from builders_sessions import A, C, D, Session, cut, images

BATCHES = {"b00": images(1, ()), "b01": images(4, first=1)}


@pytest.fixture
def paths(tmp_path):
    return cut(tmp_path / "c", BATCHES)


@pytest.fixture
def open_session(datasets, server, paths):
    return lambda key="b00", **options: Session(server, paths, key, **options)


def account_for(paths, key="b01"):
    """The corrections of a batch, and its workload, as the stages make them of the journal."""
    params = load_params(paths.root / "params.yaml")
    files = (paths.images, paths.truth, paths.proposals(key), paths.corrections(key))
    made = collect(paths, params.review, *files, say=lambda text: None)
    assert artifacts.read_corrections(paths.corrections(key)) == made
    counted = account(made, (0.5, 0.7), (), {})
    artifacts.write_workload(paths.workload(key), counted)
    return made, counted


def test_fixes_count_apart_and_the_batch_stays_as_it_was(open_session, paths):
    params = load_params(paths.root / "params.yaml")
    with pytest.raises(UserError, match="no finished batch has proposals"):
        find_suspects(paths, params, 40)
    open_session("b00").finish()
    account_for(paths, "b00")
    session = open_session("b01")
    session.app.delete("img02", "p0")  # the error: an object is left without a box
    session.app.add_seconds(img02=4.0)
    session.finish()
    made, before = account_for(paths)
    numbers = tables.metrics(read_results(paths, params))
    assert "qa" not in numbers
    suspects = find_suspects(paths, params, 40)
    assert suspects[0].image.id == "img02"
    assert suspects[0].reason == (
        "no label where a 'cat' (score 0.90) is proposed, at (10, 10) to (30, 30)"
    )
    assert {suspect.batch for suspect in suspects} == {"b01"}

    session = open_session(qa=2, reviewer="bob")
    shown = session.app.overview()
    assert shown["title"] == "Second look"
    reasons = {suspect.image.id: suspect.reason for suspect in suspects[:2]}
    assert {note["image"]: note["message"] for note in shown["notes"]} == reasons
    assert shown["notes_title"] == "What may be wrong"
    assert shown["edits"]["added"] == 0
    opened = set(session.app.samples())
    assert opened == {suspect.image.id for suspect in suspects[:2]}
    (other,) = opened - {"img02"}
    session.app.draw("img02", A, "cat")
    session.app.add_seconds(img02=3.0)
    text = session.finish()
    assert "Second look: 2 images with 6 boxes are submitted again by bob." in text
    assert "5 kept, 0 moved, 0 relabeled, 0 removed, 1 added" in text

    now, after = account_for(paths)
    assert after == before
    assert (now.reviewer, now.revision, now.seconds) == ("ann", 1, made.seconds)
    assert as_reviewed(now).boxes == made.boxes
    assert now.boxes["img02"].labels.tolist() == ["dog", "cat", "cat"]
    learned = merge(LabeledSet(("cat", "dog"), (), {}), now)
    assert len(learned.boxes["img02"]) == 3
    work = recheck_work([now])
    assert (work.images, work.changed, work.edits.added, work.boxes) == (2, 1, 1, 1)
    assert (work.seconds, work.people) == (3.0, ("bob",))
    assert in_words(work, PAPER, 30.0).startswith(
        "QA, beside WB and WT: 2 images looked at again, 1 changed"
    )
    with_qa = tables.metrics(read_results(paths, params))
    assert with_qa.pop("qa")["boxes"] == 1
    assert with_qa == numbers
    standing = Standing(paths, params)
    assert standing.turns[1].rechecked
    assert not any("other corrections" in note for note in standing.notes)
    # What had its second look is not listed again.
    left = {suspect.image.id for suspect in find_suspects(paths, params, 40)}
    assert not left & opened
    assert other not in left


def test_a_second_look_after_a_second_look_and_a_redo(open_session, paths):
    open_session("b01").finish()
    made, before = account_for(paths)
    session = open_session(qa=9)
    session.app.draw("img01", D, "dog")
    session.app.add_seconds(img01=2.0)
    session.finish()
    known = submissions.latest(read_submissions(paths, BATCHES))
    first = known["img01"].rechecked["img01"]
    assert first.before == made.boxes["img01"]
    params = load_params(paths.root / "params.yaml")
    assert find_suspects(paths, params, 9) == []
    with pytest.raises(UserError, match="no image is left for a second look"):
        open_session(qa=9)

    # A redo takes the fixes over: what it ends with counts, and so does the time.
    session = open_session("b01", redo=True)
    session.app.add_seconds(img01=1.0)
    session.finish()
    redone, counted = account_for(paths)
    assert not redone.rechecked
    assert recheck_work([redone]) is None
    assert redone.revision == 2
    assert counted.ledger(0.5).added == before.ledger(0.5).added + 1
    assert redone.seconds["img01"] == 3.0
    assert len(redone.boxes["img01"]) == len(made.boxes["img01"]) + 1


def test_the_time_of_a_second_look_counts_also_where_the_reviews_was_not_measured(
    open_session, paths
):
    offered = artifacts.read_proposals(paths.proposals("b01"))
    given = {i: Boxes(b.xyxy, b.labels, b.ids) for i, b in offered.boxes.items()}
    submissions.append(paths.reviews, submission(offered, given, seconds=None))
    account_for(paths)
    for options in ({"qa": 9}, {"key": "b01", "redo": True}):
        session = open_session(**options)
        session.app.add_seconds(img01=2.0)
        session.finish()
        made, counted = account_for(paths)
        look = made.rechecked.get("img01")
        assert (look is None) is ("redo" in options)
        assert look is None or look.seconds == 2.0
        assert (made.seconds, counted.timed_images) == ({}, None)


def test_a_part_that_had_a_second_look(open_session, paths):
    open_session("b01").finish()
    _, before = account_for(paths)
    session = open_session(qa=4, part="1/2", reviewer="bob")
    looked = set(session.app.samples())
    assert len(looked) == 2
    image_id = min(looked)
    session.app.relabel(image_id, "p1", "cat")
    session.app.move(image_id, "p2", (C[0], C[1], C[2] - 5, C[3]))
    session.app.delete(image_id, "p0")
    session.finish()
    made, after = account_for(paths)
    assert after == before
    assert set(made.rechecked) == looked
    edits = recheck_work([made]).edits
    assert (edits.moved, edits.relabeled, edits.removed, edits.added) == (1, 1, 1, 0)
    part = made.part([image_id])
    assert set(part.rechecked) == {image_id}
    with pytest.raises(ValueError, match="rechecked"):
        replace(part, rechecked={"elsewhere": made.rechecked[image_id]})
