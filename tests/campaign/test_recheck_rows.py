"""Second looks in a file of corrections, by the names of today, and in the batch's assembly."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.class_changes import ClassChange
from boxloop.core.edits import Ledger
from boxloop.core.rechecking import as_reviewed, recheck_work
from boxloop.core.types import Boxes, Corrections, Proposals, Recheck
from boxloop.core.workload import account
from boxloop.errors import ArtifactError
from boxloop.review.fiftyone.assignment import Assignment
from boxloop.review.fiftyone.qa import marked

OFFERED = Boxes.build([[0, 0, 9, 9]], ["cat"], [0.9], prefix="p")
DRAWN = Boxes.build([[20, 0, 29, 9]], ["dog"])
LOOK = Recheck(DRAWN, "ann", "bob, eve", 4.5)


def corrections(**fields):
    made = {
        "proposals": Proposals("b01", "ssd", "0" * 64, 0.05, {"x": OFFERED, "y": OFFERED}),
        "score_threshold": 0.5,
        "annotator": "fiftyone",
        "boxes": {"x": DRAWN, "y": Boxes.empty()},
        "reviewer": "ann",
        "seconds": {"x": 7.0},
        "finished": "2024-01-01T12:00:00+00:00",
        "versions": {"boxloop": "0.2.0"},
        "classes": ("cat", "dog"),
    }
    return Corrections(**(made | fields))


def test_a_file_holds_second_looks_only_where_there_were_any(tmp_path):
    path = tmp_path / "b01.json"
    artifacts.write_corrections(path, corrections())
    assert b"rechecked" not in path.read_bytes()
    looked = corrections(rechecked={"y": LOOK})
    artifacts.write_corrections(path, looked)
    assert artifacts.read_corrections(path) == looked
    edits = json.loads(path.read_text())["edits"]["y"]
    assert (edits["removed"], edits["added"]) == (1, 1)  # those of the review


@pytest.mark.parametrize("table", ["before", "reviewer", "by", "seconds"])
def test_a_second_look_that_lacks_something(tmp_path, table):
    path = tmp_path / "b01.json"
    artifacts.write_corrections(path, corrections(rechecked={"y": LOOK}))
    content = json.loads(path.read_text())
    content["rechecked"][table] = {}
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"b01\.json, at rechecked: .*not of the same images"):
        artifacts.read_corrections(path)


def test_the_work_is_the_difference_to_the_labels_before():
    looked = corrections(rechecked={"x": Recheck(DRAWN, "ann", "bob", 1.5), "y": LOOK})
    assert as_reviewed(looked).boxes == {"x": DRAWN, "y": DRAWN}
    work = recheck_work([looked, corrections()])
    assert (work.images, work.changed, work.edits.removed, work.edits.kept) == (2, 1, 1, 1)
    assert (work.seconds, work.people) == (6.0, ("bob", "eve"))
    assert recheck_work([corrections()]) is None
    assert as_reviewed(corrections()) == corrections()


def test_an_image_of_which_a_box_was_only_moved_is_changed():
    before = replace(DRAWN, xyxy=DRAWN.xyxy + 2.0)
    work = recheck_work([corrections(rechecked={"x": replace(LOOK, before=before)})])
    assert (work.changed, work.edits) == (1, Ledger(moved=1))


def test_renamed_classes_reach_the_labels_before():
    change = ClassChange("rename", "dog", "hound", datetime(2025, 1, 1, tzinfo=UTC))
    looked = submissions.named_as_today(corrections(rechecked={"y": LOOK}), [change])
    assert looked.rechecked["y"].before.labels.tolist() == ["hound"]


def test_a_second_look_is_no_redo():
    first = corrections()
    later = replace(
        first.part(["y"]),
        reviewer="bob",
        finished="2024-01-02T12:00:00+00:00",
        rechecked={"y": LOOK},
    )
    made = submissions.assemble([first, later], first.proposals)
    assert (made.revision, made.reviewer) == (1, "ann")
    assert made.rechecked == {"y": LOOK}
    again = replace(later, rechecked={}, finished="2024-01-03T12:00:00+00:00")
    redone = submissions.assemble([first, later, again], first.proposals)
    assert (redone.revision, redone.reviewer) == (2, "ann, bob")
    assert not redone.rechecked
    # Nor is what was redone before it once more, where DVC brings the batch back as it was put
    # together.
    looked = replace(later, finished="2024-01-04T12:00:00+00:00")
    held = submissions.assemble([first, again, looked], first.proposals)
    assert held.revision == 2
    assert submissions.assemble([first, again, looked, held], first.proposals) == held


def test_seconds_cannot_be_negative():
    with pytest.raises(ValueError, match="seconds"):
        Recheck(DRAWN, None, "bob", -1.0)


def test_labels_that_were_given_and_classes_that_came_later_stay_what_they_were():
    base = corrections(given=("x",), classes=("cat",))
    session = Assignment(
        "second-look", ("cat", "dog"), (), (), "bob", qa=dict.fromkeys(base.boxes, base)
    )
    fixed = {"x": Boxes.empty(), "y": OFFERED}
    looked = marked(corrections(boxes=fixed, reviewer="bob"), session)
    assert (looked.given, looked.offered) == (("x",), {"x": ("cat",), "y": ("cat",)})
    assert account(looked, (0.5,), (), {}) == replace(
        account(base, (0.5,), (), {}), reviewer=looked.reviewer
    )
    assert recheck_work([looked]).images == 2
    # Nor does who gave them become a reviewer, also once DVC has put the batch together.
    named = replace(looked, rechecked={"x": replace(LOOK, reviewer="file"), "y": LOOK})
    once = submissions.assemble([named], named.proposals)
    assert once.reviewer == submissions.assemble([once], named.proposals).reviewer == "ann"
    assert marked(corrections(boxes=fixed), replace(session, qa={})).offered == {}
