"""Blind images and planted errors in the journal, and what becomes of them on the way to labels."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from boxloop.campaign import artifacts, class_changes, missed, screening, submissions
from boxloop.campaign.class_changes import ClassChange
from boxloop.campaign.quick_reading import read_claims
from boxloop.core.edits import Ledger
from boxloop.core.planted import PlantedError
from boxloop.core.types import Corrections, ImageRef, ImageSet
from boxloop.core.workload import account
from boxloop.errors import ArtifactError, ReviewPending
from builders import boxes, proposals, proposed

A, B = ("cat", 10, 10, 30, 30, 0.9), ("dog", 50, 50, 70, 70, 0.8)
OFFERED = proposals({name: proposed(A, B) for name in "abc"})
SHIFTED = PlantedError("shifted", "p0", "p0", "cat", (19.0, 10.0, 39.0, 30.0), 0.9, "missed", "ann")
HIDDEN = PlantedError("hidden", "p1", "", "dog", (50.0, 50.0, 70.0, 70.0), 0.8, "caught", "ann")

DOUBLED = replace(SHIFTED, kind="doubled", shown="double")


def entry(ids="abc", second=1, planted=None, blind=("b",), batch="b01"):
    """A submission of the detector's boxes; those of blind images are drawn."""
    offered = replace(OFFERED, batch=batch, boxes={i: OFFERED.boxes[i] for i in ids})
    final = {i: boxes(A[:5], B[:5], prefix="t" if i in blind else "p") for i in ids}
    planted = {"a": (SHIFTED, HIDDEN)} if planted is None else planted
    return Corrections(
        offered,
        0.5,
        "fiftyone",
        final,
        reviewer="ann",
        finished=f"2024-01-01T12:00:{second:02d}+00:00",
        classes=("cat", "dog"),
        blind=tuple(i for i in ids if i in blind),
        planted={i: errors for i, errors in planted.items() if i in ids},
    )


def test_the_journal_keeps_what_was_tried(tmp_path):
    path = submissions.append(tmp_path, entry())
    assert artifacts.read_corrections(path) == entry()
    content = json.loads(path.read_text())
    assert content["blind"] == ["b"]
    assert content["planted"]["a"][0] == {
        "kind": "shifted", "box": "p0", "shown": "p0", "label": "cat", "xyxy": [19, 10, 39, 30],
        "score": 0.9, "state": "missed", "reviewer": "ann",
    }  # fmt: skip
    assert content["edits"]["b"]["added"] == 2
    assert content["edits"]["a"]["kept"] == 2


def test_files_without_trials_have_no_word_of_them(tmp_path):
    path = submissions.append(tmp_path, entry(planted={}, blind=()))
    assert not {"blind", "planted"} & json.loads(path.read_text()).keys()


def test_people_saw_one_thing_and_their_work_counts_against_another():
    made = entry()
    shown, counted = made.shown(), made.counted()
    assert shown["a"].ids.tolist() == ["p0"]
    assert shown["a"].xyxy.tolist() == [[19, 10, 39, 30]]
    assert (len(shown["b"]), len(counted["b"])) == (0, 0)
    assert shown["c"] == counted["c"] == OFFERED.boxes["c"]
    assert counted["a"] == OFFERED.boxes["a"]
    workload = account(made, (0.5,), (), {})
    assert workload.edits == workload.ledger(0.5) == Ledger(kept=4, added=2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"blind": ("a", "b")}, "a cannot be blind and have planted errors"),
        ({"blind": ("x",)}, "x is not among the images corrected"),
        ({"planted": {"a": (replace(SHIFTED, box="p7", shown="p7"),)}}, "p7, which is no proposal"),
        ({"planted": {"a": (SHIFTED, SHIFTED)}}, "two errors were planted on p0"),
        ({"planted": {"a": (replace(DOUBLED, shown="p1"),)}}, "of p0 has another proposal's id"),
        ({"planted": {"a": (DOUBLED, replace(DOUBLED, box="p1"))}}, "of p1 has another proposal's"),
    ],
)
def test_what_cannot_have_been_tried_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        replace(entry(), **wrong)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kind", "stolen", "Input should be"),
        ("state", "forgotten", "Input should be"),
        ("score", 2.0, "needs a score in"),
        ("xyxy", [30, 10, 20, 30], "needs x2 > x1"),
        ("xyxy", [10, 30, 20, 30], "and y2 > y1"),
        ("xyxy", [float("nan"), 10, 20, 30], "planted"),
        ("shown", "p1", "cannot be shifted and shown as"),
        ("label", "", "is blank"),
        ("reviewer", "a\nb", "holds a line break"),
    ],
)
def test_damage_is_named(tmp_path, key, value, message):
    path = submissions.append(tmp_path, entry())
    content = json.loads(path.read_text())
    content["planted"]["a"][0][key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=message):
        artifacts.read_corrections(path)


def test_a_batch_waits_while_an_error_is_in_its_labels():
    first = entry()
    with pytest.raises(ReviewPending) as waits:
        missed.require_none(submissions.assemble([first], OFFERED))
    assert str(waits.value) == (
        "batch b01 waits for a second look: 1 error that was planted was missed, which 'boxloop"
        " review b01 --planted' opens again (1 image), then 'dvc repro' goes on"
    )
    assert missed.missed_images([first], "abcx") == ["a"]
    looked = entry("a", 2, {"a": (replace(SHIFTED, state="mended"), HIDDEN)})
    assert missed.missed_images([first, looked], "abc") == []
    whole = missed.require_none(submissions.assemble([first, looked], OFFERED))
    assert (whole.blind, whole.planted["a"][0].state) == (("b",), "mended")


def test_an_image_keeps_its_trials_in_another_batch_and_under_another_name():
    moved = submissions.assemble([entry(batch="b07")], replace(OFFERED, batch="b02"))
    assert (moved.blind, list(moved.planted)) == (("b",), ["a"])
    item = replace(entry(), digests={i: f"digest of {i}" for i in "abc"})
    refs = [ImageRef(f"new {i}", f"{i}.png", 99, 99, f"digest of {i}") for i in "abc"]
    found = screening.screen([("file", item)], (), ImageSet(tuple(refs), ("cat", "dog")))
    (today,) = found.submissions
    assert (today.blind, today.planted) == (("new b",), {"new a": (SHIFTED, HIDDEN)})


def test_planted_labels_follow_a_renamed_class():
    change = ClassChange("rename", "cat", "lynx", datetime(2024, 2, 1, tzinfo=UTC))
    when = datetime(2024, 1, 1, tzinfo=UTC)
    found = class_changes.follow(entry(), [change], when)
    assert [e.label for e in found.planted["a"]] == ["lynx", "dog"]
    assert found.shown()["a"].labels.tolist() == ["lynx"]


def test_status_knows_without_reading_all(tmp_path):
    claims = read_claims(submissions.append(tmp_path, entry()))
    assert {claim.image_id: claim.missed for claim in claims} == {"a": True, "b": False, "c": False}
