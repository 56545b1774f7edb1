"""Which planted errors were caught, by what people left on the image."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.catching import in_words, judge_errors, undo, with_own_ids
from boxloop.core.edits import diff
from boxloop.core.planted import PlantedError, as_shown
from boxloop.core.types import Boxes
from builders import any_boxes, boxes, proposed
from builders_trials import tried

OWN = proposed(("cat", 10, 10, 30, 30, 0.9), ("dog", 50, 50, 70, 70, 0.8))
SHIFTED = PlantedError("shifted", "p0", "p0", "cat", (19, 10, 39, 30), 0.9)
RELABELED = PlantedError("relabeled", "p0", "p0", "dog", (10, 10, 30, 30), 0.9)
DOUBLED = PlantedError("doubled", "p0", "p0.2", "cat", (11, 11, 31, 31), 0.85)
HIDDEN = PlantedError("hidden", "p0", "", "cat", (10, 10, 30, 30), 0.9)


def left(*rows):
    """Boxes as people left them, from rows of (id, label, x1, y1, x2, y2)."""
    made = boxes(*(row[1:] for row in rows))
    return replace(made, ids=np.array([row[0] for row in rows], np.str_))


REST = ("p1", "dog", 50, 50, 70, 70)
P0 = ("p0", "cat", 10, 10, 30, 30)


@pytest.mark.parametrize(
    ("error", "rows", "state"),
    [
        (SHIFTED, [("p0", "cat", 19, 10, 39, 30)], "missed"),
        (SHIFTED, [("p0", "cat", 18, 10, 38, 31)], "missed"),  # touched, and still wrong
        (SHIFTED, [("p0", "dog", 19, 10, 39, 30)], "missed"),
        (SHIFTED, [("p0", "cat", 11, 9, 30, 30)], "caught"),
        (SHIFTED, [("new", "cat", 10, 10, 30, 30)], "caught"),
        (SHIFTED, [("p0", "cat", 80, 80, 90, 90)], "caught"),
        (SHIFTED, [], "caught"),
        (RELABELED, [("p0", "dog", 10, 10, 30, 30)], "missed"),
        (RELABELED, [("p0", "dog", 12, 10, 30, 30)], "missed"),
        (RELABELED, [P0], "caught"),
        (RELABELED, [("new", "cat", 10, 10, 30, 30)], "caught"),
        (DOUBLED, [P0, ("p0.2", "cat", 11, 11, 31, 31)], "missed"),
        (DOUBLED, [P0], "caught"),
        (DOUBLED, [("p0.2", "cat", 11, 11, 31, 31)], "caught"),
        (DOUBLED, [P0, ("p0.2", "cat", 80, 80, 90, 90)], "caught"),  # taken for another object
        (DOUBLED, [P0, ("p0.2", "dog", 11, 11, 31, 31)], "caught"),
        (HIDDEN, [], "missed"),
        (HIDDEN, [("new", "cat", 80, 80, 90, 90)], "missed"),
        (HIDDEN, [("new", "cat", 12, 9, 32, 28)], "caught"),
        (HIDDEN, [("new", "dog", 12, 9, 32, 28)], "caught"),  # found, whatever it was taken for
    ],
)
def test_what_people_left_tells(error, rows, state):
    final = with_own_ids(left(*rows, REST), OWN, [error])
    (judged,) = judge_errors([error], OWN, final, "ann")
    assert (judged.state, judged.reviewer) == (state, "ann")


@pytest.mark.parametrize(
    ("error", "rows", "kept", "relabeled"),
    [
        (SHIFTED, [P0], 2, 0),
        (DOUBLED, [("p0.2", "cat", 10, 10, 30, 30)], 2, 0),
        (HIDDEN, [("new", "cat", 10, 10, 30, 30)], 2, 0),
        (HIDDEN, [("new", "dog", 10, 10, 30, 30)], 1, 1),
    ],
)
def test_an_error_put_right_costs_what_the_detector_s_box_would_have(error, rows, kept, relabeled):
    edits = diff(OWN, with_own_ids(left(*rows, REST), OWN, [error]))
    assert (edits.kept, edits.relabeled, edits.removed, edits.added) == (kept, relabeled, 0, 0)


def test_each_hidden_box_is_found_by_one_drawn_box():
    own = proposed(("cat", 10, 10, 30, 30, 0.9), ("cat", 12, 10, 32, 30, 0.8))
    errors = [HIDDEN, replace(HIDDEN, box="p1", xyxy=(12, 10, 32, 30))]
    final = with_own_ids(left(("new", "cat", 12, 10, 32, 30)), own, errors)
    assert final.ids.tolist() == ["p1"]
    assert [e.state for e in judge_errors(errors, own, final, "ann")] == ["missed", "caught"]


@pytest.mark.parametrize("error", [SHIFTED, RELABELED, DOUBLED, HIDDEN])
def test_a_second_look_decides(error):
    final = as_shown(OWN, [error])
    submitted = Boxes(final.xyxy, final.labels, final.ids)
    (missed,) = judge_errors([error], OWN, submitted, "ann")
    again = undo(submitted, OWN, [missed])
    by_id = dict(zip(again.ids.tolist(), again.xyxy.tolist(), strict=True))
    assert by_id == dict(zip(OWN.ids.tolist(), OWN.xyxy.tolist(), strict=True))
    assert sorted(again.labels.tolist()) == sorted(OWN.labels.tolist())
    assert "on purpose" in in_words(missed, OWN)
    (mended,) = judge_errors([missed], OWN, with_own_ids(again, OWN, [missed]), "bob")
    (stands,) = judge_errors([missed], OWN, with_own_ids(submitted, OWN, [missed]), "bob")
    assert (mended.state, mended.reviewer, mended.counts) == ("mended", "ann", True)
    assert (stands.state, stands.counts) == ("stands", False)
    # What is decided stays so, whatever a redo does.
    assert judge_errors([mended, stands], OWN, submitted, "eve") == (mended, stands)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), any_boxes(scored=True, side=6), min_size=1),
       st.floats(0.1, 1), st.integers(0, 9))  # fmt: skip
def test_who_touches_nothing_misses_all_and_undoing_gives_the_detector_s(table, plant, seed):
    for image_id, errors in tried(table, 0.0, plant, seed=seed).planted.items():
        own = table[image_id].above(0.5)
        shown = as_shown(own, errors)
        final = with_own_ids(replace(shown, scores=None), own, errors)
        judged = judge_errors(errors, own, final, "ann")
        assert {e.state for e in judged} == {"missed"}
        undone = undo(final, own, judged)
        assert diff(own, undone).kept == len(own) == len(undone)
        assert {e.state for e in judge_errors(judged, own, undone, "ann")} == {"mended"}
