import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.class_precision import ap_50_by_class
from boxloop.core.types import Boxes
from boxloop.models.average_precision import average_precision, average_precision_by_class
from builders import any_boxes, boxes, proposed


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(any_boxes(scored=True), any_boxes(scored=False)), min_size=1, max_size=4))
def test_it_is_that_of_faster_coco_eval(images):
    offered = {f"{i}": shown for i, (shown, _) in enumerate(images)}
    final = {f"{i}": wanted for i, (_, wanted) in enumerate(images)}
    found = ap_50_by_class(offered, final)
    expected = average_precision_by_class(offered, final)
    assert found == pytest.approx({name: row["ap_50"] for name, row in expected.items()}, abs=1e-12)
    if found:
        whole = average_precision(offered, final)["map_50"]
        assert np.mean(list(found.values())) == pytest.approx(whole, abs=1e-12)


def test_of_a_thousand_boxes_the_best_hundred_of_an_image_count():
    rng = np.random.default_rng(0)
    final, offered = {}, {}
    for name in ("a", "b"):
        corners = rng.uniform(0, 500, (300, 2))
        labels = rng.choice(["cat", "dog", "cow"], 300).tolist()
        final[name] = Boxes.build(np.hstack([corners, corners + 30]), labels)
        near = corners + rng.normal(0, 4, (300, 2))
        offered[name] = Boxes.build(
            np.vstack([np.hstack([near, near + 30])] * 2),
            rng.choice(["cat", "dog", "cow"], 600).tolist(),
            rng.uniform(0.05, 1, 600),
        )
    expected = average_precision_by_class(offered, final)
    found = ap_50_by_class(offered, final)
    assert found == pytest.approx({name: row["ap_50"] for name, row in expected.items()})
    assert 0 < found["cat"] < 1


def test_classes_without_an_object_have_none_and_those_without_a_proposal_have_zero():
    offered = {"a": proposed(("cat", 0, 0, 10, 10, 0.9)), "elsewhere": proposed()}
    assert ap_50_by_class(offered, {"a": boxes(("dog", 0, 0, 10, 10))}) == {"dog": 0.0}
    assert ap_50_by_class(offered, {"a": boxes(("cat", 0, 0, 10, 10))}) == {"cat": 1.0}
    assert ap_50_by_class(offered, {"a": Boxes.empty()}) == {}


def test_images_without_a_proposal_or_without_an_object_are_images_all_the_same():
    offered = {"a": proposed(), "b": proposed(("cat", 0, 0, 10, 10, 0.9))}
    assert ap_50_by_class(offered, {"a": boxes(("cat", 0, 0, 9, 9)), "b": Boxes.empty()}) == {
        "cat": 0.0
    }
