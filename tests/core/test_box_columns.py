"""Boxes split from columns are those that are built one image at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.box_columns import split_boxes
from boxloop.core.types import Boxes
from builders import any_boxes


def columns(many):
    return (
        [f"i{n}" for n in range(len(many))],
        [len(boxes) for boxes in many],
        np.concatenate([boxes.xyxy for boxes in many]),
        np.concatenate([boxes.labels for boxes in many]),
    )


@settings(max_examples=60, deadline=None)
@given(st.booleans().flatmap(lambda s: st.lists(any_boxes(scored=s), min_size=1, max_size=4)))
def test_they_are_the_boxes_of_each_image(many):
    scored = many[0].scores is not None
    scores = np.concatenate([boxes.scores for boxes in many]) if scored else None
    ids = np.concatenate([boxes.ids for boxes in many])
    assert list(split_boxes(*columns(many), ids, scores).values()) == many


def test_without_ids_they_are_numbered_in_each_image():
    made = split_boxes(["a", "b", "c"], [2, 0, 1], np.tile([0, 0, 1, 1], (3, 1)), ["x", "y", "z"])
    assert [boxes.ids.tolist() for boxes in made.values()] == [["t0", "t1"], [], ["t0"]]
    assert made["b"] == Boxes.empty()


def test_they_cannot_be_written_to():
    made = split_boxes(["a"], [1], np.array([[0.0, 0, 1, 1]]), ["x"], ["p"], np.array([0.5]))["a"]
    for column in (made.xyxy, made.labels, made.ids, made.scores):
        with pytest.raises(ValueError, match="read-only"):
            column[...] = column


@pytest.mark.parametrize(
    ("xyxy", "ids", "scores", "message"),
    [
        ([0, 0, 0, 1], "pq", [0, 0], "image b: a box needs x2 > x1"),
        ([0, 0, np.nan, 1], "pq", [0, 0], "image b: coordinates must be finite"),
        ([0, 0, 1, 1], "pp", [0, 0], "image b: ids must be unique"),
        ([0, 0, 1, 1], "pq", [0, 1.5], "image b: scores must lie in"),
        ([0, 0, 1, 1], "pq", [np.nan, 0], "image b: scores must lie in"),
    ],
)
def test_a_box_that_cannot_be_names_its_image(xyxy, ids, scores, message):
    edges = np.array([[0.0, 0, 1, 1], [0, 0, 1, 1], xyxy])
    with pytest.raises(ValueError, match=message):
        split_boxes(["a", "b"], [1, 2], edges, list("xyz"), ["p", *ids], np.array([0.5, *scores]))


def test_a_long_label_takes_its_room_once():
    labels = ["cat", "x" * 10_000]
    edges = np.tile([0.0, 0, 1, 1], (2, 1))
    first, second = split_boxes(["a", "b"], [1, 1], edges, labels, ["p", "q"]).values()
    assert second.labels.tolist() == labels[1:]
    assert first.labels.itemsize == 4 * 3
