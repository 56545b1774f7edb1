import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.boxes import iou_matrix
from boxloop.core.types import ImageRef
from boxloop.review.validation import (
    MOST_BOXES,
    PLACEHOLDER,
    Problem,
    RawBox,
    check_image,
    format_problems,
)

CLASSES = ("RBC", "WBC")
IMAGE = ImageRef("cell", "cell.png", 100, 80, "0" * 64)


def raw(*xyxy, label="RBC", id="x"):
    return RawBox(id, label, xyxy)


def faults(*boxes):
    checked, found = check_image(IMAGE, boxes, CLASSES)
    assert (checked is None) == bool(found)
    return [fault.message for fault in found]


def test_good_boxes_come_back_as_they_are():
    given_boxes = [raw(1, 2, 30, 40.5, id="p0"), raw(0, 0, 100, 80, id="new", label="WBC")]
    checked, found = check_image(IMAGE, given_boxes, CLASSES)
    assert found == []
    assert checked.xyxy.tolist() == [[1, 2, 30, 40.5], [0, 0, 100, 80]]
    assert checked.labels.tolist() == ["RBC", "WBC"]
    assert checked.ids.tolist() == ["p0", "new"]
    assert checked.scores is None


def test_an_image_without_boxes_is_fine():
    checked, found = check_image(IMAGE, [], CLASSES)
    assert len(checked) == 0
    assert found == []


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (raw(60, 10, 114, 30), "box of class 'RBC' at (60, 10) sticks out of the image by 14 px"
         " on the right"),
        (raw(60, -0.5, 114, 30), "box of class 'RBC' at (60, -0.5) sticks out of the image by 14 px"
         " on the right"),
        (raw(-3.25, 10, 20, 90), "box of class 'RBC' at (-3.2, 10) sticks out of the image by 3.2"
         " px on the left and by 10 px at the bottom"),
        (raw(5, -2, 20, 20), "box of class 'RBC' at (5, -2) sticks out of the image by 2 px at the"
         " top"),
        (raw(200, 10, 220, 30), "box of class 'RBC' at (200, 10) lies outside the image: delete"
         " it"),
        (raw(10, 10, 10, 30), "box of class 'RBC' at (10, 10) has no real size (0 x 20 px): delete"
         " or enlarge it"),
        (raw(10, 10, 50, 10.5), "box of class 'RBC' at (10, 10) has no real size (40 x 0.5 px):"
         " delete or enlarge it"),
        (raw(50, 10, 20, 30), "box of class 'RBC' at (50, 10) has no real size (-30 x 20 px):"
         " delete or enlarge it"),
        (raw(-0.9, 10, 0.5, 30), "box of class 'RBC' at (-0.9, 10) lies on the rim, with less than"
         " 1 px inside the image: delete or enlarge it"),
        (raw(10, 10, 20, 30, label=PLACEHOLDER), "box at (10, 10) has no class chosen yet"),
        (raw(10, 10, 20, 30, label=None), "box at (10, 10) has no class chosen yet"),
        (raw(10, 10, 20, 30, label="rbc"), "box of class 'rbc' at (10, 10) is of none of the"
         " classes RBC, WBC"),
        (raw(math.nan, 10, 20, 30), "box of class 'RBC' number 1 has coordinates that are not four"
         " finite numbers: delete it"),
        (raw(10, 10, math.inf, 30), "box of class 'RBC' number 1 has coordinates that are not four"
         " finite numbers: delete it"),
        (raw("10", 10, 20, 30), "box of class 'RBC' number 1 has coordinates that are not four"
         " finite numbers: delete it"),
        (raw(10, 10, 20), "box of class 'RBC' number 1 has coordinates that are not four finite"
         " numbers: delete it"),
        (raw(10, 10, 20, 30, id=""), "box of class 'RBC' at (10, 10) has no id: delete it and draw"
         " it again"),
        (raw(10, 10, 20, 30, id="a\0"), "box of class 'RBC' at (10, 10) has an id that is no plain"
         " text: delete it and draw it again"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_words_about_the_image(box, message):
    assert faults(box) == [message]


def test_every_fault_is_told_with_its_box():
    boxes = [
        raw(60, 10, 114, 30, id="a", label=PLACEHOLDER),
        raw(10, 10, 20, 20, id="b"),
        raw(10, 40, 10, 50, id="c"),
    ]
    _, found = check_image(IMAGE, boxes, CLASSES)
    assert [(f.image_id, f.box_id) for f in found] == [("cell", "a"), ("cell", "a"), ("cell", "c")]


@pytest.mark.parametrize("by", [1e-9, 0.5, 1.0, 1.0000001])
def test_what_sticks_out_by_a_pixel_is_clipped(by):
    checked, _ = check_image(IMAGE, [raw(-by, -by, 100 + by, 80 + by)], CLASSES)
    assert checked.xyxy.tolist() == [[0, 0, 100, 80]]


def test_a_pixel_that_was_stored_as_a_fraction_is_still_a_pixel():
    x1, x2 = (0.07 * 100), (0.07 * 100) + (0.01 * 100) * (1 - 1e-12)
    assert faults(raw(x1, 10, x2, 30)) == []


def test_an_id_twice_is_a_fault_of_the_second():
    assert faults(raw(1, 1, 20, 20), raw(50, 50, 70, 70)) == [
        "box of class 'RBC' at (50, 50) has the id of another box of this image: delete it and"
        " draw it again"
    ]


def test_the_same_box_twice_is_a_fault_of_the_second():
    first, second = raw(50, 10, 90, 50, id="a"), raw(49.5, 10, 90, 50, id="b")
    message = (
        "box of class 'RBC' at (50, 10) lies on another one of its class, at (50, 10): drawn twice?"
    )
    _, found = check_image(IMAGE, [first, second], CLASSES)
    assert [f.box_id for f in found] == ["b"]
    _, found = check_image(IMAGE, [second, first], CLASSES)
    assert found == [Problem("cell", "a", message)]


def test_two_classes_or_two_neighbours_may_share_a_place():
    assert faults(raw(10, 10, 50, 50, id="a"), raw(10, 10, 50, 50, id="b", label="WBC")) == []
    assert faults(raw(10, 10, 50, 50, id="a"), raw(13, 10, 53, 50, id="b")) == []


def test_a_flood_of_boxes_is_one_fault_and_quick():
    flood = [raw(10, 10, 50, 50, id=f"x{i}") for i in range(MOST_BOXES + 1)]
    assert faults(*flood) == ["the image has 10,001 boxes, more than the 10,000 that it may have"]
    assert len(faults(*flood[:3000])) == 2999


def test_a_foreign_name_stays_on_its_line():
    message = faults(raw(10, 10, 20, 30, label="a\n\x1b[31m" + "b" * 1000))[0]
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 200


def test_a_long_list_is_cut():
    many = [Problem("cell", None, f"fault {i}") for i in range(25)]
    assert format_problems(many, 20).splitlines()[-2:] == ["  cell: fault 19", "  and 5 more"]
    assert "more" not in format_problems(many[:20])


junk = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers(-(10**400), 10**400)
    | st.text(max_size=3)
    | st.lists(st.floats(), max_size=5)
)
coordinate = st.floats(-5, 105) | st.sampled_from([0.0, 100.0, 80.0, -1.0, 101.0])
raw_boxes = st.builds(
    RawBox,
    st.sampled_from(["a", "b", "c", "d"]),
    st.sampled_from([*CLASSES, PLACEHOLDER]),
    st.tuples(coordinate, coordinate, coordinate, coordinate),
)


