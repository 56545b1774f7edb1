from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import Ledger
from boxloop.core.types import Boxes, FittedThreshold
from boxloop.core.workload import (
    PAPER,
    BatchWorkload,
    CostModel,
    Totals,
    account,
    compare,
    total,
)
from builders import any_boxes, boxes, corrections, proposed

IOU = st.sampled_from([0.5, 0.7])


def test_every_kind_of_edit_is_told_apart():
    final = boxes(
        ("cat", 0, 0, 10, 10),  # kept
        ("dog", 20, 0, 30, 10),  # proposed as a cat
        ("cat", 40, 0, 50, 10),  # proposed with too little overlap
        ("dog", 60, 0, 70, 10),  # not proposed
    )
    shown = proposed(
        ("cat", 0, 0, 10, 9, 0.9),
        ("cat", 20, 0, 30, 10, 0.9),
        ("cat", 45, 0, 55, 10, 0.9),
        ("dog", 80, 0, 90, 10, 0.9),  # nothing there
        ("cat", 0, 0, 10, 8, 0.8),  # a second box on the first cat
    )
    ledger = compare(shown, final, 0.5)
    assert ledger == Ledger(kept=1, moved=1, relabeled=1, removed=2, added=1)
    assert (ledger.additions, ledger.removals) == (3, 4)


def test_a_tighter_threshold_turns_a_kept_box_into_a_moved_one():
    shown, final = proposed(("cat", 0, 0, 10, 6, 0.9)), boxes(("cat", 0, 0, 10, 10))
    assert compare(shown, final, 0.5) == Ledger(kept=1)
    assert compare(shown, final, 0.7) == Ledger(moved=1)


@given(any_boxes(scored=True), any_boxes(scored=False), IOU)
def test_every_box_is_counted_once(shown, final, iou):
    ledger = compare(shown, final, iou)
    assert ledger.kept + ledger.removals == len(shown)
    assert ledger.kept + ledger.additions == len(final)


@given(any_boxes(scored=False), IOU)
def test_perfect_proposals_need_no_edit(final, iou):
    ledger = compare(final, final, iou)
    assert ledger == Ledger(kept=len(final))


@given(any_boxes(scored=False), IOU)
def test_no_proposals_means_drawing_everything(final, iou):
    assert compare(Boxes.empty(scored=True), final, iou) == Ledger(added=len(final))


@given(any_boxes(scored=True), any_boxes(scored=False), IOU, st.randoms(use_true_random=False))
def test_the_order_of_the_boxes_does_not_change_the_paper_s_counts_much(shown, final, iou, random):
    """Greedy matching may break ties differently, but never loses or doubles a box."""
    rows = list(range(len(shown)))
    random.shuffle(rows)
    one, other = compare(shown, final, iou), compare(shown.select(rows), final, iou)
    assert one.kept + one.removals == other.kept + other.removals
    assert one.kept + one.additions == other.kept + other.additions


def batch(name, objects, ledger, score=0.5, images=1):
    return BatchWorkload(
        name, "simulated", "ssd", images, objects, score, {(score, 0.5): ledger}, {}
    )


def test_wb_and_wt_by_hand():
    # B1: 10 objects. B2: 20 objects, 12 kept, 8 to add, 4 to remove.
    batches = [batch("b00", 10, Ledger(added=10)), batch("b01", 20, Ledger(12, 3, 1, 0, 4))]
    totals = total(batches, 0.5)
    assert totals == Totals(2, 30, first_batch_objects=10, later=Ledger(12, 3, 1, 0, 4))
    assert (totals.added, totals.removed) == (8, 4)
    assert totals.wb == 10 + 8 + 4
    assert totals.wt == 10 + 8 + 4 / 2
    assert totals.wb_reduction == pytest.approx(1 - 22 / 30)
    assert totals.wt_reduction == pytest.approx(1 - 20 / 30)


def test_perfect_proposals_cost_the_first_batch_only():
    totals = total([batch("b00", 10, Ledger(added=10)), batch("b01", 30, Ledger(kept=30))], 0.5)
    assert totals.wb == totals.wt == 10
    assert totals.wt_reduction == 0.75


def test_empty_proposals_save_nothing():
    totals = total([batch("b00", 10, Ledger(added=10)), batch("b01", 30, Ledger(added=30))], 0.5)
    assert totals.wb_reduction == totals.wt_reduction == 0.0


def test_false_positives_push_the_saving_below_zero():
    totals = total([batch("b00", 1, Ledger(added=1)), batch("b01", 1, Ledger(1, removed=9))], 0.5)
    assert totals.wb_reduction < totals.wt_reduction < 0


def test_a_campaign_without_objects_saves_nothing():
    assert total([batch("b00", 0, Ledger())], 0.5).wt_reduction == 0.0
    assert total([], 0.5).objects == 0


