from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boxloop.core.edits import Ledger
from boxloop.core.evidence import CANDIDATES, Evidence, SweptEdits, sweep
from boxloop.core.types import NOTHING, Boxes
from boxloop.core.workload import PAPER, CostModel, compare, compare_all
from builders import CLASSES, any_boxes, boxes, proposed

IOUS = (0.5, 0.7)


@st.composite
def scored_on_the_grid(draw):
    """Proposals, many of whose scores are equal, or exactly a candidate, or 1."""
    found = draw(any_boxes(scored=False, most=8))
    score = st.one_of(
        st.sampled_from([*CANDIDATES[::6], 0.0, 0.04, 0.1, 1.0]), st.floats(0, 1, width=16)
    )
    scores = draw(st.lists(score, min_size=len(found), max_size=len(found)))
    return replace(Boxes.build(found.xyxy, found.labels.tolist(), scores, prefix="p"))


images = st.lists(st.tuples(scored_on_the_grid(), any_boxes(scored=False)), max_size=3)


@settings(max_examples=40, deadline=None)
@given(images, st.sampled_from([0.0, 0.05, 0.3, 0.32, 0.99]))
def test_it_counts_what_the_plain_loop_counts(pairs, floor):
    shown = {f"i{n}": pair[0] for n, pair in enumerate(pairs)}
    final = {f"i{n}": pair[1] for n, pair in enumerate(pairs)}
    evidence = sweep("b01", shown, final, IOUS, floor)
    assert evidence.scores == (*(s for s in CANDIDATES if s >= floor), NOTHING)
    assert evidence.images == len(final)
    assert evidence.objects == sum(map(len, final.values()))
    for iou in IOUS:
        costs = evidence.costs(iou, PAPER)
        for place, score in enumerate(evidence.scores):
            drawn = {k: b.above(score) for k, b in shown.items()}
            ledger = compare_all(drawn, final, partial(compare, iou_threshold=iou))
            assert evidence.ledger(iou, score) == ledger
            assert costs[place] == pytest.approx(PAPER.cost(ledger))


@settings(deadline=None)
@given(images)
def test_classes_add_up_to_the_boxes_that_were_shown_and_wanted(pairs):
    shown = {f"i{n}": pair[0] for n, pair in enumerate(pairs)}
    final = {f"i{n}": pair[1] for n, pair in enumerate(pairs)}
    for row in sweep("b01", shown, final, IOUS, 0.05).edits:
        for place, score in enumerate((*CANDIDATES, NOTHING)):
            count = sum((b.above(score).labels == row.label).sum() for b in shown.values())
            kinds = (row.kept, row.moved, row.relabeled, row.removed)
            assert sum(kind[place] for kind in kinds) == count
        assert row.label in CLASSES


def test_a_small_batch_by_hand():
    shown = proposed(
        ("cat", 0, 0, 10, 10, 0.9),  # on the first cat
        ("cat", 20, 0, 30, 10, 0.6),  # on the dog
        ("dog", 40, 0, 50, 6, 0.5),  # on the second dog, IoU 0.6
        ("cat", 70, 0, 80, 10, 0.2),  # on nothing
    )
    final = boxes(("cat", 0, 0, 10, 10), ("dog", 20, 0, 30, 10), ("dog", 40, 0, 50, 10))
    evidence = sweep("b01", {"a": shown}, {"a": final}, IOUS, 0.05)
    assert evidence.ledger(0.5, 0.2) == Ledger(kept=2, relabeled=1, removed=1)
    assert evidence.ledger(0.5, 0.225) == Ledger(kept=2, relabeled=1)
    assert evidence.ledger(0.7, 0.5) == Ledger(kept=1, moved=1, relabeled=1)
    assert evidence.ledger(0.5, 0.525) == Ledger(kept=1, relabeled=1, added=1)
    assert evidence.ledger(0.5, 0.625) == Ledger(kept=1, added=2)
    assert evidence.ledger(0.5, NOTHING) == Ledger(added=3)
    costs = dict(zip(evidence.scores, evidence.costs(0.5, PAPER).tolist(), strict=True))
    assert (costs[0.2], costs[0.225], costs[0.525], costs[0.625], costs[NOTHING]) == (
        2.0,
        1.5,
        2.5,
        2.0,
        3.0,
    )
    cheap = CostModel(relabeled=0.25, moved=0.5)
    assert evidence.costs(0.7, cheap)[evidence.scores.index(0.5)] == 0.75
    dog = next(row for row in evidence.edits if (row.label, row.iou_threshold) == ("dog", 0.5))
    place = evidence.scores.index(0.525)
    assert (dog.kept[place], dog.added[place], dog.relabeled[place]) == (0, 1, 0)


def test_a_batch_without_any_box_is_evidence_of_nothing():
    evidence = sweep("b01", {"a": proposed()}, {"a": boxes()}, IOUS, 0.05)
    assert (evidence.images, evidence.objects, evidence.iou_thresholds) == (1, 0, ())


@pytest.mark.parametrize(
    "scores", [(), (0.5,), (0.5, 0.5, 1.0), (1.0, 0.5)], ids=["none", "end", "equal", "falling"]
)
def test_scores_rise_to_showing_nothing(scores):
    with pytest.raises(ValueError, match="must rise to 1"):
        Evidence("b01", 1, 1, scores, ())


def test_every_count_has_its_threshold():
    row = SweptEdits(0.5, "cat", (1,), (0,), (0,), (0,), (0,))
    with pytest.raises(ValueError, match="a count per score threshold"):
        Evidence("b01", 1, 1, (0.5, NOTHING), (row,))
    for counts in ((1, 2), (-1,)):
        with pytest.raises(ValueError, match="one count, not below 0"):
            replace(row, moved=counts)
