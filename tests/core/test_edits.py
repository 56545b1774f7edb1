import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.boxes import iou_matrix
from boxloop.core.edits import TOLERANCE, Ledger, diff, judge, paired_by_id
from boxloop.core.types import Boxes
from builders import any_boxes, proposed

SHOWN = proposed(("cat", 0, 0, 10, 10, 0.9), ("dog", 20, 0, 30, 10, 0.8))


def table(boxes_):
    """Boxes as {id: (label, corners)}, to be edited like in a tool."""
    rows = zip(boxes_.ids.tolist(), boxes_.labels.tolist(), boxes_.xyxy.tolist(), strict=True)
    return {name: (label, tuple(corners)) for name, label, corners in rows}


def as_boxes(edited):
    return Boxes(
        np.array([corners for _, corners in edited.values()]).reshape(-1, 4),
        np.array([label for label, _ in edited.values()], dtype=np.str_),
        np.array(list(edited), dtype=np.str_),
    )


def test_every_kind_of_edit():
    final = as_boxes(
        {
            "p1": ("cat", (20, 0, 30, 10)),
            "new": ("dog", (40, 0, 50, 10)),
            "p0": ("cat", (0, 0, 12, 10)),
        }
    )
    assert diff(SHOWN, final) == Ledger(moved=1, relabeled=1, added=1)
    assert diff(SHOWN, final.select(np.array([1]))) == Ledger(removed=2, added=1)
    assert diff(SHOWN, SHOWN) == Ledger(kept=2)
    assert diff(SHOWN, Boxes.empty()) == Ledger(removed=2)
    assert diff(Boxes.empty(scored=True), final) == Ledger(added=3)
    assert diff(Boxes.empty(scored=True), Boxes.empty()) == Ledger()


def test_moved_and_relabeled_is_relabeled():
    final = as_boxes({"p0": ("dog", (5, 5, 15, 15)), "p1": ("dog", (20, 0, 30, 10))})
    assert diff(SHOWN, final) == judge(SHOWN, final, 0.5) == Ledger(kept=1, relabeled=1)


def test_deleted_and_drawn_again_is_a_removal_and_an_addition():
    """Even where the two boxes are the very same: it was work, and the ids tell."""
    final = as_boxes({"drawn": ("cat", (0, 0, 10, 10)), "p1": ("dog", (20, 0, 30, 10))})
    assert diff(SHOWN, final) == judge(SHOWN, final, 0.5) == Ledger(kept=1, removed=1, added=1)


@pytest.mark.parametrize("size", [1, 640, 10_000])
def test_what_a_round_trip_through_fractions_of_float32_changes_is_no_move(size):
    """x and width as float32 fractions of the image: the coarsest that a tool may keep."""
    rng = np.random.default_rng(0)
    edges = np.sort(rng.uniform(0, size, (200, 2, 2)), axis=1)
    xyxy = edges.reshape(200, 4)
    origin = (xyxy[:, :2] / size).astype(np.float32)
    extent = ((xyxy[:, 2:] - xyxy[:, :2]) / size).astype(np.float32)
    back = np.concatenate([origin, origin + extent], axis=1).astype(np.float64) * size
    shown = Boxes.build(xyxy, ["cat"] * 200, np.ones(200))
    assert (back != xyxy).any()
    assert diff(shown, Boxes(back, shown.labels, shown.ids)) == Ledger(kept=200)


@pytest.mark.parametrize("edge", range(4))
@pytest.mark.parametrize(("by", "kept"), [(0.9 * TOLERANCE, 2), (1.1 * TOLERANCE, 1)])
def test_one_edge_beyond_the_tolerance_is_a_move(edge, by, kept):
    xyxy = SHOWN.xyxy.copy()
    xyxy[1, edge] += by
    final = Boxes(xyxy, SHOWN.labels, SHOWN.ids)
    assert diff(SHOWN, final) == Ledger(kept=kept, moved=2 - kept)
    assert judge(SHOWN, final, 0.5) == Ledger(kept=2)


@pytest.mark.parametrize(("by", "moved"), [(0.005, 0), (0.02, 1)])
def test_a_fiftieth_of_a_pixel_is_a_move(by, moved):
    """In pixels, so that the tolerance itself is pinned."""
    xyxy = SHOWN.xyxy.copy()
    xyxy[0, 2] += by
    final = Boxes(xyxy, SHOWN.labels, SHOWN.ids)
    assert diff(SHOWN, final) == Ledger(kept=2 - moved, moved=moved)


def test_a_move_counts_from_where_the_iou_falls_below_the_threshold():
    shown = proposed(("cat", 0, 0, 10, 10, 0.9))
    final = as_boxes({"p0": ("cat", (0, 0, 10, 6))})  # IoU 0.6
    assert diff(shown, final) == Ledger(moved=1)
    assert judge(shown, final, 0.5) == Ledger(kept=1)
    assert judge(shown, final, 0.6) == Ledger(kept=1)
    assert judge(shown, final, 0.7) == Ledger(moved=1)


def test_ids_decide_not_geometry():
    """Two boxes that swapped their places: nearest pairs would see nothing."""
    shown = proposed(("cat", 0, 0, 10, 10, 0.9), ("cat", 50, 0, 60, 10, 0.9))
    final = Boxes(shown.xyxy[::-1], shown.labels, shown.ids)
    assert diff(shown, final) == judge(shown, final, 0.5) == Ledger(moved=2)


# --- scripts of edits, as in a tool, against plain loops ------------------------------------------

