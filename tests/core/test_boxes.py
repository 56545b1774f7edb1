import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from boxloop.core.boxes import iou_matrix, match, same_label
from builders import any_boxes, boxes


def plain_iou(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    inside = width * height
    area = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return inside / (area[0] + area[1] - inside)


@given(any_boxes(scored=False), any_boxes(scored=False))
def test_iou_agrees_with_plain_loops(a, b):
    expected = [[plain_iou(x, y) for y in b.xyxy.tolist()] for x in a.xyxy.tolist()]
    np.testing.assert_allclose(iou_matrix(a.xyxy, b.xyxy), np.reshape(expected, (len(a), len(b))))


@given(any_boxes(scored=False))
def test_iou_is_symmetric_and_one_with_itself(a):
    iou = iou_matrix(a.xyxy, a.xyxy)
    np.testing.assert_array_equal(iou, iou.T)
    np.testing.assert_allclose(np.diag(iou), 1.0)
    assert ((iou >= 0) & (iou <= 1)).all()


def test_boxes_that_touch_do_not_overlap():
    a, b = boxes(("cat", 0, 0, 4, 4)), boxes(("cat", 4, 0, 8, 4))
    assert iou_matrix(a.xyxy, b.xyxy).item() == 0.0


def plain_match(iou, allowed, minimum):
    """The best free pair, again and again."""
    pairs = []
    while True:
        best = None
        for i in range(iou.shape[0]):
            for j in range(iou.shape[1]):
                used = any(i == p or j == q for p, q in pairs)
                if used or not allowed[i, j] or iou[i, j] < minimum:
                    continue
                if best is None or iou[i, j] > iou[best]:
                    best = (i, j)
        if best is None:
            return pairs
        pairs.append(best)


@given(any_boxes(scored=False), any_boxes(scored=False), st.sampled_from([0.1, 0.5, 0.7]))
@example(boxes(("cat", 0, 0, 2, 1)), boxes(("cat", 0, 0, 1, 1)), 0.5)  # IoU exactly 0.5
def test_match_agrees_with_plain_loops(a, b, minimum):
    iou, allowed = iou_matrix(a.xyxy, b.xyxy), same_label(a, b)
    assert match(iou, allowed, minimum) == plain_match(iou, allowed, minimum)


def test_match_takes_the_best_pair_first():
    iou = np.array([[0.6, 0.9], [0.8, 0.7]])
    assert match(iou, np.ones((2, 2), bool), 0.5) == [(0, 1), (1, 0)]


def test_an_iou_equal_to_the_minimum_is_enough():
    a, b = boxes(("cat", 0, 0, 2, 1)), boxes(("cat", 0, 0, 1, 1))
    iou = iou_matrix(a.xyxy, b.xyxy)
    assert iou.item() == 0.5
    assert match(iou, np.ones((1, 1), bool), 0.5) == [(0, 0)]


def test_match_leaves_out_what_is_not_allowed():
    iou = np.array([[0.9]])
    assert match(iou, np.zeros((1, 1), bool), 0.5) == []
