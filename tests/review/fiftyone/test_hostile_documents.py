"""Nothing that the App's unauthenticated server, or anybody at the database, wrote is believed."""

import json
import math

import pytest
from bson import Binary, ObjectId

from boxloop.campaign import submissions
from boxloop.errors import UserError
from builders_sessions import CLASSES, Session, campaign, images


@pytest.fixture
def session(datasets, server, tmp_path):
    return Session(server, campaign(tmp_path / "c", {"b00": images(2)}))


def again(session, server):
    """The session after `boxloop review` was started again."""
    return Session(server, session.paths)


def write(session, **fields):
    """Writes to the record of the first image, past the server."""
    samples = session.dataset._samples
    assert samples.update_one({"image_id": "img00"}, {"$set": fields}).matched_count == 1


def break_box(session, **fields):
    write(session, **{f"boxes.detections.1.{name}": value for name, value in fields.items()})


def refused(session):
    """What the reviewer is told when the batch is submitted; nothing was written."""
    session.app.mark()
    result = session.submit()
    assert not submissions.read(session.paths.reviews)
    assert "summary" not in result
    return result.get("error") or " ".join(fault["message"] for fault in result["faults"])


DAMAGED = [
    ({"label": None}, "has no class chosen yet"),
    ({"label": "?"}, "has no class chosen yet"),
    ({"label": "zebra"}, "is of none of the classes cat, dog"),
    ({"label": ["cat"]}, "is of none of the classes"),
    ({"label": {"$x": 1}}, "is of none of the classes"),
    ({"bounding_box": None}, "not four finite numbers"),
    ({"bounding_box": []}, "not four finite numbers"),
    ({"bounding_box": [0.1, 0.1, 0.2]}, "not four finite numbers"),
    ({"bounding_box": ["0.1", "0.1", "0.2", "0.2"]}, "not four finite numbers"),
    ({"bounding_box": "0123"}, "not four finite numbers"),
    ({"bounding_box": [math.nan, 0.1, 0.2, 0.2]}, "not four finite numbers"),
    ({"bounding_box": [0.1, 0.1, math.inf, 0.2]}, "not four finite numbers"),
    ({"bounding_box": [True, 0.1, 0.2, 0.2]}, "not four finite numbers"),
    ({"bounding_box": [0.1, 0.1, -0.2, 0.2]}, "has no real size"),
    ({"bounding_box": [0.1, 0.1, 0.0, 0.2]}, "has no real size"),
    ({"bounding_box": [0.9, 0.1, 0.3, 0.2]}, "sticks out of the image by 20 px on the right"),
    ({"bounding_box": [3.0, 3.0, 0.1, 0.1]}, "lies outside the image"),
    ({"bounding_box": [0.1, 0.125, 0.2, 0.25], "label": "cat"}, "drawn twice?"),
    ({"_id": 7}, "has no id"),
    ({"_id": None}, "has no id"),
    ({"_id": {"a": 1}}, "has no id"),
    ({"_id": "x" * 500}, "has an id that is no plain text"),
]


def test_a_damaged_box_is_told_and_not_submitted(session):
    sound = session.dataset._samples.find_one({"image_id": "img00"})["boxes"]
    for fields, says in DAMAGED:
        write(session, boxes=sound)
        break_box(session, **fields)
        assert says in refused(session), fields
    write(session, boxes=sound)
    assert "summary" in session.submit()


def test_what_is_wrong_is_told_for_each_box_and_image(session):
    break_box(session, label="zebra", bounding_box=None)
    session.app.relabel("img01", "p0", "?")
    result = (session.app.mark(), session.submit())[1]
    assert [fault["image"] for fault in result["faults"]] == ["img00", "img00", "img01"]
    samples = session.app.samples()
    assert {fault["sample"] for fault in result["faults"]} == set(samples.values())


def test_a_box_without_a_place_does_not_shift_those_after_it(session):
    """FiftyOne's own way to read leaves it out, and pairs labels with the places of others."""
    session.dataset._samples.update_one(
        {"image_id": "img00"}, {"$unset": {"boxes.detections.0.bounding_box": ""}}
    )
    boxes = session.dataset.read()[0].boxes
    assert [box.id for box in boxes] == ["p0", "p1", "p2"]
    assert [box.xyxy for box in boxes] == [None, (40, 10, 60, 30), (70, 10, 90, 30)]
    assert "not four finite numbers" in refused(session)