move = st.tuples(st.just("move"), st.integers(0, 9), st.integers(1, 7))
relabel = st.tuples(st.just("relabel"), st.integers(0, 9), st.sampled_from(["cat", "dog", "cow"]))
delete = st.tuples(st.just("delete"), st.integers(0, 9), st.just(None))
draw = st.tuples(st.just("draw"), st.integers(0, 40), st.sampled_from(["cat", "dog"]))
undo = st.tuples(st.just("undo"), st.just(0), st.just(None))
scripts = st.lists(st.one_of(move, relabel, delete, draw, undo), max_size=12)


def play(shown, script):
    """What a person is left with after the edits; an undo takes the last one back."""
    history = [table(shown)]
    for number, (kind, which, value) in enumerate(script):
        now = dict(history[-1])
        name = list(now)[which % len(now)] if now else None
        if kind == "undo":
            if len(history) > 1:
                history.pop()
            continue
        if kind == "draw":
            now[f"drawn{number}"] = (value, (which, 0, which + 5, 5))
        elif name is not None and kind == "delete":
            del now[name]
        elif name is not None:
            label, (x1, y1, x2, y2) = now[name]
            if kind == "relabel":
                now[name] = (value, (x1, y1, x2, y2))
            else:
                now[name] = (label, (x1, y1, x2 + value, y2))
        history.append(now)
    return history[-1]


def oracle(before, after, stays):
    """The counts, box by box."""
    counts = dict.fromkeys(("kept", "moved", "relabeled", "removed", "added"), 0)
    for name, (label, corners) in before.items():
        if name not in after:
            counts["removed"] += 1
        elif after[name][0] != label:
            counts["relabeled"] += 1
        else:
            counts["kept" if stays(corners, after[name][1]) else "moved"] += 1
    counts["added"] = sum(name not in before for name in after)
    return Ledger(**counts)


def iou(a, b):
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@settings(max_examples=60, deadline=None)
@given(any_boxes(scored=True), scripts, st.randoms(use_true_random=False))
def test_any_script_of_edits_in_any_order_of_boxes(shown, script, random):
    edited = play(shown, script)
    names = list(edited)
    random.shuffle(names)
    jitter = np.array([random.uniform(-1e-6, 1e-6) for _ in range(4 * len(names))]).reshape(-1, 4)
    clean = as_boxes({name: edited[name] for name in names})
    final = Boxes(clean.xyxy + jitter, clean.labels, clean.ids)
    before = table(shown)
    assert diff(shown, final) == oracle(before, edited, lambda a, b: a == b)
    for threshold in (0.45, 0.65):
        expected = oracle(before, edited, lambda a, b, t=threshold: iou(a, b) >= t)
        near = [abs(iou(before[n][1], edited[n][1]) - threshold) for n in before if n in edited]
        if min(near, default=1) > 1e-5:
            assert judge(shown, final, threshold) == expected


@settings(max_examples=30, deadline=None)
@given(any_boxes(scored=True), scripts)
def test_what_was_undone_was_never_done(shown, script):
    done = [step for step in script if step[0] != "undo"]
    undone = [*done, *[("undo", 0, None)] * len(done)]
    assert diff(shown, as_boxes(play(shown, undone))) == Ledger(kept=len(shown))


@settings(max_examples=30, deadline=None)
@given(any_boxes(scored=True), any_boxes(scored=False))
def test_every_box_is_counted_once(shown, final):
    for ledger in (diff(shown, final), judge(shown, final, 0.5)):
        assert ledger.kept + ledger.removals == len(shown)
        assert ledger.kept + ledger.additions == len(final)


@settings(max_examples=60, deadline=None)
@given(any_boxes(scored=True), scripts, st.randoms(use_true_random=False))
def test_the_overlap_of_a_pair_is_to_the_last_bit_that_of_the_whole_matrix(shown, script, random):
    """At the very IoU of a pair as threshold, where a last digit would turn kept into moved."""
    edited = play(shown, script)
    final = as_boxes({name: edited[name] for name in random.sample(list(edited), len(edited))})
    _, rows, columns = np.intersect1d(shown.ids, final.ids, return_indices=True)
    iou = iou_matrix(shown.xyxy, final.xyxy)[rows, columns]
    same = shown.labels[rows] == final.labels[columns]
    for threshold in (0.5, *iou.tolist()):
        masks = same & (iou >= threshold), ~same, same & (iou < threshold)
        expected = [list(zip(rows[m].tolist(), columns[m].tolist(), strict=True)) for m in masks]
        assert list(paired_by_id(shown, final, threshold)) == expected
        kept, relabeled, moved = map(len, expected)
        counts = judge(shown, final, threshold)
        assert (counts.kept, counts.relabeled, counts.moved) == (kept, relabeled, moved)


def test_counting_needs_room_for_the_boxes_not_for_all_their_pairs():
    """The ids and coordinates of 1,000 boxes take 0.1 MB; 1,000 x 1,000 overlaps, 40."""
    shown = Boxes.build(np.array([[0.0, 0.0, 10.0, 10.0]] * 1000), ["cat"] * 1000, np.ones(1000))
    tracemalloc.start()
    assert judge(shown, shown, 0.5) == Ledger(kept=1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


def test_a_box_that_was_drawn_and_removed_is_nothing():
    final = play(SHOWN, [("draw", 3, "cat"), ("delete", 2, None)])
    assert diff(SHOWN, as_boxes(final)) == Ledger(kept=2)


def test_a_count_cannot_be_negative():
    with pytest.raises(ValueError, match="negative"):
        Ledger(moved=-1)
