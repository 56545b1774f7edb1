"""Blind images and planted errors, from the session to the labels, through the App's endpoints."""

import json
from collections import Counter

import pytest

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.status import status_text
from boxloop.core.edits import diff
from boxloop.core.planted import KINDS
from boxloop.core.types import Batch
from boxloop.core.workload import account
from boxloop.errors import ReviewPending
from boxloop.params import load_params
from boxloop.review.collect import collect
from boxloop.review.fiftyone.session import pending_batch
from boxloop.review.fiftyone.shown_proposals import object_id
from builders_sessions import A, B, C, D, Session, campaign, images

TRIED = {"review": {"annotator": "fiftyone", "score_threshold": 0.5, "seed": 4,
                    "blind_fraction": 0.25, "plant_fraction": 0.3}}  # fmt: skip
COUNT = 8


@pytest.fixture
def paths(tmp_path):
    return campaign(tmp_path / "c", {"b01": images(COUNT)}, params=TRIED)


@pytest.fixture
def open_session(datasets, server, paths):
    return lambda **options: Session(server, paths, "b01", **options)


def put_together(paths, key="b01"):
    params = load_params(paths.root / "params.yaml")
    out = paths.corrections(key)
    files = (paths.images, paths.truth, paths.proposals(key), out)
    return collect(paths, params.review, *files, say=lambda text: None)


def items(session):
    return {item.image.id: item for item in session.assignment.items}


def on_screen(session, image_id):
    return session.app.record(image_id)[0]["boxes"]["detections"]


def errors_of(session):
    return [(i, error) for i, item in items(session).items() for error in item.planted]


def mend(session, image_id, error):
    """What a person does who sees an error."""
    own = dict(zip(("p0", "p1", "p2"), (A, B, C), strict=True))[error.box]
    label = dict(zip(("p0", "p1", "p2"), ("cat", "dog", "cat"), strict=True))[error.box]
    if error.kind == "shifted":
        session.app.move(image_id, error.box, own)
    elif error.kind == "relabeled":
        session.app.relabel(image_id, error.box, label)
    elif error.kind == "doubled":
        session.app.delete(image_id, error.shown)
    else:
        session.app.draw(image_id, own, label)


def draw_all(session, image_id):
    for label, xyxy in (("cat", A), ("dog", B), ("cat", C)):
        session.app.draw(image_id, xyxy, label)


def test_what_is_tried_is_shown_like_all_the_rest(open_session, paths):
    session = open_session()
    blind = [i for i, item in items(session).items() if item.blind]
    errors = errors_of(session)
    assert (len(blind), {error.kind for _, error in errors}) == (2, set(KINDS))
    records = {i: session.app.record(i)[0] for i in items(session)}
    assert all(records[i]["boxes"]["detections"] == [] for i in blind)
    keys = set()
    for image_id, item in items(session).items():
        shown = records[image_id]["boxes"]["detections"]
        assert [b["_id"]["$oid"] for b in shown] == [
            object_id(image_id, name) for name in item.drawn.ids.tolist()
        ]
        keys |= {tuple(sorted(box)) for box in shown}
        assert all(b["confidence"] >= 0.5 for b in shown)
    assert len(keys) == 1  # a box that is wrong on purpose has all that others have, and no more
    told = json.dumps([*records.values(), session.app.overview()])
    for word in ("blind", "planted", *KINDS):
        assert word not in told.replace('relabeled": 0', "")
    assert session.app.overview()["hints"] == []


def test_the_choice_outlives_a_kill_a_part_and_another_reviewer(open_session):
    first = open_session()
    chosen = {i: (item.blind, item.planted) for i, item in items(first).items()}
    image_id, _ = errors_of(first)[0]
    first.app.add_seconds(**{image_id: 1.0})  # the person has begun
    before = on_screen(first, image_id)
    again = open_session(reviewer="bob")
    assert {i: (item.blind, item.planted) for i, item in items(again).items()} == chosen
    assert on_screen(again, image_id) == before
    halves = [open_session(part=part) for part in ("1/2", "2/2")]
    assert {i: (t.blind, t.planted) for half in halves for i, t in items(half).items()} == chosen
    # What was begun keeps what was shown then; the others follow params.yaml.
    path = first.paths.root / "params.yaml"
    path.write_text(path.read_text().replace('"plant_fraction": 0.3', '"plant_fraction": 0.0'))
    later = open_session()
    kept = {i.image_id: i.shown.item.planted for i in later.controller.images()}
    assert kept[image_id] == chosen[image_id][1]
    assert sum(bool(errors) for errors in kept.values()) == 1


