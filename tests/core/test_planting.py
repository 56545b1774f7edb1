"""Which images are blind, and what is planted among the proposals of the others."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from boxloop.core.boxes import iou_matrix
from boxloop.core.planted import KINDS, as_shown
from boxloop.core.planting import draw
from boxloop.core.types import Boxes, ImageRef
from boxloop.review.validation import RawBox, check_image
from builders import CLASSES, any_boxes, proposed
from builders_trials import SIDE, tried

ROWS = [("cat", 1, 1, 4, 4, 0.9), ("dog", 6, 1, 9, 4, 0.8), ("cat", 1, 6, 4, 9, 0.6)]


def same(count, rows=ROWS):
    return {f"i{n:03d}": proposed(*rows) for n in range(count)}


def is_sound(boxes, classes=CLASSES):
    raw = [
        RawBox(i, label, tuple(xyxy))
        for i, label, xyxy in zip(
            boxes.ids.tolist(), boxes.labels.tolist(), boxes.xyxy.tolist(), strict=True
        )
    ]
    return not check_image(ImageRef("i", "i.png", SIDE, SIDE, ""), raw, classes)[1]


def test_nothing_is_tried_unless_it_is_asked_for():
    found = tried(same(20))
    assert (found.blind, found.planted) == (frozenset(), {})


@pytest.mark.parametrize("rows", [[], [("cat", 1, 1, 4, 4, 0.4)]])
def test_a_batch_that_shows_no_proposal_has_nothing_to_hide(rows):
    found = tried(same(20, rows), 0.5, 0.5)
    assert (found.blind, found.planted) == (frozenset(), {})


def test_labels_that_images_had_are_left_alone():
    labels = Boxes.build([[1, 1, 4, 4.0]], ["cat"], [1.0], prefix="label")
    table = {**same(4), "old": labels}
    found = tried(table, 1.0)
    assert found.blind == {"i000", "i001", "i002", "i003"}
    assert "old" not in tried(table, 0.0, 1.0).planted


def test_the_fractions_are_right_over_many_small_batches():
    found = [tried(same(7), 0.05, 0.1, batch=f"b{n:02d}") for n in range(150)]
    blind = sum(len(trials.blind) for trials in found)
    assert blind / (150 * 7) == pytest.approx(0.05, abs=0.015)
    errors = [e for trials in found for of_image in trials.planted.values() for e in of_image]
    shown = sum(3 * (7 - len(trials.blind)) for trials in found)
    assert len(errors) / shown == pytest.approx(0.1, abs=0.015)
    kinds = [e.kind for e in errors]
    assert min(map(kinds.count, KINDS)) > 0.15 * len(kinds)


def test_the_better_half_of_the_proposals_comes_first():
    errors = [e for found in tried(same(20), 0.0, 0.4).planted.values() for e in found]
    assert len(errors) == 24
    assert {e.box for e in errors} == {"p0", "p1"}


def test_the_choice_is_the_seed_s_and_the_images_alone():
    table = same(30)
    first, again = tried(table, 0.3, 0.2), tried(dict(reversed(table.items())), 0.3, 0.2)
    assert (first.blind, first.planted) == (again.blind, again.planted)
    assert tried(table, 0.3, 0.2, seed=1).blind != first.blind
    # More are asked for, and those that were chosen stay.
    assert first.blind < tried(table, 0.5).blind


def test_numbers_are_drawn_evenly():
    drawn = np.array([draw(3, "x", str(n)) for n in range(1000)])
    counts, _ = np.histogram(drawn, bins=10, range=(0, 1))
    assert counts.min() > 60
    assert draw(3, "a", "b") != draw(3, "ab")


tables = st.dictionaries(
    st.sampled_from("abcdef"), any_boxes(scored=True, side=6), min_size=1, max_size=6
)


@settings(max_examples=25, deadline=None)
@given(tables, st.floats(0, 1), st.floats(0, 1), st.integers(0, 99))
def test_each_error_is_one_and_gives_itself_away_by_nothing_else(table, blind, plant, seed):
    found = tried(table, blind, plant, seed=seed)
    assert not found.blind & set(found.planted)
    for image_id, errors in found.planted.items():
        own = table[image_id].above(0.5)
        shown = as_shown(own, errors)
        places = dict(zip(own.ids.tolist(), own.xyxy, strict=True))
        hidden = sum(e.kind == "hidden" for e in errors)
        assert len(shown) == len(own) - hidden + sum(e.kind == "doubled" for e in errors)
        assert (shown.scores >= 0.5).all()
        assert (np.diff(shown.scores) <= 0).all()
        assert (shown.xyxy >= 0).all()
        assert (shown.xyxy <= SIDE).all()
        assert len({e.box for e in errors}) == len(errors)
        for error in errors:
            own_row = places[error.box][None]
            overlap = iou_matrix(own_row, np.array([error.xyxy]))[0, 0]
            own_label = str(own.labels[own.ids == error.box][0])
            if error.kind == "shifted":
                assert 0.28 < overlap < 0.45
                assert error.label == own_label
            elif error.kind == "relabeled":
                assert (overlap, error.label != own_label) == (1.0, True)
            elif error.kind == "doubled":
                assert 0.75 < overlap < 0.9
                assert error.label == own_label
            else:
                assert error.box not in shown.ids.tolist()


@settings(max_examples=25, deadline=None)
@given(tables, st.floats(0.1, 1), st.integers(0, 99))
def test_what_is_planted_could_be_submitted_by_who_does_not_see_it(table, plant, seed):
    assume(all(is_sound(boxes.above(0.5)) for boxes in table.values()))
    for image_id, errors in tried(table, 0.0, plant, seed=seed).planted.items():
        assert is_sound(as_shown(table[image_id].above(0.5), errors))


def test_one_class_cannot_be_taken_for_another_and_a_full_box_cannot_be_shifted():
    full = {f"i{n}": proposed(("cat", 0, 0, SIDE, SIDE, 0.9)) for n in range(40)}
    found = tried(full, 0.0, 1.0, classes=("cat",)).planted.values()
    assert {e.kind for (e,) in found} == {"doubled", "hidden"}


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [
        ((0.9764, 0.80035, 0.61), 0.5),
        ((0.9, 0.83, 0.62), 0.5),
        ((0.53, 0.53, 0.53), 0.525),  # nearer to the threshold than a digit
        ((0.9, 0.8, 0.6), 0.5),
        ((1.0, 1.0, 1.0), 0.5),  # of boxes without scores
    ],
)
def test_a_planted_score_has_no_more_digits_than_those_of_the_detector(scores, threshold):
    rows = [(*row[:5], score) for row, score in zip(ROWS, scores, strict=True)]
    places = max(len(f"{score:g}".partition(".")[2]) for score in scores)
    table = same(60, rows)
    found = tried(table, 0.0, 1.0, threshold=threshold).planted
    doubled = [e for errors in found.values() for e in errors if e.kind == "doubled"]
    assert doubled
    for error in doubled:
        assert error.score == round(error.score, places)
        assert threshold <= error.score <= max(scores)
    lower = [e for e in doubled if e.score < scores[int(e.box[1:])]]
    assert bool(lower) == (scores[0] not in (0.53, 1.0))