def test_what_if_thresholds_are_accounted_for_a_simulated_annotator():
    shown = {"a": proposed(("cat", 0, 0, 10, 10, 0.6), ("cat", 20, 0, 30, 10, 0.2))}
    final = {"a": boxes(("cat", 0, 0, 10, 10), ("dog", 40, 0, 50, 10))}
    result = account(corrections(shown, final), (0.5,), (0.01, 0.1, 0.9), {})
    assert result.ledger(0.5) == Ledger(kept=1, added=1)
    assert result.ledger(0.5, 0.1) == Ledger(kept=1, removed=1, added=1)
    assert result.ledger(0.5, 0.9) == Ledger(added=2)
    # Below the floor nothing was stored, so nothing can be said.
    assert {score for score, _ in result.ledgers} == {0.1, 0.5, 0.9}


def test_a_person_s_boxes_are_accounted_as_shown_only():
    shown = {"a": proposed(("cat", 0, 0, 10, 10, 0.6))}
    final = {"a": boxes(("cat", 0, 0, 10, 10))}
    result = account(corrections(shown, final, annotator="person"), (0.5,), (0.1, 0.9), {})
    assert set(result.ledgers) == {(0.5, 0.5)}
    assert (result.images, result.objects) == (1, 1)


def test_a_person_s_edits_are_told_by_id_not_by_place():
    """A deleted box drawn again, one relabeled and moved away, one nudged, one left alone."""
    shown = proposed(
        ("cat", 0, 0, 10, 10, 0.9),
        ("cat", 20, 0, 30, 10, 0.9),
        ("dog", 40, 0, 50, 10, 0.9),
        ("dog", 60, 0, 70, 10, 0.9),
        ("dog", 80, 0, 90, 10, 0.3),  # not shown
    )
    final = Boxes(
        [(0, 0, 10, 10), (25, 20, 35, 30), (40, 0, 52, 10), (60, 0, 70, 10), (80, 0, 90, 10)],
        ["cat", "dog", "dog", "dog", "dog"],
        ["new1", "p1", "p2", "p3", "new2"],
    )
    made = corrections({"a": shown}, {"a": final}, annotator="fiftyone")
    result = account(replace(made, seconds={"a": 7.0}, reviewer="ada"), (0.5, 0.9), (0.1,), {})
    assert result.edits == Ledger(kept=1, moved=1, relabeled=1, removed=1, added=2)
    assert result.ledger(0.5) == Ledger(kept=2, relabeled=1, removed=1, added=2)
    assert result.ledger(0.9) == Ledger(kept=1, moved=1, relabeled=1, removed=1, added=2)
    assert (result.seconds, result.timed_images, result.measured_seconds) == (7.0, 1, 7.0)
    assert (result.reviewer, result.revision) == ("ada", 1)
    geometric = account(corrections({"a": shown}, {"a": final}), (0.5,), (), {})
    assert geometric.ledger(0.5) == Ledger(kept=3, removed=1, added=2)
    assert geometric.edits is None


def test_seconds_of_a_part_are_not_those_of_the_batch():
    table = {"a": proposed(), "b": proposed()}
    made = corrections(table, dict.fromkeys(table, Boxes.empty()), annotator="fiftyone")
    result = account(replace(made, seconds={"a": 7.0}), (0.5,), (), {})
    assert (result.seconds, result.timed_images, result.measured_seconds) == (7.0, 1, None)


def test_the_batches_add_up_to_the_campaign():
    batches = [batch("b00", 10, Ledger(added=10)), batch("b01", 20, Ledger(12, 3, 1, 0, 4))]
    results = CampaignResults(tuple(batches), ("b00", "b01"), (0.5,), seconds_per_box=1.0)
    alone = [results.batch_seconds(i, 0.5) for i in range(2)]
    assert alone == [10, 8 + 4 / 2]
    assert sum(alone) == total(batches, 0.5).wt


COUNT = st.integers(0, 10**6)


@given(st.builds(Ledger, COUNT, COUNT, COUNT, COUNT, COUNT))
def test_the_paper_s_model_charges_additions_and_half_of_removals(ledger):
    """Exactly, not approximately: all terms are multiples of one half."""
    assert PAPER.cost(ledger) == ledger.additions + ledger.removals / 2


def test_each_kind_of_edit_has_its_own_price():
    model = CostModel(kept=1, moved=10, relabeled=100, removed=1000, added=10000)
    assert model.cost(Ledger(1, 2, 3, 4, 5)) == 54321
    batches = [batch("b00", 10, Ledger(added=10)), batch("b01", 20, Ledger(1, 2, 3, 4, 5))]
    assert total(batches, 0.5, cost_model=model).wt == 10 + 54321
    results = CampaignResults(tuple(batches), ("b00", "b01"), (0.5,), 1.0, model)
    alone = [results.batch_seconds(i, 0.5) for i in range(2)]
    assert alone == [10, 54321]


@pytest.mark.parametrize("price", [-0.5, float("inf"), float("nan"), "1", None, True, 1j])
def test_impossible_prices_are_refused(price):
    with pytest.raises(ValueError, match="costs must be numbers, finite and at least 0"):
        CostModel(moved=price)


