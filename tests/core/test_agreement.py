"""How far two people agree: against plain loops, hand-made cases, and what no order may change."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.agreement import agree, by_first_person, differ, match_people
from boxloop.core.types import Boxes, Corrections, Decision
from builders import any_boxes, boxes, proposals, proposed

IOU = 0.5


def test_a_hand_made_pair_of_people():
    """Two images: 3 of 3 and 4 boxes are matched, 2 of these with one label."""
    first = [boxes(("cat", 0, 0, 10, 10), ("dog", 20, 0, 30, 10)), boxes(("cat", 0, 0, 10, 10))]
    second = [
        boxes(("cat", 0, 0, 10, 8), ("cat", 20, 0, 30, 10), ("dog", 50, 50, 60, 60)),
        boxes(("cat", 0, 0, 10, 10)),
    ]
    found = agree(list(zip(first, second, strict=True)), IOU)
    assert (found.images, found.differing, found.boxes) == (2, 1, (3, 4))
    assert (found.matched, found.same_label) == (3, 2)
    assert found.found.value == pytest.approx(6 / 7)
    assert found.iou.value == pytest.approx((0.8 + 1 + 1) / 3)
    assert found.labels.value == pytest.approx(2 / 3)
    # Cohen's: observed 2/3; by chance (cat: 2/3 * 3/3) + (dog: 1/3 * 0) = 2/3.
    assert found.kappa.value == pytest.approx(0.0)
    assert found.found.low <= found.found.value <= found.found.high
    assert found == agree(list(zip(first, second, strict=True)), IOU)


def test_kappa_is_that_of_cohen_s_paper_form():
    """A table of 2 classes: 20 and 15 agreed, 5 and 10 not; kappa is 0.4."""
    table = {("a", "a"): 20, ("a", "b"): 5, ("b", "a"): 10, ("b", "b"): 15}
    pairs = [
        (boxes((x, 0, 0, 9, 9)), boxes((y, 0, 0, 9, 9)))
        for (x, y), often in table.items()
        for _ in range(often)
    ]
    found = agree(pairs, IOU)
    assert found.kappa.value == pytest.approx(0.4)
    assert 0.1 < found.kappa.low < 0.4 < found.kappa.high < 0.7


def test_what_is_not_defined_is_not_made_up():
    nothing = agree([(boxes(), boxes())], IOU)
    assert nothing.found.value is None
    assert nothing.kappa.value is None
    same = agree([(boxes(("a", 0, 0, 9, 9)), boxes(("a", 0, 0, 9, 9)))], IOU)
    assert same.labels.value == 1
    assert same.kappa.value is None  # one label only: chance explains all of it
    apart = agree([(boxes(("a", 0, 0, 9, 9)), boxes())], IOU)
    assert apart.found.value == 0
    assert apart.iou.value is None


def test_two_labels_at_one_place_are_matched_by_label():
    one = boxes(("car", 0, 0, 9, 9), ("taxi", 0, 0, 9, 9))
    assert not differ(one, one.select(np.array([1, 0])), IOU)


def test_one_label_does_not_make_up_for_too_little_overlap():
    almost = boxes(("car", 0, 0, 10, 5 - 2e-9))
    assert match_people(boxes(("car", 0, 0, 10, 10)), almost, 0.5).pairs == ()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(any_boxes(scored=False), any_boxes(scored=False)), min_size=1, max_size=4)
)
def test_the_counts_are_those_of_plain_loops_and_both_sides_alike(images):
    found = agree(images, IOU)
    matched = same = differing = 0
    for first, second in images:
        pairs = plain_match(first, second)
        alike = sum(str(first.labels[i]) == str(second.labels[j]) for i, j in pairs)
        matched, same = matched + len(pairs), same + alike
        differing += not (len(first) == len(second) == alike)
        assert differ(first, second, IOU) == (not (len(first) == len(second) == alike))
    assert (found.matched, found.same_label, found.differing) == (matched, same, differing)
    back = agree([(b, a) for a, b in images], IOU)
    assert back.boxes == found.boxes[::-1]
    for name in ("found", "iou", "labels", "kappa"):
        mine, other = getattr(found, name), getattr(back, name)
        assert (mine.value is None) == (other.value is None)
        if mine.value is not None:
            assert mine.low <= mine.high


def plain_match(first, second):
    """Pairs from IoU 0.5 on, the highest first, of equal ones those of one label."""

    def iou(a, b):
        width = min(a[2], b[2]) - max(a[0], b[0])
        height = min(a[3], b[3]) - max(a[1], b[1])
        shared = max(width, 0) * max(height, 0)
        areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (a, b)]
        return shared / (sum(areas) - shared)

    rows = []
    for i, a in enumerate(first.xyxy.tolist()):
        for j, b in enumerate(second.xyxy.tolist()):
            same = first.labels[i] == second.labels[j]
            if iou(a, b) + 1e-9 * same >= IOU:
                rows.append((-(iou(a, b) + 1e-9 * same), i, j))
    pairs, left, right = [], set(), set()
    for _, i, j in sorted(rows):
        if i not in left and j not in right:
            pairs.append((i, j))
            left.add(i)
            right.add(j)
    return pairs


def test_positions_are_all_there():
    first = boxes(("cat", 0, 0, 10, 10), ("dog", 20, 0, 30, 10))
    found = match_people(first, boxes(("cat", 20, 0, 30, 10), ("cat", 70, 0, 80, 10)), IOU)
    assert (found.pairs, found.first, found.second) == (((1, 0, 1.0),), (0,), (1,))


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    """Of 30 pairs of people who agree by chance alone on 60 images, kappa's interval has 0."""
    rng, inside = np.random.default_rng(0), 0
    options = {name: boxes((name, 0, 0, 9, 9)) for name in "ab"}
    for _ in range(30):
        names = rng.choice(["a", "b"], size=(60, 2))
        found = agree([(options[x], options[y]) for x, y in names], IOU)
        inside += found.kappa.low <= 0 <= found.kappa.high
    assert inside >= 26


def test_edits_are_counted_by_the_first_person_s_boxes():
    offered = proposals({"a": proposed(("cat", 0, 0, 5, 5, 0.9)), "b": proposed()})
    own, other = boxes(("cat", 0, 0, 5, 5)), boxes(("dog", 1, 1, 5, 5))
    made = Corrections(offered, 0.5, "fiftyone", {"a": other, "b": Boxes.empty()}, "eve")
    assert by_first_person(made) is made
    decided = Decision(own, other, "eve", "ann", ("2024-01-01", "2024-01-02"), 2.0)
    decision = replace(made, decided={"a": decided})
    assert by_first_person(decision).boxes == {"a": own, "b": Boxes.empty()}
    assert not by_first_person(decision).decided
    with pytest.raises(ValueError, match="cannot be negative"):
        replace(decided, seconds=-1.0)
    with pytest.raises(ValueError, match="decided: z is not among the images corrected"):
        replace(made, decided={"z": decided})
