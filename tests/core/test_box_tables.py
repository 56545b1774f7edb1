import numpy as np
import pytest

from boxloop.core.box_tables import split_boxes
from boxloop.core.types import Boxes

ROWS = [[0, 0, 2, 3], [1, 1, 5, 4], [0.5, 0, 9, 9]]


def test_boxes_are_those_made_one_image_at_a_time():
    labels, ids, scores = ["cat", "dog", "horse"], ["p0", "p1", "p0"], [0.1, 0.2, 1.0]
    made = split_boxes([2, 0, 1], np.array(ROWS), labels, ids, np.array(scores))
    cuts = (slice(0, 2), slice(2, 2), slice(2, 3))
    assert made == [Boxes(np.array(ROWS[c]), labels[c], ids[c], np.array(scores[c])) for c in cuts]
    assert not any(array.flags.writeable for boxes in made for array in vars(boxes).values())


def test_no_images_and_no_boxes():
    assert split_boxes([], np.empty((0, 4)), [], []) == []
    assert split_boxes([0], np.empty((0, 4)), [], []) == [Boxes.empty()]


def test_a_long_label_takes_its_room_once():
    labels = ["cat", "x" * 10_000]
    first, second = split_boxes([1, 1], np.array(ROWS[:2]), labels, ["a", "b"])
    assert second.labels.tolist() == labels[1:]
    assert first.labels.itemsize == 4 * 3


@pytest.mark.parametrize(
    ("counts", "row", "ids", "scores", "words"),
    [
        ([3], [0, 0, 2, 3], ["a", "b", "a"], None, "ids must be unique"),
        ([1, 2], [2, 0, 2, 3], ["a", "b", "c"], None, "x2 > x1"),
        ([1, 2], [0, 0, np.nan, 3], ["a", "b", "c"], None, "must be finite"),
        ([1, 2], [0, 0, 2, 3], ["a", "b", "c"], [0.5, 0.5, 1.5], "scores must lie"),
        ([1, 2], [0, 0, 2, 3], ["a", "b", "c"], [0.5], "scores must be"),
        ([1, 1], [0, 0, 2, 3], ["a", "b", "c"], None, "2 boxes need as many"),
    ],
)
def test_what_no_image_may_have_none_of_them_may(counts, row, ids, scores, words):
    given = None if scores is None else np.array(scores)
    with pytest.raises(ValueError, match=words):
        split_boxes(counts, np.array([*ROWS[:2], row]), ["cat"] * 3, ids, given)
