"""All images at once are each image by itself; what is counted is in test_evidence.py."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core import sweep
from boxloop.core.boxes import iou_matrix, paired_iou
from boxloop.core.edits import EDITS, Ledger
from boxloop.core.types import NOTHING, Boxes
from boxloop.core.workload import compare, compare_all
from builders import any_boxes, boxes, proposed

SCORES = (0.1, 0.25, 0.5, 0.9, NOTHING)
pairs = st.lists(st.tuples(any_boxes(scored=True), any_boxes(scored=False)), max_size=4)


def ledgers(counts, iou):
    """The edits of all classes at each score."""
    rows = sum(counts[iou].values(), np.zeros((len(EDITS), len(SCORES)), int))
    return [Ledger(**dict(zip(EDITS, column, strict=True))) for column in rows.T.tolist()]


@pytest.mark.parametrize("at_once", [1, 7, 200_000])
@settings(max_examples=30, deadline=None)
@given(images=pairs)
def test_each_ledger_is_that_of_the_images_one_by_one(at_once, images):
    shown = {f"i{n}": pair[0] for n, pair in enumerate(images)}
    final = {f"i{n}": pair[1] for n, pair in enumerate(images)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweep, "_AT_ONCE", at_once)
        counts = sweep.sweep_counts({**shown, "other": proposed()}, final, (0.5, 0.7, 0.5), SCORES)
    assert list(counts) == [0.5, 0.7]
    for iou in counts:
        assert ledgers(counts, iou) == [
            compare_all(
                {k: b.above(score) for k, b in shown.items()},
                final,
                partial(compare, iou_threshold=iou),
            )
            for score in SCORES
        ]


def test_an_iou_below_that_of_a_move():
    shown = {"a": proposed(("cat", 0, 0, 10, 10, 0.9))}
    final = {"a": boxes(("cat", 9, 0, 20, 10))}
    assert ledgers(sweep.sweep_counts(shown, final, (0.04,), SCORES), 0.04)[0] == Ledger(kept=1)


def test_nothing_at_all():
    assert sweep.sweep_counts({}, {}, (0.5,), SCORES) == {0.5: {}}
    found = sweep.sweep_counts({}, {"a": Boxes.empty()}, (0.5,), SCORES)
    assert found == {0.5: {}}


def test_the_iou_of_a_pair_is_that_of_the_matrix_to_the_last_digit():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 20, (2, 60, 2))
    a, b = np.concatenate([corner, corner + rng.uniform(0.1, 30, corner.shape)], axis=2)
    rows, columns = np.indices((60, 60)).reshape(2, -1)
    assert np.array_equal(paired_iou(a[rows], b[columns]), iou_matrix(a, b).ravel())
