import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.types import Boxes, ImageRef
from boxloop.datasets.annotations import AnnotatedBox, Annotation
from boxloop.datasets.cleaning import clean
from boxloop.datasets.faults import FaultKind, FaultLog

IMAGE = ImageRef("a", "a.png", 100, 50, "0")


def _clean(*rows: AnnotatedBox, first_pixel: int = 0, known=("dog", "cat"), wanted=None):
    log = FaultLog()
    annotation = Annotation(Path("a.xml"), rows, first_pixel=first_pixel)
    found = clean([(IMAGE, annotation)], log, known=known, wanted=wanted or known)
    return found["a"], log


def _row(*corners: float, label: str = "dog") -> AnnotatedBox:
    return AnnotatedBox(label, corners, "object 1", "said")


def test_a_good_box_is_kept_as_it_is():
    boxes, log = _clean(_row(1.5, 2, 30, 40))
    assert boxes == Boxes.build([[1.5, 2, 30, 40]], ["dog"])
    assert log.faults == []


def test_the_whole_image_is_a_box():
    boxes, log = _clean(_row(0, 0, 100, 50))
    assert boxes.xyxy.tolist() == [[0, 0, 100, 50]]
    assert log.faults == []


def test_inclusive_pixels_from_1_become_exclusive_edges():
    boxes, _ = _clean(_row(1, 1, 100, 50), first_pixel=1)
    assert boxes.xyxy.tolist() == [[0, 0, 100, 50]]


def test_a_set_that_counts_from_0_is_clipped_without_a_word():
    boxes, log = _clean(_row(0, 0, 10, 20), first_pixel=1)
    assert boxes.xyxy.tolist() == [[0, 0, 10, 20]]
    assert log.faults == []


@pytest.mark.parametrize(
    ("corners", "kind"),
    [
        ((5, 5, 5, 5), FaultKind.ZERO_SIZE_BOX),
        ((5, 5, 5, 20), FaultKind.ZERO_SIZE_BOX),
        ((5, 5, 20, 5), FaultKind.ZERO_SIZE_BOX),
        ((math.nan, 5, 20, 15), FaultKind.NOT_A_NUMBER),
        ((5, 5, math.inf, 15), FaultKind.NOT_A_NUMBER),
        ((20, 5, 10, 15), FaultKind.MALFORMED_ANNOTATION),
        ((5, 15, 10, 5), FaultKind.MALFORMED_ANNOTATION),
        ((101, 5, 120, 15), FaultKind.BOX_OUTSIDE_IMAGE),
        ((5, 51, 20, 60), FaultKind.BOX_OUTSIDE_IMAGE),
        ((-20, 5, 0, 15), FaultKind.BOX_OUTSIDE_IMAGE),
        ((-20, -20, -10, -10), FaultKind.BOX_OUTSIDE_IMAGE),
    ],
)
@pytest.mark.parametrize("first_pixel", [0, 1])
def test_boxes_that_are_set_aside(corners, kind, first_pixel):
    boxes, log = _clean(_row(*corners), _row(1, 1, 9, 9, label="cat"), first_pixel=first_pixel)
    assert boxes.labels.tolist() == ["cat"]
    assert [fault.kind for fault in log.faults] == [kind]
    (fault,) = log.faults
    assert (fault.file, fault.image_id) == ("a.xml", "a")
    assert fault.detail.startswith("object 1 (dog): said ")


@pytest.mark.parametrize(
    ("corners", "clipped", "overhang"),
    [
        ((-5, 2, 30, 40), (0, 2, 30, 40), "5 px"),
        ((10, -2.5, 30, 40), (10, 0, 30, 40), "2.5 px"),
        ((10, 2, 130, 40), (10, 2, 100, 40), "30 px"),
        ((10, 2, 30, 57), (10, 2, 30, 50), "7 px"),
    ],
)
def test_boxes_that_are_clipped_say_so(corners, clipped, overhang):
    boxes, log = _clean(_row(*corners))
    assert boxes.xyxy.tolist() == [list(clipped)]
    assert [fault.kind for fault in log.faults] == [FaultKind.BOX_CLIPPED]
    assert overhang in log.faults[0].detail


def test_rounding_at_the_edge_is_clipped_without_a_word():
    boxes, log = _clean(_row(-1, -0.3, 101, 50.9))
    assert boxes.xyxy.tolist() == [[0, 0, 100, 50]]
    assert log.faults == []


def test_classes_that_are_not_wanted_are_counted_and_unknown_ones_are_faults():
    boxes, log = _clean(
        _row(1, 1, 9, 9, label="cat"),
        _row(1, 1, 9, 9, label="dog"),
        _row(1, 1, 9, 9, label="unicorn"),
        wanted=("dog",),
    )
    assert boxes.labels.tolist() == ["dog"]
    assert sum(log.left_out.values()) == 1
    assert [fault.kind for fault in log.faults] == [FaultKind.UNKNOWN_CLASS]
    assert "dog, cat" in log.faults[0].detail


_any_number = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(-60, 160),
    st.integers(-10, 110).map(float),
)
_any_row = st.builds(
    AnnotatedBox,
    st.sampled_from(["dog", "cat", "unicorn"]),
    st.tuples(_any_number, _any_number, _any_number, _any_number),
    st.just("object"),
    st.just("said"),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(_any_row, max_size=8),
    st.integers(1, 120),
    st.integers(1, 120),
    st.sampled_from([0, 1]),
)
def test_whatever_comes_in_what_comes_out_is_valid(rows, width, height, first_pixel):
    log = FaultLog()
    image = ImageRef("a", "a.png", width, height, "0")
    annotation = Annotation(Path("a.txt"), rows, first_pixel=first_pixel)
    found = clean([(image, annotation)], log, known=("dog", "cat"), wanted=("dog",))
    if "a" not in found:  # every box that was wanted was dropped
        assert log.faults[-1].kind is FaultKind.NO_USABLE_BOX
        return
    boxes = found["a"]
    xyxy = boxes.xyxy
    assert np.isfinite(xyxy).all()
    assert (xyxy >= 0).all()
    assert (xyxy[:, 2] <= width).all()
    assert (xyxy[:, 3] <= height).all()
    assert (np.prod(xyxy[:, 2:] - xyxy[:, :2], axis=1) > 0).all()
    assert set(boxes.labels.tolist()) <= {"dog"}
    # Nothing vanishes: each row is kept, left out by its class, or set aside with a fault.
    aside = [fault for fault in log.faults if fault.kind is not FaultKind.BOX_CLIPPED]
    assert len(boxes) + sum(log.left_out.values()) + len(aside) == len(rows)