@given(any_boxes(scored=True), any_boxes(scored=False), IOU)
def test_totals_follow_from_the_ledger(shown, final, iou):
    first = corrections({"z": proposed()}, {"z": boxes(("cat", 0, 0, 1, 1))}, batch="b00")
    later = corrections({"a": shown}, {"a": final})
    counted = [account(item, (iou,), (), {}) for item in (first, later)]
    totals, ledger = total(counted, iou), compare(shown.above(0.5), final, iou)
    n = 1 + len(final)
    assert totals.wb_reduction == pytest.approx(1 - (1 + ledger.additions + ledger.removals) / n)
    assert totals.wt_reduction == pytest.approx(
        1 - (1 + ledger.additions + ledger.removals / 2) / n
    )
    assert totals.wt_reduction <= 1 - 1 / n + 1e-12


@pytest.mark.parametrize(("overlap", "moved"), [(1.85, 1), (1.8, 0)])
def test_a_box_is_moved_from_an_iou_of_a_tenth(overlap, moved):
    """Two boxes of 10x10 that share 1.85 columns have an IoU of 18.5 / 181.5, with 1.8 18 / 182."""
    final = boxes(("cat", 0, 0, 10, 10))
    ledger = compare(proposed(("cat", 10 - overlap, 0, 20 - overlap, 10, 0.9)), final, 0.5)
    assert (ledger.moved, ledger.removed, ledger.added) == (moved, 1 - moved, 1 - moved)


def test_what_if_thresholds_reach_down_to_the_floor_and_no_further():
    result = account(corrections({"a": proposed()}, {"a": Boxes.empty()}), (0.5,), (0.04, 0.05), {})
    assert {score for score, _ in result.ledgers} == {0.05, 0.5}


def test_measured_seconds_are_summed():
    edited = replace(corrections({"a": proposed()}, {"a": Boxes.empty()}), seconds={"a": 2.5})
    assert account(edited, (0.5,), (), {}).seconds == 2.5
    assert account(replace(edited, seconds={}), (0.5,), (), {}).seconds is None


HALF = FittedThreshold(0.5, 0.2, 0.4, "b00")
STRICT = FittedThreshold(0.7, 1.0, 0.0, "b00")


def fitted_batch(annotator):
    """One of two cats proposed at 0.3, shown from 0.2, with an IoU of 0.6."""
    made = corrections(
        {"a": proposed(("cat", 0, 0, 10, 6, 0.3))},
        {"a": boxes(("cat", 0, 0, 10, 10), ("cat", 20, 0, 30, 10))},
        threshold=0.2,
        annotator=annotator,
    )
    made = replace(made, proposals=replace(made.proposals, thresholds=(HALF, STRICT)))
    return account(made, (0.5, 0.7), (0.4,), {})


def test_a_simulation_counts_each_iou_at_the_threshold_fitted_for_it():
    batch = fitted_batch("simulated")
    assert (batch.counted_at(0.5), batch.counted_at(0.7)) == (0.2, 1.0)
    assert batch.ledger(0.5) == Ledger(kept=1, added=1)
    assert batch.ledger(0.7) == Ledger(added=2)
    assert batch.ledger(0.7, 0.2) == Ledger(moved=1, added=1)
    assert {score for score, _ in batch.ledgers} == {0.2, 0.4, 1.0}
    assert (batch.fitted(0.5), batch.fitted(0.7), batch.fitted(0.6)) == (HALF, STRICT, None)
    assert (batch.saving(0.5), batch.saving(0.7)) == (0.5, 0.0)
    assert total([batch, batch], 0.7).later == Ledger(added=2)


def test_people_s_edits_count_at_what_they_were_shown():
    batch = fitted_batch("fiftyone")
    assert (batch.counted_at(0.5), batch.counted_at(0.7)) == (0.2, 0.2)
    assert {score for score, _ in batch.ledgers} == {0.2}


def test_what_was_expected_of_what_people_were_shown_is_known_at_its_own_iou_alone():
    batch = fitted_batch("fiftyone")
    assert batch.fitted(0.5) == HALF
    # Shown from 0.2, where 1.0 was fitted for 0.7.
    assert batch.fitted(0.7) == FittedThreshold(0.7, 0.2, None, "b00")
    alike = FittedThreshold(0.7, 0.2, 0.1, "b00")
    assert replace(batch, thresholds=(HALF, alike)).fitted(0.7) == alike
    assert replace(batch, score_threshold=0.3).fitted(0.5) is None


def test_the_saving_of_a_batch_is_against_drawing_it_from_scratch_whatever_an_addition_costs():
    batch = fitted_batch("simulated")
    assert batch.saving(0.5, CostModel(added=0.5, kept=0.25)) == pytest.approx(1 - 0.75 / 2)
    assert batch.saving(0.7, CostModel(added=0.5)) == 0.5
    assert batch.saving(0.5, CostModel(added=0.0)) == 1.0
    assert replace(batch, objects=0).saving(0.5) is None
    assert not batch.has(0.6)
    assert batch.has(0.7)
