"""Two proposals of different classes at one place: the better one is kept."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from boxloop.core import one_per_place as one_per_place_module
from boxloop.core.boxes import iou_matrix
from boxloop.core.one_per_place import OVERLAP, SHARE, at_one_place, one_per_place
from boxloop.core.types import Boxes
from builders import boxes, proposed

CLASSES = "abc"


def plain(found, apart):
    """The same by plain loops."""
    kept = []
    for row in sorted(range(len(found)), key=lambda r: -found.scores[r]):
        rivals = [
            k
            for k in kept
            if found.labels[k] != found.labels[row]
            and frozenset((str(found.labels[k]), str(found.labels[row]))) not in apart
            and iou_matrix(found.xyxy[[k]], found.xyxy[[row]])[0, 0] >= OVERLAP
        ]
        if not rivals:
            kept.append(row)
    return sorted(kept)


scored = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.sampled_from(CLASSES), st.integers(1, 9)),
    max_size=12,
)
pairs = st.sets(st.sampled_from(["ab", "bc", "ac"]))


@given(scored, pairs)
def test_what_is_kept_by_plain_loops(rows, names):
    apart = frozenset(map(frozenset, names))
    found = Boxes.build(
        [(x, y, x + 12, y + 12) for x, y, _, _ in rows],
        [label for *_, label, _ in rows],
        [score / 10 for *_, score in rows],
        prefix="p",
    )
    [(image, left)] = one_per_place({"a.jpg": found}, apart).items()
    assert image == "a.jpg"
    assert left == found.select(np.array(plain(found, apart), np.intp))


def test_the_better_of_two_classes_at_one_place_is_kept():
    found = Boxes.build(
        [(0, 0, 10, 10), (0, 0, 10, 9), (50, 0, 60, 10), (50, 0, 60, 10)],
        ["cat", "dog", "dog", "dog"],
        [0.6, 0.7, 0.4, 0.3],
        prefix="p",
    )
    assert one_per_place({"a": found}, frozenset())["a"].ids.tolist() == ["p1", "p2", "p3"]


def test_what_suppresses_is_what_was_kept():
    """A box that is suppressed suppresses none: the third is not at the place of the first."""
    found = Boxes.build(
        [(0, 0, 10, 10), (0, 0, 13, 10), (0, 0, 17, 10)], ["a", "b", "a"], [0.9, 0.8, 0.7]
    )
    overlaps = iou_matrix(found.xyxy, found.xyxy)
    assert overlaps[0, 1] >= OVERLAP
    assert overlaps[1, 2] >= OVERLAP > overlaps[0, 2]
    assert one_per_place({"a": found}, frozenset())["a"].labels.tolist() == ["a", "a"]


def test_classes_whose_objects_share_places_stay():
    labels = [
        boxes(("person", 0, 0, 10, 10), ("rider", 0, 1, 10, 10), ("bike", 30, 30, 40, 40)),
        boxes(("person", 0, 0, 10, 10), ("person", 1, 0, 10, 10)),
        boxes(),
    ]
    apart = at_one_place(labels)
    assert apart == {frozenset({"person", "rider"})}
    place = [(0, 0, 10, 10)] * 3
    found = Boxes.build(place, ["person", "rider", "bike"], [0.5, 0.6, 0.4])
    assert one_per_place({"a": found}, apart)["a"].labels.tolist() == ["person", "rider"]


@pytest.mark.parametrize("at_once", [1, 10, 200_000])
@given(st.lists(scored, max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_classes_at_one_place_by_plain_loops(monkeypatch, at_once, images):
    monkeypatch.setattr(one_per_place_module, "_AT_ONCE", at_once)
    labels = [
        Boxes.build([(x, y, x + 12, y + 12) for x, y, *_ in rows], [row[2] for row in rows])
        for rows in images
    ]
    shared = [
        frozenset((str(item.labels[i]), str(item.labels[j])))
        for item in labels
        for i in range(len(item))
        for j in range(i)
        if item.labels[i] != item.labels[j]
        and iou_matrix(item.xyxy[[i]], item.xyxy[[j]])[0, 0] >= OVERLAP
    ]
    count = {name: sum((item.labels == name).sum() for item in labels) for name in CLASSES}
    expected = {p for p in shared if shared.count(p) >= SHARE * min(count[n] for n in p)}
    assert at_one_place(labels) == expected


@pytest.mark.parametrize(("others", "apart"), [(49, True), (50, False)])
def test_objects_that_hide_each_other_by_chance_say_nothing(others, apart):
    chance = boxes(("ball", 0, 0, 10, 10), ("cup", 0, 0, 10, 10))
    rest = [boxes(("ball", 0, 0, 9, 9), ("cup", 20, 20, 30, 30)) for _ in range(others)]
    assert at_one_place([chance, *rest]) == (
        frozenset({frozenset({"ball", "cup"})}) if apart else frozenset()
    )


@pytest.mark.parametrize("count", [0, 1])
def test_where_there_is_nothing_to_choose_the_very_boxes_come_back(count):
    found = Boxes.build([(0, 0, 9, 9)] * count, ["a"] * count, [0.5] * count, prefix="p")
    assert one_per_place({"a": found}, frozenset())["a"] == found


def test_doubles_of_a_class_go_where_that_is_asked_for():
    found = {
        "a": proposed(
            ("cat", 0, 0, 10, 10, 0.5), ("cat", 0, 0, 10, 10, 0.9), ("cat", 50, 50, 60, 60, 0.1)
        )
    }
    assert one_per_place(found, frozenset())["a"].scores.tolist() == [0.5, 0.9, 0.1]
    assert one_per_place(found, frozenset(), own=True)["a"].scores.tolist() == [0.9, 0.1]
    both = {"a": proposed(("cat", 0, 0, 10, 10, 0.5), ("dog", 0, 0, 10, 10, 0.9))}
    apart = frozenset({frozenset({"cat", "dog"})})
    assert len(one_per_place(both, apart, own=True)["a"]) == 2
