"""VOC's average precision against the formulas of its development kit, in plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.types import Boxes
from boxloop.models.voc_average_precision import voc_average_precision
from builders import CLASSES, any_boxes, boxes, proposed


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / area


def devkit(found, truth, label):
    """VOCevaldet.m and VOCap.m (2012), and the eleven points of 2007, one step at a time."""
    objects = {
        k: [x for x, n in zip(b.xyxy, b.labels, strict=True) if n == label]
        for k, b in truth.items()
    }
    detected = {k: [False] * len(v) for k, v in objects.items()}
    total = sum(map(len, objects.values()))
    rows = []
    for image_id in truth:
        for x, n, s in zip(
            found[image_id].xyxy, found[image_id].labels, found[image_id].scores, strict=True
        ):
            if n == label:
                rows.append((s, image_id, x))
    rows.sort(key=lambda row: -row[0])
    tp, fp = [], []
    for _, image_id, box in rows:
        best, where = -1.0, None
        for j, other in enumerate(objects[image_id]):
            value = overlap(box, other)
            if value > best:
                best, where = value, j
        hit = best >= 0.5 and not detected[image_id][where]
        if hit:
            detected[image_id][where] = True
        tp.append(1 if hit else 0)
        fp.append(0 if hit else 1)
    tp, fp = np.cumsum(tp), np.cumsum(fp)
    recall, precision = tp / max(total, 1), tp / np.maximum(tp + fp, 1)
    eleven = 0.0
    for t in range(11):
        reached = [p for p, r in zip(precision, recall, strict=True) if r >= t / 10 - 1e-12]
        eleven += (max(reached) if reached else 0.0) / 11
    mrec, mpre = [0.0, *recall, 1.0], [0.0, *precision, 0.0]
    for i in range(len(mpre) - 2, -1, -1):
        mpre[i] = max(mpre[i], mpre[i + 1])
    area = sum(
        (mrec[i] - mrec[i - 1]) * mpre[i] for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1]
    )
    return eleven, area


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(any_boxes(scored=False), any_boxes(scored=True)), min_size=1, max_size=3))
def test_it_is_the_development_kits(pairs):
    truth = {f"i{n}": final for n, (final, _) in enumerate(pairs)}
    found = {f"i{n}": shown for n, (_, shown) in enumerate(pairs)}
    labels = [c for c in CLASSES if any((b.labels == c).any() for b in truth.values())]
    result = voc_average_precision(found, truth)
    if not labels:
        assert result == {}
        return
    curves = [devkit(found, truth, label) for label in labels]
    assert result["voc07_map"] == pytest.approx(np.mean([c[0] for c in curves]))
    assert result["voc_map"] == pytest.approx(np.mean([c[1] for c in curves]))


def test_a_curve_by_hand():
    """Found, false alarm, found, of four: precision 1, 1/2, 2/3 at recall 1/4, 1/4, 1/2."""
    truth = {"a": boxes(*(("cat", 20 * i, 0, 20 * i + 10, 10) for i in range(4)))}
    found = {
        "a": proposed(
            ("cat", 0, 0, 10, 10, 0.9), ("cat", 90, 50, 99, 60, 0.8), ("cat", 20, 0, 30, 10, 0.7)
        )
    }
    result = voc_average_precision(found, truth)
    assert result["voc_map"] == pytest.approx(0.25 * 1 + 0.25 * 2 / 3)
    # Recalls 0, 0.1, 0.2 reach precision 1; 0.3, 0.4, 0.5 reach 2/3.
    assert result["voc07_map"] == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)


def test_a_second_detection_of_an_object_is_wrong():
    truth = {"a": boxes(("cat", 0, 0, 10, 10))}
    twice = {"a": proposed(("cat", 0, 0, 10, 9, 0.9), ("cat", 0, 0, 10, 10, 0.8))}
    assert voc_average_precision(twice, truth)["voc_map"] == pytest.approx(1.0)
    late = {"a": proposed(("cat", 0, 0, 10, 4, 0.9), ("cat", 0, 0, 10, 10, 0.8))}
    assert voc_average_precision(late, truth)["voc_map"] == pytest.approx(0.5)


def test_nothing_to_find_and_nothing_found():
    assert voc_average_precision({}, {"a": Boxes.empty()}) == {}
    assert voc_average_precision({}, {"a": boxes(("cat", 0, 0, 1, 1))})["voc_map"] == 0.0
