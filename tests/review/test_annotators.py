"""What holds for every annotator; a new one joins by a line in ``ANNOTATORS``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.core.types import Boxes
from boxloop.core.workload import pair
from boxloop.errors import DatasetError, ReviewPending
from boxloop.review.people import People
from boxloop.review.simulated import SimulatedAnnotator
from builders import any_boxes, boxes, proposals, proposed
from builders_reviews import submission


def people(truth):
    """People who submitted the truth a while ago, in two parts, for other proposals."""
    ids = list(truth)
    entries = [
        submission(
            proposals({i: OFFERED[i] for i in part}, batch="b07"),
            truth,
            finished=f"2024-01-01T12:00:0{second}+00:00",
        )
        for second, part in enumerate((ids[:1], ids[1:]))
    ]
    return People("fiftyone", entries)


ANNOTATORS = {"simulated": lambda truth: SimulatedAnnotator(truth, 0.5), "fiftyone": people}


@pytest.fixture(params=ANNOTATORS)
def make(request):
    return ANNOTATORS[request.param]


def geometry(table):
    return {
        name: sorted(zip(b.labels.tolist(), b.xyxy.tolist(), strict=True))
        for name, b in table.items()
    }


TRUTH = {
    "a": boxes(("cat", 0, 0, 10, 10), ("dog", 20, 0, 30, 10), ("cat", 50, 0, 60, 10)),
    "b": Boxes.empty(),
}
OFFERED = {
    "b": proposed(("cat", 0, 0, 5, 5, 0.9)),
    "a": proposed(
        ("cat", 0, 0, 10, 9, 0.9),  # right
        ("cat", 20, 0, 30, 10, 0.8),  # wrong label
        ("dog", 80, 0, 90, 10, 0.7),  # nothing there
        ("cat", 50, 0, 60, 10, 0.2),  # right, but scores too little to be shown
    ),
}


def test_the_final_boxes_are_what_the_annotator_meant(make):
    result = make(TRUTH).review(proposals(OFFERED), {}, 0.5)
    assert geometry(result.boxes) == geometry(TRUTH)


def test_corrections_keep_the_proposals_and_the_threshold(make):
    annotator = make(TRUTH)
    result = annotator.review(proposals(OFFERED), {}, 0.5)
    assert result.proposals == proposals(OFFERED)
    assert (result.score_threshold, result.annotator) == (0.5, annotator.kind)
    assert list(result.boxes) == list(OFFERED)


def test_ids_tell_which_proposals_were_used(make):
    result = make(TRUTH).review(proposals(OFFERED), {}, 0.5)
    # p0 was kept, p1 relabeled; p2 was removed and p3 never shown.
    assert set(result.boxes["a"].ids.tolist()) & {"p0", "p1", "p2", "p3"} == {"p0", "p1"}


def test_work_on_other_images_does_not_stand_in_for_a_batch(make):
    offered = proposals({**OFFERED, "z": proposed()})
    with pytest.raises((DatasetError, ReviewPending), match=r"image z|2 of 3 images"):
        make(TRUTH).review(offered, {}, 0.5)


def test_final_boxes_carry_no_score(make):
    assert make(TRUTH).review(proposals(OFFERED), {}, 0.5).boxes["a"].scores is None


@given(any_boxes(scored=True), any_boxes(scored=False), st.sampled_from([0.0, 0.5, 1.0]))
def test_the_whole_truth_comes_back_whatever_was_proposed(offered, truth, threshold):
    result = SimulatedAnnotator({"a": truth}, 0.5).review(proposals({"a": offered}), {}, threshold)
    assert result.boxes["a"].xyxy.tolist() == truth.xyxy.tolist()
    assert result.boxes["a"].labels.tolist() == truth.labels.tolist()
    shown = offered.above(threshold)
    used = set(result.boxes["a"].ids.tolist()) & set(shown.ids.tolist())
    assert len(used) == sum(len(pairs) for pairs in pair(shown, truth, 0.5))


def test_without_truth_there_is_nothing_to_simulate():
    with pytest.raises(DatasetError, match="needs ground truth"):
        SimulatedAnnotator(None, 0.5)


def test_an_image_outside_the_truth_is_named():
    with pytest.raises(DatasetError, match="does not cover image z"):
        SimulatedAnnotator({}, 0.5).review(proposals({"z": proposed()}), {}, 0.5)


def test_a_box_that_is_drawn_never_takes_the_id_of_a_proposal():
    truth = {"a": boxes(("cat", 0, 0, 10, 10), prefix="p")}
    offered = proposals({"a": proposed(("dog", 80, 0, 90, 10, 0.9))})
    result = SimulatedAnnotator(truth, 0.5).review(offered, {}, 0.5)
    assert result.boxes["a"].ids.tolist() == ["new-p0"]
