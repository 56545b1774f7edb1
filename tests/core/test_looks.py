"""What is counted of an image, by the truth and by the proposals, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from boxloop.core.looks import Look, count, margins, small_area
from boxloop.core.types import Boxes
from builders import boxes, proposed

TRUTH = boxes(
    ("cat", 10, 10, 30, 30),  # proposed as a dog
    ("dog", 50, 10, 90, 50),  # proposed rightly
    ("dog", 10, 60, 20, 70),  # small; nobody proposed it
    ("cat", 60, 60, 99, 99),  # nobody proposed it
)
PROPOSED = proposed(
    ("dog", 10, 10, 30, 30, 0.9), ("dog", 50, 10, 90, 50, 0.8), ("cat", 30, 60, 50, 80, 0.6)
)


def look(final: Boxes, truth: Boxes | None) -> Look:
    return Look("i", "b01", "ada", False, final, PROPOSED, (100, 100), truth)


def test_by_the_truth() -> None:
    final = boxes(
        ("dog", 10, 10, 30, 30),  # the wrong class was left
        ("dog", 48, 8, 92, 52),  # 2 pixels wide on each side
        ("cat", 60, 60, 99, 99),
    )
    small = small_area([look(final, TRUTH)])
    assert 100 < small <= 400
    found = count(look(final, TRUTH), small)
    assert {k: v for k, v in found.items() if k not in ("tightness", "margin")} == {
        "recall": (3, 4),
        "unproposed": (1, 2),
        "unproposed_small": (0, 1),
        "labels": (2, 3),
        "wrong_labels_left": (1, 1),
    }
    assert found["tightness"] == (pytest.approx(2 + 1600 / 44**2), 3)
    assert found["margin"] == (pytest.approx(8), 12)


def test_a_right_label_or_a_third_one_is_no_wrong_label_left() -> None:
    for name in ("cat", "cow"):
        found = count(look(boxes((name, 10, 10, 30, 30)), TRUTH), 200.0)
        assert found["wrong_labels_left"] == (0, 1)
    assert count(look(Boxes.empty(), TRUTH), 200.0)["wrong_labels_left"] == (0, 0)


def test_by_the_proposals() -> None:
    final = boxes(
        ("cat", 10, 10, 30, 30),  # another label than the proposal
        ("dog", 49, 9, 91, 51),  # 1 pixel wide
        ("dog", 10, 60, 20, 70),  # drawn, small
        ("cat", 60, 60, 99, 99),  # drawn
    )
    found = count(look(final, None), 200.0)
    assert {k: v for k, v in found.items() if k not in ("tightness", "margin")} == {
        "boxes": (4, 1),
        "drawn": (2, 1),
        "drawn_small": (1, 1),
        "confirmed": (2, 3),
        "agreed": (1, 2),
    }
    assert found["margin"] == (pytest.approx(4), 8)


def test_an_image_without_objects_says_nothing() -> None:
    nothing = Boxes.empty()
    by_truth = count(look(nothing, nothing), 0.0)
    assert {total for _, total in by_truth.values()} == {0}
    assert count(look(nothing, None), 0.0)["boxes"] == (0, 1)
    assert small_area([]) == small_area([look(nothing, None)]) == 0


def test_sides_at_the_images_edge_have_no_margin() -> None:
    drawn = np.array([[0, 7, 33, 100], [10, 10, 20, 20]], float)
    around = np.array([[2, 10, 30, 97], [11, 11, 19, 19]], float)
    found = margins(drawn, around, (100, 100))
    np.testing.assert_array_equal(found, [[np.nan, 3, 3, np.nan], [1, 1, 1, 1]])
