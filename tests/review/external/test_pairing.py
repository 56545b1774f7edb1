import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.edits import diff
from boxloop.core.types import Boxes
from boxloop.review.external.pairing import (
    assign_ids,
    pair_by_id,
    pair_by_place,
    rounding_tolerance,
)
from builders import CLASSES, boxes, proposed

DECIMALS = (0.05, 0.05, 0.05, 0.05)


def handed(shown, final, pairs, tolerance=DECIMALS):
    return assign_ids(shown, final, pairs, taken=shown.ids.tolist(), tolerance=tolerance)


def test_the_same_place_comes_before_the_same_label():
    shown = proposed(("cat", 0, 0, 10, 10, 0.9))
    final = boxes(("cat", 0, 0, 10, 8), ("dog", 0, 0, 10, 10))
    assert pair_by_place(shown, final) == {1: 0}


def test_a_dragged_box_is_found_again():
    shown = proposed(("cat", 0, 0, 10, 10, 0.9), ("cat", 30, 0, 40, 10, 0.9))
    final = boxes(("cat", 35, 0, 45, 10), ("cat", 2, 0, 12, 10))
    assert pair_by_place(shown, final) == {0: 1, 1: 0}


def test_a_copied_box_leaves_the_id_with_the_nearest():
    shown = proposed(("cat", 0, 0, 10, 10, 0.9))
    final = boxes(("cat", 40, 0, 50, 10), ("cat", 1, 0, 11, 10), ("dog", 0, 0, 10, 10))
    pairs = pair_by_id(shown, final, ["p0", "p0", None])
    assert pairs == {1: 0}
    assert handed(shown, final, pairs).ids.tolist() == ["i0", "p0", "i1"]


def test_an_id_that_no_proposal_has_means_nothing():
    shown = proposed(("cat", 0, 0, 10, 10, 0.9))
    final = boxes(("cat", 0, 0, 10, 10))
    assert pair_by_id(shown, final, ["p9"]) == {}


def test_named_proposals_need_room_for_the_boxes_not_for_all_their_pairs():
    shown = Boxes.build(np.array([[0.0, 0.0, 10.0, 10.0]] * 1000), ["cat"] * 1000, np.ones(1000))
    tracemalloc.start()
    assert pair_by_id(shown, shown, shown.ids.tolist()) == {i: i for i in range(1000)}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


def test_a_drawn_box_never_takes_the_id_of_a_hidden_proposal():
    final = boxes(("cat", 0, 0, 10, 10), ("dog", 0, 0, 10, 10))
    result = assign_ids(Boxes.empty(scored=True), final, {}, taken=["i0"], tolerance=DECIMALS)
    assert result.ids.tolist() == ["i1", "i2"]


def test_what_a_tool_rounded_was_not_moved():
    shown = proposed(("cat", 1.62, 2.71, 20.43, 30.97, 0.9), ("dog", 40.004, 2, 50, 12, 0.9))
    cut = boxes(("cat", 1, 2, 19, 30), ("dog", 40, 2, 49, 12))  # x, y, width, height cut down
    result = handed(shown, cut, {0: 0, 1: 1}, rounding_tolerance([shown], [cut]))
    assert diff(shown, result).kept == 2
    assert result.xyxy.tolist() == shown.xyxy.tolist()
    decimals = boxes(("cat", 1.62, 2.71, 20.43, 30.97), ("dog", 40.0, 2, 49.2, 12))
    result = handed(shown, decimals, {0: 0, 1: 1}, rounding_tolerance([shown], [decimals]))
    assert (diff(shown, result).kept, diff(shown, result).moved) == (1, 1)


def test_whole_proposals_leave_nothing_to_round():
    shown, final = proposed(("cat", 1, 2, 20, 30, 0.9)), boxes(("cat", 1, 2, 19, 30))
    assert rounding_tolerance([shown], [final]) == DECIMALS


@settings(max_examples=60)
@given(st.data())
def test_a_tool_that_keeps_ids_gives_the_edits_exactly(data):
    """Random edits; the tool writes two decimals and changes the order."""
    count = data.draw(st.integers(0, 6))
    number = st.floats(0, 500, width=32)
    rows = [
        ("cat", x, y, x + 8.126, y + 9.374, 0.9)
        for x, y in data.draw(st.lists(st.tuples(number, number), min_size=count, max_size=count))
    ]
    shown = proposed(*rows)
    acts = data.draw(st.lists(st.sampled_from("kmrda"), min_size=count, max_size=count))
    final, said = [], []
    for i, act in enumerate(acts):
        x1, y1, x2, y2 = shown.xyxy[i].tolist()
        if act != "d":
            move = 3.0 if act == "m" else 0.0
            final.append(("dog" if act == "r" else "cat", x1 + move, y1, x2, y2))
            said.append(f"p{i}")
        if act == "a":
            final.append(("cat", 600, 10 * i, 610, 10 * i + 9))
            said.append(None)
    order = data.draw(st.permutations(range(len(final))))
    back = boxes(*((r[0], *np.round(r[1:], 2)) for r in (final[i] for i in order)))
    names = [said[i] for i in order]
    result = handed(shown, back, pair_by_id(shown, back, names))
    ledger = diff(shown, result)
    assert ledger.moved == acts.count("m")
    assert ledger.relabeled == acts.count("r")
    assert ledger.removed == acts.count("d")
    assert ledger.added == acts.count("a")
    assert ledger.kept == acts.count("k") + acts.count("a")


@settings(max_examples=60)
@given(st.data())
def test_pairs_by_place_are_one_to_one_and_keep_what_was_not_touched(data):
    side = st.integers(0, 20)
    row = st.tuples(st.sampled_from(CLASSES), side, side).map(
        lambda r: (r[0], r[1], r[2], r[1] + 5, r[2] + 5)
    )
    some = data.draw(st.lists(row, max_size=6, unique=True))
    shown = proposed(*((*r, 0.9) for r in some))
    kept = data.draw(st.lists(st.sampled_from(some), unique=True) if some else st.just([]))
    drawn = data.draw(st.lists(row, max_size=3))
    final = boxes(*kept, *drawn)
    pairs = pair_by_place(shown, final)
    assert len(set(pairs.values())) == len(pairs)
    result = handed(shown, final, pairs)
    assert diff(shown, result).kept >= len(kept)
    assert result.xyxy.tolist() == final.xyxy.tolist()