def test_who_catches_all_has_nothing_to_do_again_and_pays_for_drawing_alone(open_session, paths):
    session = open_session()
    for image_id, item in items(session).items():
        if item.blind:
            draw_all(session, image_id)
    for image_id, error in errors_of(session):
        mend(session, image_id, error)
    count = len(errors_of(session))
    summary = session.finish()
    assert "shown without proposals, to tell what people find: 2 images" in summary
    assert f"planted among the proposals: {count}, caught {count}" in summary
    assert "--planted" not in summary
    made = put_together(paths)
    assert Counter(e.state for errors in made.planted.values() for e in errors) == {"caught": count}
    # The six boxes that were drawn on blind images are all that counts as work.
    workload = account(made, (0.5,), (), {})
    assert (workload.edits.added, workload.edits.kept) == (6, 3 * (COUNT - 2))
    assert workload.ledger(0.5).removals == 0
    # The journal says what was tried, and a redo keeps it.
    (path,) = submissions.submission_files(paths.reviews)
    content = json.loads(path.read_text())
    assert (content["blind"], content["planted"].keys()) == (list(made.blind), made.planted.keys())
    redo = open_session(redo=True)
    assert redo.app.overview()["hints"] == []
    redo.app.draw(made.blind[0], D, "dog")
    redo.finish()
    newest = put_together(paths)
    assert (newest.blind, newest.planted) == (made.blind, made.planted)


def test_what_is_missed_waits_for_a_second_look(open_session, paths):
    session = open_session()
    for image_id, item in items(session).items():
        if item.blind:
            draw_all(session, image_id)
    errors = errors_of(session)
    caught = errors[0]
    mend(session, *caught)
    summary = session.finish()
    missed = {image_id for image_id, error in errors[1:]}
    assert f"caught 1, missed {len(errors) - 1}: 'boxloop review b01 --planted' opens" in summary
    with pytest.raises(ReviewPending, match=r"--planted' opens again \(\d+ images\), then 'dvc"):
        put_together(paths)
    assert not paths.corrections("b01").exists()
    assert paths.pending.read_text() == "b01\n"
    params = load_params(paths.root / "params.yaml")
    assert pending_batch(paths, params) == "b01"
    assert pending_batch(paths, params, planted=True) == "b01"
    # All that `boxloop status` needs to know that proposals wait for people.
    artifacts.write_batch(paths.batch("b01"), Batch("b01", tuple(items(session))))
    paths.detector("b01").parent.mkdir()
    paths.detector("b01").touch()
    assert f"({len(missed)} images with planted errors" in status_text(paths, params)

    again = open_session(redo=True, planted=True, reviewer="bob")
    assert set(items(again)) == missed
    hints = again.app.overview()["hints"]
    assert len(hints) == len(errors) - 1
    assert all("on purpose" in hint["message"] for hint in hints)
    # The labels that the batch would have now are the detector's, and one was wrong itself.
    image_id, error = next(pair for pair in errors[1:] if pair[1].kind == "hidden")
    again.app.delete(image_id, error.box)
    assert (
        f"looked at again: {len(errors) - 1} planted, put right {len(errors) - 2}" in again.finish()
    )
    assert pending_batch(paths, params) is None
    made = put_together(paths)
    states = {(i, e.box): e.state for i, found in made.planted.items() for e in found}
    assert states.pop((image_id, error.box)) == "stands"
    assert states.pop((caught[0], caught[1].box)) == "caught"
    assert set(states.values()) == {"mended"}
    assert {e.reviewer for found in made.planted.values() for e in found} == {"ann"}
    for image_id_, boxes in made.boxes.items():
        expected = {"p0", "p1", "p2"} - ({error.box} if image_id_ == image_id else set())
        if image_id_ not in made.blind and image_id_ != image_id:
            assert set(boxes.ids.tolist()) == expected
            assert diff(made.proposals.boxes[image_id_].above(0.5), boxes).kept == 3


def test_records_are_as_ever_where_nothing_is_tried(datasets, server, tmp_path):
    paths = campaign(tmp_path / "c", {"b00": images(1, ()), "b01": images(2, first=1)})
    session = Session(server, paths, "b01")
    text = session.dataset.dataset.values("shown_proposals")[0]
    assert not {"blind", "planted"} & set(json.loads(text))
    session.finish()
    (path,) = submissions.submission_files(paths.reviews)
    assert not {"blind", "planted"} & set(json.loads(path.read_text()))
