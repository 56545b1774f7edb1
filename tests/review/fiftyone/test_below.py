"""Proposals below the threshold: on demand, kept by their ids, and what the batch costs so far."""

import json
from dataclasses import replace

import numpy as np
import pytest

from boxloop.campaign import artifacts, submissions
from boxloop.core.edits import diff, kept_below
from boxloop.core.types import ImageRef, Proposals
from boxloop.core.workload import BatchWorkload
from boxloop.review.fiftyone.assignment import new_item
from boxloop.review.fiftyone.live_cost import seconds_by_hand
from boxloop.review.fiftyone.shown_proposals import ShownProposals, object_id
from builders_sessions import OFFERED, A, B, C, D, Session, campaign, images, scored

IMAGE = ImageRef("img00", "img00.png", 100, 80, "0" * 64)


@pytest.fixture
def paths(tmp_path):
    return campaign(tmp_path / "c", {"b00": images(2, ()), "b01": images(2, first=2)})


@pytest.fixture
def open_session(datasets, server, paths):
    return lambda key="b00", **options: Session(server, paths, key, **options)


def shown(threshold):
    proposals = Proposals("b01", "ssd", "0" * 64, 0.05, {"img00": scored(OFFERED)})
    return ShownProposals.of(new_item(IMAGE, proposals, threshold))


def test_what_is_not_drawn_is_offered():
    assert shown(0.5).below.ids.tolist() == ["p3"]
    assert shown(0.75).below.ids.tolist() == ["p2", "p3"]
    assert shown(0.05).below.ids.tolist() == []
    # Where no proposal at all is worth showing, none is offered either.
    assert shown(1.0).below.ids.tolist() == []
    # What a redo starts from is there already.
    item = shown(0.5).item
    redone = replace(item, start=replace(scored(OFFERED), scores=None), base="2024")
    assert ShownProposals.of(redone).below.ids.tolist() == []


def test_a_box_from_below_keeps_its_proposal_s_id_and_place():
    x1, y1, x2, y2 = D
    place = [x1 / 100 + 1e-7, y1 / 80, (x2 - x1) / 100, (y2 - y1) / 80]
    raw = shown(0.5).to_raw_box(object_id("img00", "p3"), "dog", place)
    assert (raw.id, raw.xyxy) == ("p3", D)
    assert shown(0.5).to_raw_box("f" * 24, "dog", place).id == "f" * 24


def test_it_counts_as_added_and_apart():
    offered = scored(OFFERED)
    final = replace(offered, scores=None).select(np.array([True, True, False, True]))
    assert kept_below(offered, 0.5, final) == 1
    assert kept_below(offered, 0.1, final) == 0
    edits = diff(offered.above(0.5), final)
    assert (edits.kept, edits.removed, edits.added) == (2, 1, 1)


def test_the_first_batch_tells_what_drawing_takes():
    first = BatchWorkload("b00", "fiftyone", "empty", 2, 10, 0.5, {}, {}, 80.0, 2)
    assert seconds_by_hand([first]) == 8.0
    for other in (
        replace(first, detector="ssd"),  # it began with proposals
        replace(first, timed_images=1),
        replace(first, objects=0),
    ):
        assert seconds_by_hand([other]) is None
    assert seconds_by_hand([]) is None


def test_from_the_panel_to_the_journal(open_session, paths):
    first = open_session("b00")
    first.app.draw("img00", A, "cat")
    first.app.draw("img01", B, "dog")
    first.app.add_seconds(img00=10.0, img01=6.0)
    first.finish()
    app = (session := open_session("b01")).app
    view = app.overview()
    assert (view["has_below"], view["shown_from"], view["kept_below"]) == (True, 0.5, 0)
    assert view["doubtful"] == pytest.approx(0.77, abs=0.04)  # of .9, .8, .7, twice
    (row,) = app.call("below", sample=app.samples()["img02"])["rows"]
    assert (row["label"], row["score"]) == ("dog", 0.2)
    assert app.call("below", sample="nobody's")["rows"] == []
    value = {"_cls": "Detection", "_id": row["id"], "label": "dog", "bounding_box": row["box"]}
    app.restore("img02", value)
    app.delete("img02", "p0")
    assert app.call("below", sample=app.samples()["img02"])["rows"] == []
    app.mark("img02")
    view = app.overview()
    assert view["edits"] == {"kept": 2, "moved": 0, "relabeled": 0, "removed": 1, "added": 1}
    assert view["kept_below"] == 1
    # One drawn (T) and one removed (T / 2) for three boxes.
    assert [(c["wt"], c["by_hand"]) for c in view["cost"]] == [(1.5, 3.0)] * 2
    assert view["cost_seconds"] == {"spent": 0, "by_hand": 24.0, "a_box": 8.0}
    assert "  1 of the added kept from below the threshold\n" in session.finish()
    made = next(m for m in submissions.read(paths.reviews) if m.batch == "b01")
    assert made.boxes["img02"].ids.tolist() == ["p1", "p2", "p3"]
    assert made.boxes["img02"].xyxy.tolist() == [list(B), list(C), list(D)]
    out = paths.root / "b01.json"
    artifacts.write_corrections(out, made)
    edits = json.loads(out.read_text())["edits"]
    assert edits["img02"]["kept_below"] == 1
    assert "kept_below" not in edits["img03"]  # as files without any have always been
    assert artifacts.read_corrections(out) == made