def test_an_id_that_two_boxes_have_is_refused(session):
    (first, *_) = session.app.record("img00")[0]["boxes"]["detections"]
    break_box(session, _id=ObjectId(first["_id"]["$oid"]))
    assert "has the id of another box" in refused(session)


def test_masks_and_other_fields_are_not_labels(session):
    break_box(session, mask=Binary(b"\0" * 1000), index=3, keypoints=[[0.5, 0.5]], instance="x")
    write(session, ground_truth={"_cls": "Classification", "label": "zebra"})
    session.finish()
    (made,) = submissions.read(session.paths.reviews)
    assert made.boxes["img00"].labels.tolist() == ["cat", "dog", "cat"]


@pytest.mark.parametrize("field", ["a text", 7, [], [{"label": "cat"}], {"detections": "text"}])
def test_something_else_where_the_boxes_were_is_no_image_without_boxes(session, server, field):
    session.app.mark()
    write(session, boxes=field)
    assert "image img00 in the database is damaged" in session.submit()["error"]
    assert not submissions.read(session.paths.reviews)
    # The way out that it names: the image comes back with its proposals, to be looked at again.
    session = again(session, server)
    assert session.app.reviewed() == {"img01"}
    session.finish()
    (made,) = submissions.read(session.paths.reviews)
    assert len(made.boxes["img00"]) == 3


@pytest.mark.parametrize("field", [None, {"_cls": "Detections"}, {"detections": None}])
def test_an_image_without_boxes_may_come_in_any_form(session, field):
    write(session, boxes=field)
    session.finish()
    (made,) = submissions.read(session.paths.reviews)
    assert len(made.boxes["img00"]) == 0


def damaged_texts(text):
    content = json.loads(text)
    yield from (None, 7, "", "null", "[]", "{", "{}", "[" * 100_000, text[:-20])
    for name, value in [
        ("proposals", "x"),
        ("proposals", [["p0", "cat", [0, 0, 1, 1]]]),
        ("proposals", [["p0", None, [0, 0, 1, 1], 0.5]]),
        ("proposals", [["p0", "cat", [5, 0, 1, 1], 0.5]]),
        ("proposals", [["p0", "cat", [0, 0, 1, 1], 7]]),
        ("start", [["p0", "cat", [0, 0, 1, 1], None]]),
        ("names", {}),
        ("names", []),
        ("names", {"x": 1}),
        ("seconds", "long"),
        ("seconds", -1),
        ("score_threshold", None),
        ("thresholds", None),
        ("thresholds", [{}]),
        ("thresholds", [[0.5, 0.5]]),
        ("thresholds", [{"iou_threshold": 1, "score": 7, "expected_saving": 0, "found": "b00"}]),
        ("thresholds", [{"iou_threshold": 1, "score": 0, "expected_saving": "x", "found": "b00"}]),
        ("score_floor", "low"),
        ("detector", 5),
        ("base", None),
        ("size", [1, 1]),
        ("digest", 5),
        ("digest", "f" * 64),
    ]:
        yield json.dumps({**content, name: value})
    yield json.dumps({k: v for k, v in content.items() if k != "base"})
    yield text.replace('"seconds": 0.0', '"seconds": NaN')


def test_damaged_shown_proposals_are_refused_and_put_right_by_a_new_session(session, server):
    text = session.app.record("img00")[0]["shown_proposals"]
    for number, damaged in enumerate(damaged_texts(text)):
        write(session, shown_proposals=damaged)
        with pytest.raises(UserError, match="image img00 in the database is damaged"):
            session.dataset.read()
        if number % 5 == 0:
            session = again(session, server)
            assert session.app.record("img00")[0]["shown_proposals"] == text
    session = again(session, server)
    session.finish()


def test_damaged_shown_proposals_do_not_cost_the_work_on_its_image(session, server):
    session.app.relabel("img00", "p0", "dog")
    session.app.add_seconds(img00=3.0)
    session.app.mark()
    write(session, shown_proposals="gone")
    session = again(session, server)
    assert session.app.reviewed() == {"img01"}  # to be looked at once more
    session.finish()
    (made,) = submissions.read(session.paths.reviews)
    assert made.boxes["img00"].labels.tolist() == ["dog", "dog", "cat"]
    assert made.seconds["img00"] == 3.0