@settings(max_examples=100)
@given(st.lists(st.builds(RawBox, junk, junk, junk), max_size=4))
def test_no_content_is_a_traceback(boxes):
    checked, found = check_image(IMAGE, boxes, CLASSES)
    assert (checked is None) == bool(found)
    assert all(fault.message.isprintable() for fault in found)


@settings(max_examples=100)
@given(st.lists(raw_boxes, max_size=4))
def test_what_passes_is_sound(boxes):
    checked, found = check_image(IMAGE, boxes, CLASSES)
    if found:
        assert checked is None
        return
    assert checked.ids.tolist() == [b.id for b in boxes]
    assert checked.labels.tolist() == [b.label for b in boxes]
    given_xyxy = np.array([b.xyxy for b in boxes]).reshape(-1, 4)
    assert np.abs(checked.xyxy - given_xyxy).max(initial=0) <= 1.01
    assert (checked.xyxy >= 0).all()
    assert (checked.xyxy <= [100, 80, 100, 80]).all()
    assert (checked.xyxy[:, 2:] - checked.xyxy[:, :2] >= 0.99).all()


@settings(max_examples=100)
@given(st.data())
def test_doubles_are_those_of_the_whole_matrix(data):
    """The search looks at neighbours only; here every pair is compared."""
    edge, side = st.integers(0, 8), st.sampled_from([20, 60])
    shift = st.sampled_from([0, 0.25, 0.5, 1, 2])
    rows = data.draw(st.lists(st.tuples(edge, edge, side, shift), max_size=8))
    xyxy = [(x + s, y, x + s + w, y + 60) for x, y, w, s in rows]
    boxes = [raw(*row, id=f"x{i}") for i, row in enumerate(xyxy)]
    _, found = check_image(IMAGE, boxes, CLASSES)
    iou = iou_matrix(np.array(xyxy).reshape(-1, 4), np.array(xyxy).reshape(-1, 4))
    doubles = np.tril(iou >= 0.95, -1).any(axis=1)
    assert [fault.box_id for fault in found] == [f"x{i}" for i in np.flatnonzero(doubles)]
