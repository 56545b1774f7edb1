import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.types import Boxes, ImageRef, LabeledSet
from boxloop.errors import ParamsError
from boxloop.models.detectors.dataset import InputSize
from boxloop.models.detectors.zoom import choose_zoom

SIZE = InputSize((320, 512), keep_aspect=True)


def of_sides(sides, width=640, height=480):
    """One image with square boxes of these sides, in its pixels."""
    refs = (ImageRef("a", "a.png", width, height, "0"),)
    boxes = Boxes.build([(0, 0, side, side) for side in sides], ["x"] * len(sides))
    return LabeledSet(("x",), ("b00",), {"a": boxes}), refs


@pytest.mark.parametrize(
    ("side", "zoom"),
    # Of 480 pixels 320 are left, so a side of 72 is one of 48. From 39.2 on 1.5 is nearer to the
    # cube root, from 13.9 on 2. At 2 a side of 8 is one of 10.7, too small.
    [
        (200, 1.0),
        (72, 1.0),
        (40, 1.0),
        (39, 1.5),
        (14, 1.5),
        (13, 2.0),
        (9, 2.0),
        (8, 3.0),
        (4, 3.0),
        (1, 3.0),
    ],
)
def test_boxes_become_large_enough(side, zoom):
    # 3 is the largest by which a pixel does not become more than two of the input.
    labeled, refs = of_sides([side] * 4)
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == zoom


@pytest.mark.parametrize(
    ("side", "zoom"),
    # Of 3000 pixels 320 are left. By the cube root all but the last would be enlarged by 2 or 3.
    [(52, 2.0), (50, 3.0), (35, 3.0), (34, 4.0), (26, 4.0), (25, 6.0), (17, 8.0), (3, 8.0)],
)
def test_tiny_boxes_become_large_enough_to_be_found(side, zoom):
    labeled, refs = of_sides([side] * 4, 4000, 3000)
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == zoom


def test_images_are_not_enlarged_beyond_what_is_in_them():
    labeled, refs = of_sides([5] * 4, 100, 100)
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == 1.0
    labeled, refs = of_sides([5] * 4, 320, 320)
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == 2.0


def test_a_quarter_may_be_smaller():
    labeled, refs = of_sides([4] + [72] * 5)
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == 1.0
    labeled, refs = of_sides([4] * 3 + [60] * 5)
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == 3.0


@given(
    st.lists(
        st.tuples(st.integers(50, 4000), st.integers(50, 4000), st.floats(0.005, 0.5)),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=80, deadline=None)
def test_fits_as_a_plain_loop_does(rows):
    refs, truth, sides, scales, shares = [], {}, [], [], []
    for number, (width, height, share) in enumerate(rows):
        refs.append(ImageRef(str(number), "x.png", width, height, "0"))
        w, h = width * share, height * share
        truth[str(number)] = Boxes.build([(0, 0, w, h)], ["x"])
        scale = min(320 / min(width, height), 512 / max(width, height))
        sides.append(math.sqrt(w * h) * scale)
        scales.append(scale)
        shares.append(math.sqrt(w * h / (width * height)))
    wanted = max(1.0, float(np.cbrt(48 / np.quantile(sides, 0.25))))
    small, expected = float(np.quantile(sides, 0.25)), 1.0
    for zoom in (1.5, 2.0, 3.0, 4.0, 6.0, 8.0):
        nearer = max(zoom, wanted) / min(zoom, wanted) < wanted / expected
        fits = zoom * np.median(scales) <= 2 and zoom * np.quantile(shares, 0.75) <= 1 / 3
        if fits and (nearer or expected * small < 11):
            expected = zoom
    labeled = LabeledSet(("x",), ("b00",), truth)
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == expected


def test_large_objects_fit_into_a_window():
    # Side by side a third of a window is 185 of 554, the root of 640 x 480.
    labeled, refs = of_sides([20] * 4 + [120] * 4)
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == 1.5
    labeled, refs = of_sides([20] * 4 + [130] * 4)
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == 1.0
    labeled, refs = of_sides([20] * 7 + [400])  # a few may be cut
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == 1.5


def test_nothing_labeled_nothing_enlarged():
    labeled, refs = of_sides([])
    assert choose_zoom("fitted", labeled, refs, SIZE, "d") == 1.0
    assert choose_zoom(2.5, labeled, refs, SIZE, "d") == 2.5


def test_a_detector_of_one_size_cannot():
    labeled, refs = of_sides([5])
    squashed = InputSize((300, 300), keep_aspect=False)
    assert choose_zoom("fitted", labeled, refs, squashed, "ssd") == 1.0
    assert choose_zoom(1.0, labeled, refs, squashed, "ssd") == 1.0
    with pytest.raises(ParamsError, match=r"train\.zoom: ssd takes images of one size only"):
        choose_zoom(2.0, labeled, refs, squashed, "ssd")


@given(st.integers(32, 2000), st.integers(32, 2000), st.floats(1, 8))
def test_a_zoomed_size_leads_back(height, width, zoom):
    size = InputSize((height, width), keep_aspect=True)
    assert size.zoomed(zoom).zoomed(1 / zoom) == size