def test_boxes_that_the_app_cannot_show_are_gone_after_a_new_start(session, server):
    session.app.relabel("img00", "p0", "dog")
    break_box(session, bounding_box=None)
    assert "not four finite numbers" in refused(session)
    session = again(session, server)
    assert session.app.reviewed() == {"img01"}
    session.finish()
    (made,) = submissions.read(session.paths.reviews)
    assert made.boxes["img00"].ids.tolist() == ["p0", "p2"]
    assert made.boxes["img00"].labels[0] == "dog"


def test_a_deleted_image_is_missed_and_comes_back(session, server):
    session.app.mark()
    session.dataset._samples.delete_one({"image_id": "img00"})
    told = session.app.call("overview")["error"]
    assert "image img00 of batch b00 was deleted in the App" in told
    assert "boxloop review" in told
    assert "was deleted" in session.submit()["error"]
    session = again(session, server)
    assert session.app.reviewed() == {"img01"}
    assert len(session.app.record("img00")[0]["boxes"]["detections"]) == 3


def test_a_copy_of_an_image_is_neither_believed_nor_kept(session, server):
    session.app.relabel("img00", "p0", "dog")
    samples = session.dataset._samples
    copy = samples.find_one({"image_id": "img00"}) | {"_id": ObjectId()}
    samples.insert_one(copy | {"boxes": None})
    assert "image img00 of batch b00 is there twice" in session.submit()["error"]
    session = again(session, server)
    assert samples.count_documents({"image_id": "img00"}) == 1
    session.finish()
    (made,) = submissions.read(session.paths.reviews)
    assert set(made.boxes) == {"img00", "img01"}


def test_images_of_nobody_are_left_alone(session):
    samples = session.dataset._samples
    stranger = samples.find_one({"image_id": "img00"}) | {"_id": ObjectId(), "image_id": "zzz"}
    samples.insert_one(stranger)
    session.app.call("set_reviewed", samples=[str(stranger["_id"])], reviewed=True)
    session.finish()
    (made,) = submissions.read(session.paths.reviews)
    assert set(made.boxes) == {"img00", "img01"}
    assert samples.find_one({"image_id": "zzz"})["tags"] == []


def test_a_class_added_in_the_app_is_none_of_the_dataset(session):
    schema = {"type": "detections", "component": "dropdown", "classes": ["zebra"], "attributes": []}
    session.dataset.dataset.update_label_schema("boxes", schema)
    session.app.relabel("img00", "p0", "zebra")
    assert f"is of none of the classes {', '.join(CLASSES)}" in refused(session)


def test_nonsense_from_a_page_changes_nothing(session):
    before = session.app.overview()
    for operator, params in [
        ("set_reviewed", {}),
        ("set_reviewed", {"samples": "img00"}),
        ("set_reviewed", {"samples": [None, 7, "x", {"$gt": ""}], "reviewed": "no"}),
        ("add_seconds", {}),
        ("add_seconds", {"seconds": [1, 2]}),
        ("add_seconds", {"seconds": {"x": 1, "": 2}}),
        ("overview", {"anything": "else"}),
    ]:
        assert "error" not in session.app.call(operator, **params)
        assert session.app.overview() == before


def test_seconds_that_no_clock_measured_do_not_count(session):
    sample = session.app.samples()["img00"]
    for value in (-1, 0, "5", None, True, math.inf, math.nan, 10**400, [3]):
        session.controller.add_seconds({sample: value})
        assert session.app.overview()["seconds"] == 0, value


def test_an_edit_of_an_old_version_is_not_saved(session):
    """Two windows on one image: the App's server refuses the one that does not know the other."""
    _, version = session.app.record("img00")
    session.app.relabel("img00", "p0", "dog")
    operation = {"op": "replace", "path": "/boxes/detections/0/label", "value": "cat"}
    with pytest.raises(OSError, match="412"):
        session.app._patch("img00", [operation], version)
    assert session.app.record("img00")[0]["boxes"]["detections"][0]["label"] == "dog"
