from contextlib import nullcontext
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.core.types import Boxes, Corrections, FeatureTable, ImageRef, ImageSet, Proposals
from builders import any_boxes, boxes, corrections, proposals, proposed

GOOD = {
    "xyxy": np.array([[0, 0, 1, 1.0]]),
    "labels": np.array(["cat"]),
    "ids": np.array(["t0"]),
    "scores": np.array([0.5]),
}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"xyxy": np.zeros((1, 3))}, r"xyxy must be \(n, 4\), got \(1, 3\)"),
        ({"xyxy": np.array([[0, 0, np.inf, 1]])}, "finite"),
        ({"xyxy": np.array([[2, 0, 1, 1.0]])}, "real area"),
        ({"labels": np.array(["a", "b"])}, r"labels must be \(1,\), got \(2,\)"),
        ({"ids": np.array([], dtype=str)}, r"ids must be \(1,\)"),
        ({"scores": np.array([1.5])}, r"\[0, 1\]"),
        ({"scores": np.array([np.nan])}, r"\[0, 1\]"),
    ],
)
def test_boxes_are_checked(wrong, message):
    Boxes(**GOOD)
    with pytest.raises(ValueError, match=message):
        Boxes(**{**GOOD, **wrong})


def test_ids_are_unique():
    with pytest.raises(ValueError, match="unique"):
        Boxes(np.array([[0, 0, 1, 1.0]] * 2), np.array(["a", "a"]), np.array(["t0", "t0"]))


def test_boxes_cannot_be_changed_and_do_not_change_with_their_source():
    source = np.array([[0, 0, 1, 1.0]])
    made = Boxes(source, np.array(["cat"]), np.array(["t0"]))
    source[0, 0] = 0.5
    assert made.xyxy[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        made.xyxy[0, 0] = 0.5


@given(any_boxes(scored=True))
def test_above_keeps_exactly_the_high_scores(value):
    kept = value.above(0.5)
    assert kept.ids.tolist() == [
        i for i, s in zip(value.ids, value.scores, strict=True) if s >= 0.5
    ]


def test_from_a_threshold_of_one_nothing_is_shown():
    found = Boxes.build([(0, 0, 1, 1), (0, 0, 2, 2)], ["a", "a"], [1.0, 0.99999])
    assert len(found.above(1.0)) == 0
    assert len(found.above(0.99999)) == 2
    assert found.reach(1.0).tolist() == [False, False]


def test_above_keeps_all_boxes_of_a_person():
    assert len(boxes(("cat", 0, 0, 1, 1)).above(0.9)) == 1


def test_proposals_need_scores():
    with pytest.raises(ValueError, match="a: proposals need scores"):
        Proposals("b01", "ssd", "0", 0.05, {"a": boxes(("cat", 0, 0, 1, 1))})


def test_corrections_cover_their_batch():
    with pytest.raises(ValueError, match="corrections of b01 must cover exactly"):
        Corrections(proposals({"a": proposed()}), 0.5, "person", {})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"seconds": {"z": 1.0}}, "seconds: z is not among"),
        ({"seconds": {"a": -1.0}}, "seconds cannot be negative"),
        ({"submitted": {"z": "2024-01-01"}}, "submitted: z is not among"),
        ({"revision": 0}, "revision must be at least 1"),
    ],
)
def test_what_is_told_of_a_person_s_work_is_checked(fields, message):
    made = corrections({"a": proposed()}, {"a": Boxes.empty()}, annotator="fiftyone")
    with pytest.raises(ValueError, match=message):
        replace(made, **fields)


@pytest.mark.parametrize("kind", ["fiftyone", "import", "fiftyone+import"])
def test_every_annotator_but_the_simulated_one_is_a_person(kind):
    shown, final = {"a": proposed()}, {"a": Boxes.empty()}
    assert corrections(shown, final, annotator=kind).by_person
    assert not corrections(shown, final, annotator="simulated").by_person


def test_shown_is_what_reached_the_threshold():
    shown = {"a": proposed(("cat", 0, 0, 1, 1, 0.5), ("cat", 0, 0, 1, 1, 0.4))}
    assert corrections(shown, {"a": Boxes.empty()}).shown()["a"].ids.tolist() == ["p0"]


@pytest.mark.parametrize(
    ("images", "classes", "message"),
    [
        ((), ("a",), "at least one image"),
        ((ImageRef("a", "a.png", 1, 1, ""),) * 2, ("a",), "ids must be unique"),
        ((ImageRef("a", "a.png", 1, 1, ""),), (), "at least one class"),
        ((ImageRef("a", "a.png", 1, 1, ""),), ("a", "a"), "classes must be unique"),
    ],
)
def test_image_sets_are_checked(images, classes, message):
    with pytest.raises(ValueError, match=message):
        ImageSet(images, classes)


def test_a_subset_keeps_the_order_asked_for_and_names_what_is_unknown():
    a, b = ImageRef("a", "a.png", 1, 1, ""), ImageRef("b", "b.png", 1, 1, "")
    images = ImageSet((a, b), ("cat",))
    assert images.subset(["b", "a"]) == (b, a)
    with pytest.raises(ValueError, match="image ghost is not among"):
        images.subset(["a", "ghost"])


@pytest.mark.parametrize(
    "fields", [("", "a", 1, 1), ("a", "", 1, 1), ("a", "a\0b", 1, 1), ("a", "a", 0, 1)]
)
def test_images_are_checked(fields):
    with pytest.raises(ValueError, match=r"id|name a file|positive"):
        ImageRef(*fields, digest="")


def test_features_are_checked():
    with pytest.raises(ValueError, match=r"\(2, D\), got \(1, 3\)"):
        FeatureTable(("a", "b"), np.zeros((1, 3), np.float32))


@given(st.text("/.ab", max_size=5))
def test_a_path_names_a_file_as_pathlib_says(path):
    named = bool(PurePosixPath(path).name)
    with nullcontext() if named else pytest.raises(ValueError, match="path must name a file"):
        ImageRef("a", path, 1, 1, "0")


@given(any_boxes(scored=True), st.data())
def test_boxes_left_by_a_mask_are_those_at_its_places_and_as_firm(found, data):
    mask = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found))), bool
    )
    left = found.select(mask)
    assert left == found.select(np.flatnonzero(mask))
    assert not any(v.flags.writeable for v in (left.xyxy, left.labels, left.ids, left.scores))
