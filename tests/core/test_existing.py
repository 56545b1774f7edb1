"""Labels as proposals: told from a detector's by their ids, and above them by their scores."""

import numpy as np
import pytest

from boxloop.core.existing import (
    SURE,
    as_proposals,
    below_labels,
    first,
    is_existing,
    makers,
)
from boxloop.core.types import Batch, Boxes

BOX = (2.0, 2.0, 12.0, 12.0)


def test_labels_become_proposals_that_are_told_from_a_detectors():
    labels = Boxes.build([BOX, (20, 2, 30, 12)], ["cat", "dog"])
    proposals = as_proposals(labels)
    assert proposals.xyxy.tolist() == labels.xyxy.tolist()
    assert proposals.labels.tolist() == ["cat", "dog"]
    assert proposals.scores.tolist() == [1, 1]
    assert is_existing(proposals)
    assert not is_existing(Boxes.build([BOX], ["cat"], [1.0], prefix="p"))
    assert not is_existing(Boxes.empty(scored=True))


def test_at_the_highest_threshold_labels_are_shown_and_nothing_else():
    sure = Boxes.build([BOX, (20, 2, 30, 12)], ["cat", "dog"], [1.0, 0.9])
    assert sure.reach(SURE).tolist() == [True, False]
    lowered = below_labels(sure)
    assert lowered.reach(SURE).tolist() == [False, False]
    assert lowered.scores[1] == 0.9
    assert np.isclose(lowered.scores[0], 1, atol=1e-5)
    assert as_proposals(sure).reach(SURE).all()


def test_proposals_that_score_less_stay_the_very_same():
    boxes = Boxes.build([BOX], ["cat"], [0.99])
    assert below_labels(boxes) is boxes


def test_labeled_images_come_first_and_all_keep_their_order():
    labels = dict.fromkeys("da", Boxes.build([BOX], ["cat"]))
    assert first("bdca", labels) == ["d", "a", "b", "c"]
    assert first("bdca", {}) == ["b", "d", "c", "a"]


def test_makers_are_told_apart():
    assert makers("labels, fcos") == {"labels", "fcos"}
    assert makers("") == {""}


def test_a_batch_names_its_unlabeled_images_and_refuses_odd_labels():
    labels = {"b": Boxes.build([BOX], ["cat"])}
    assert Batch("b00", ("a", "b", "c"), labels=labels).unlabeled == ("a", "c")
    with pytest.raises(ValueError, match="b has labels, but is not in b00"):
        Batch("b00", ("a",), labels=labels)
    with pytest.raises(ValueError, match="a has labels, but no box"):
        Batch("b00", ("a",), labels={"a": Boxes.empty()})
