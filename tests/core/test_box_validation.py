"""The defects of boxes against a plain loop, and the two policies at their limits."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from boxloop.core.box_validation import REFUSE, REPAIR, Defect, clip, inspect

WIDTH, HEIGHT = 100, 80


def plain(box, policy, first_pixel):
    """(defect, clipped box, overhang) of one box, by comparisons of single numbers."""
    if not all(math.isfinite(v) for v in box):
        return Defect.NOT_FINITE, None, None
    x1, y1, x2, y2 = box
    if x2 < x1 or y2 < y1:
        return Defect.INVERTED, None, None
    if x2 - x1 < policy.least_side or y2 - y1 < policy.least_side:
        return Defect.TOO_SMALL, None, None
    x1, y1 = x1 - first_pixel, y1 - first_pixel
    if x1 >= WIDTH or y1 >= HEIGHT or x2 <= 0 or y2 <= 0:
        return Defect.OUTSIDE, None, None
    inside = [max(0.0, x1), max(0.0, y1), min(x2, float(WIDTH)), min(y2, float(HEIGHT))]
    if min(inside[2] - inside[0], inside[3] - inside[1]) < policy.least_side:
        return Defect.ON_RIM, None, None
    overhang = [-x1, -y1, x2 - WIDTH, y2 - HEIGHT]
    return (Defect.OVERHANG if max(overhang) > policy.slack else None), inside, overhang


number = st.one_of(
    st.floats(),
    st.floats(-10, 110),
    st.integers(-3, 103).map(float),
    st.sampled_from([0.0, -0.0, 1.0, -1.0, -1.001, 99.0, 99.995, 101.0, 1e308, -1e308]),
)
tables = st.lists(st.tuples(number, number, number, number), max_size=6)


@settings(max_examples=300, deadline=None)
@given(tables, st.sampled_from([REPAIR, REFUSE]), st.sampled_from([0, 1]))
@example([(-0.0, -0.0, 5.0, 5.0)], REPAIR, 0)
@example([(-1e308, 5.0, 1e308, 9.0)], REFUSE, 0)
def test_defects_and_clipped_boxes_are_those_of_a_plain_loop(table, policy, first_pixel):
    found = inspect(table, WIDTH, HEIGHT, policy, first_pixel=first_pixel)
    assert found.clipped.shape == found.overhang.shape == (len(table), 4)
    for i, box in enumerate(table):
        defect, inside, overhang = plain(box, policy, first_pixel)
        assert found.defects[i] is defect
        usable = defect is None or (policy is REPAIR and defect is Defect.OVERHANG)
        assert found.usable[i] == usable
        if inside is not None:
            assert found.clipped[i].tolist() == inside
            assert found.overhang[i].tolist() == overhang
            assert not np.signbit(found.clipped[i]).any()


@pytest.mark.parametrize(
    ("policy", "box", "defect"),
    [
        (REPAIR, (0, 5, 0.01, 9), None),
        (REPAIR, (5, 5, 5.009, 9), Defect.TOO_SMALL),
        (REPAIR, (-1, -1, 101, 81), None),
        (REPAIR, (-1.5, 5, 9, 9), Defect.OVERHANG),
        (REPAIR, (99.995, 5, 120, 9), Defect.ON_RIM),
        (REFUSE, (5, 5, 6, 9), None),
        (REFUSE, (5, 5, 5.9, 9), Defect.TOO_SMALL),
        (REFUSE, (-1, -1, 101, 81), None),
        (REFUSE, (5, 5, 9, 81.5), Defect.OVERHANG),
        (REFUSE, (-0.9, 5, 0.5, 9), Defect.ON_RIM),
        (REFUSE, (100, 5, 120, 9), Defect.OUTSIDE),
    ],
)
def test_the_limits_of_the_policies(policy, box, defect):
    assert inspect([box], WIDTH, HEIGHT, policy).defects == (defect,)


def test_boxes_of_several_images_are_judged_by_their_own():
    boxes, sizes, first = [(1, 1, 10, 10), (1, 1, 10, 10)], np.array([[10, 10], [5, 8]]), [1, 0]
    together = inspect(boxes, sizes[:, 0], sizes[:, 1], REPAIR, first_pixel=first)
    for i, (box, (width, height)) in enumerate(zip(boxes, sizes.tolist(), strict=True)):
        alone = inspect([box], width, height, REPAIR, first_pixel=first[i])
        assert together.defects[i] is alone.defects[0]
        assert together.clipped[i].tolist() == alone.clipped[0].tolist()
        assert together.overhang[i].tolist() == alone.overhang[0].tolist()
        assert together.usable[i] == alone.usable[0]
    assert together.defects == (None, Defect.OVERHANG)


def test_no_boxes_are_no_defects():
    found = inspect([], WIDTH, HEIGHT, REPAIR)
    assert (found.defects, found.clipped.shape, found.usable.shape) == ((), (0, 4), (0,))


def test_clip_takes_what_a_detector_gives():
    nan, inf = math.nan, math.inf
    raw = np.array(
        [(-5, 2, 30, 90), (nan, 0, 5, 5), (0, 0, inf, 5), (101, 0, 120, 5), (9, 9, 9, 9)]
    )
    clipped = clip(raw, WIDTH, HEIGHT)
    assert clipped[[0, 2, 3, 4]].tolist() == [
        [0, 2, 30, 80],
        [0, 0, 100, 5],
        [100, 0, 100, 5],
        [9, 9, 9, 9],
    ]
