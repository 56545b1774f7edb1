import pytest
from hypothesis import given, settings

from boxloop.core.types import Boxes
from boxloop.models.average_precision import average_precision
from builders import any_boxes, boxes, proposed


def test_a_precision_recall_curve_by_hand():
    """Two objects; found, missed-at-0.5 false alarm in between, found: AP50 = (1 + 2/3) / 2."""
    final = {"a": boxes(("cat", 0, 0, 10, 10), ("cat", 20, 0, 30, 10))}
    found = {
        "a": proposed(
            ("cat", 0, 0, 10, 10, 0.9), ("cat", 50, 0, 60, 10, 0.8), ("cat", 20, 0, 30, 10, 0.7)
        )
    }
    # COCO samples precision at 101 recalls: 51 at or below 0.5 with precision 1, 50 with 2/3.
    assert average_precision(found, final)["map_50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_loose_box_counts_up_to_its_iou():
    final, found = {"a": boxes(("cat", 0, 0, 10, 10))}, {"a": proposed(("cat", 0, 0, 10, 7.7, 0.9))}
    result = average_precision(found, final)
    assert (result["map_50"], result["map_75"]) == (pytest.approx(1), pytest.approx(1))
    assert result["map"] == pytest.approx(6 / 10)  # 0.50 ... 0.75 of ten thresholds


def test_classes_are_averaged():
    final = {"a": boxes(("cat", 0, 0, 10, 10)), "b": boxes(("dog", 0, 0, 10, 10))}
    found = {"a": proposed(("cat", 0, 0, 10, 10, 0.9)), "b": proposed(("cat", 0, 0, 10, 10, 0.8))}
    assert average_precision(found, final)["map"] == pytest.approx(0.5)


def test_nothing_to_find_has_no_precision():
    assert average_precision({"a": proposed(("cat", 0, 0, 1, 1, 0.9))}, {"a": Boxes.empty()}) == {}


def test_nothing_found_is_zero():
    assert average_precision({}, {"a": boxes(("cat", 0, 0, 1, 1))})["map"] == 0.0


@settings(max_examples=20, deadline=None)
@given(any_boxes(scored=False), any_boxes(scored=True))
def test_always_a_fraction_and_never_better_at_a_tighter_iou(final, found):
    result = average_precision({"a": found}, {"a": final})
    assert all(0 <= value <= 1 + 1e-9 for value in result.values())
    if result:
        assert result["map_75"] <= result["map_50"] + 1e-9


def test_boxes_away_from_the_origin_are_not_stretched():
    final = {"a": boxes(("cat", 50, 50, 60, 60))}
    found = {"a": proposed(("cat", 54, 50, 64, 60, 0.9))}  # IoU 60 / 140
    assert average_precision(found, final)["map_50"] == 0
