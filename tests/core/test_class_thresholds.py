import numpy as np
import pytest

from boxloop.core.class_thresholds import PRIOR_BOXES, fit_classes
from boxloop.core.evidence import CANDIDATES, Evidence, SweptEdits, sweep
from boxloop.core.threshold import DECAY, PRIOR, STRENGTH
from boxloop.core.types import NOTHING, Boxes
from boxloop.core.workload import PAPER, CostModel, pair
from builders import boxes, proposed

FINAL = {
    "a": boxes(("cat", 0, 0, 10, 10), ("cat", 20, 0, 30, 10), ("dog", 40, 0, 50, 10)),
    "b": boxes(("dog", 0, 0, 10, 10)),
}
FOUND = {
    "a": proposed(
        ("cat", 0, 0, 10, 10, 0.9),
        ("cat", 20, 0, 30, 10, 0.7),
        ("cat", 60, 0, 70, 10, 0.4),
        ("cat", 40, 0, 50, 10, 0.6),
        ("dog", 80, 0, 90, 10, 0.8),
    ),
    "b": proposed(("dog", 0, 0, 10, 10, 0.55), ("dog", 30, 0, 40, 10, 0.3)),
}


def test_f1_and_cost_by_hand():
    """Cats: 0.9 and 0.7 are right, 0.6 (on a dog) and 0.4 are not."""
    cat, dog, bird = fit_classes(
        [sweep("b01", FOUND, FINAL, (0.5,), 0.05)], ("cat", "dog", "bird"), 0.5, floor=0.05
    )
    # From 0.625 to 0.7 both cats and nothing else: of equal ones the nearest to the prior.
    assert (cat.f1, cat.best_f1) == (0.625, 1.0)
    assert (cat.least_wt, cat.saving, cat.objects) == (0.625, 1.0, 2)
    # Dogs at 0.55: one right of two shown, two objects.
    assert dog.best_f1 == pytest.approx(2 / 4)
    assert dog.saving == pytest.approx((2 - 1 - 0.5) / 2)
    assert (bird.f1, bird.best_f1, bird.least_wt, bird.saving) == (PRIOR, None, PRIOR, None)


def test_a_class_whose_boxes_cost_more_than_they_save_shows_none():
    found = {"a": proposed(*[("dog", 5 * i, 20, 5 * i + 4, 30, 0.9) for i in range(8)])}
    final = {"a": boxes(("dog", 90, 0, 95, 5))}
    (dog,) = fit_classes([sweep("b01", found, final, (0.5,), 0.05)], ("dog",), 0.5)
    assert (dog.least_wt, dog.saving) == (NOTHING, 0.0)
    assert dog.f1 < NOTHING
    evidence = [sweep("b01", found, final, (0.5,), 0.05)]
    (cheap,) = fit_classes(evidence, ("dog",), 0.5, CostModel(added=0.75))
    assert (cheap.least_wt, cheap.saving) == (NOTHING, 0.25)


def test_a_class_that_is_proposed_alone_has_no_f1_where_nothing_of_it_is_shown():
    found = {"a": proposed(("dog", 0, 0, 10, 10, 0.6))}
    (dog,) = fit_classes([sweep("b01", found, {"a": boxes()}, (0.5,), 0.05)], ("dog",), 0.5)
    assert dog.f1 > 0.6
    assert (dog.best_f1, dog.saving, dog.objects) == (None, None, 0)


def test_a_class_without_an_object_of_which_little_is_proposed_with_doubt():
    """At a threshold of the prior there is nothing to count, and nothing to divide by."""
    found = {"a": proposed(("dog", 0, 0, 10, 10, 0.4))}
    (dog,) = fit_classes([sweep("b01", found, {"a": boxes()}, (0.5,), 0.05)], ("dog",), 0.5)
    assert dog.f1 > 0.4
    assert (dog.best_f1, dog.least_wt, dog.saving) == (None, NOTHING, None)


SCORES = (*CANDIDATES, NOTHING)


def swept(*, hits=(), wrong=(), missed=0):
    """Evidence of a class by the scores of its proposals, right and wrong ones."""
    kept = [sum(score <= hit for hit in hits) for score in SCORES]
    removed = [sum(score <= one for one in wrong) for score in SCORES]
    added = [missed + len(hits) - right for right in kept]
    none = (0,) * len(SCORES)
    rows = SweptEdits(0.5, "pen", tuple(kept), none, none, tuple(removed), tuple(added))
    return Evidence("b01", 10, added[-1], SCORES, (rows,))


@pytest.mark.parametrize(
    "found",
    [
        {"missed": 1},
        {"missed": 6},
        {"missed": 1, "wrong": (0.3,)},
        {"hits": (0.1,)},
        {"missed": 5, "hits": (0.1,)},
        {"missed": 4, "hits": (0.15, 0.1), "wrong": (0.2, 0.1)},
    ],
)
def test_little_evidence_leaves_the_threshold_at_the_prior(found):
    """Where nothing was hit, every threshold has an F1 of 0; where little was, that is chance."""
    (row,) = fit_classes([swept(**found)], ("pen",), 0.5)
    assert row.f1 == PRIOR


@pytest.mark.parametrize(("hit", "wrong", "wanted"), [(0.3, 0.1, 0.3), (0.9, 0.7, 0.725)])
def test_much_evidence_moves_it_as_far_as_need_be(hit, wrong, wanted):
    """All thresholds from above the wrong boxes to the right ones have an F1 of 1."""
    (row,) = fit_classes([swept(hits=(hit,) * 200, wrong=(wrong,) * 200)], ("pen",), 0.5)
    assert (row.f1, row.best_f1) == (wanted, 1.0)


def scene(rng):
    names = ("cat", "dog")
    final, found = {}, {}
    for image in "abcd":
        corners = rng.integers(0, 60, (5, 2))
        objects = np.hstack([corners, corners + rng.integers(5, 20, (5, 2))])
        labels = rng.choice(names, 5)
        final[image] = Boxes.build(objects, labels)
        moved = objects + rng.integers(-2, 3, objects.shape)
        others = np.where(rng.random(5) < 0.8, labels, rng.choice(names, 5))
        found[image] = Boxes.build(moved, others, rng.random(5).round(2), prefix="p")
    return found, final


@pytest.mark.parametrize("seed", range(3))
def test_it_is_what_a_plain_loop_finds(seed):
    rng = np.random.default_rng(seed)
    batches = [scene(rng) for _ in range(2)]
    evidence = [sweep(f"b{i}", *batch, (0.5,), 0.05) for i, batch in enumerate(batches)]
    for row in fit_classes(evidence, ("cat", "dog"), 0.5, floor=0.05):
        f1, cost = {}, {}
        for score in CANDIDATES:
            kept = shown = objects = 0.0
            for age, (found, final) in enumerate(reversed(batches)):
                for image, truth in final.items():
                    mine = found[image].select(found[image].labels == row.label).above(score)
                    wanted = truth.select(truth.labels == row.label)
                    kept += DECAY**age * len(pair(mine, wanted, 0.5)[0])
                    shown += DECAY**age * len(mine)
                    objects += DECAY**age * len(wanted)
            off = STRENGTH * (score - PRIOR) ** 2
            right, boxes_, wanted = PRIOR_BOXES - off, shown + PRIOR_BOXES, objects + PRIOR_BOXES
            f1[score] = round(2 * (kept + right) / (boxes_ + wanted), 9)
            price = PAPER.removed * (shown - kept) + PAPER.added * (objects - kept)
            cost[score] = round(price + off, 9)
            if score == row.least_wt:
                assert row.saving == pytest.approx(1 - price / objects)
        best = [score for score, value in f1.items() if value == max(f1.values())]
        assert row.f1 == min(best, key=lambda score: (round(abs(score - PRIOR), 9), -score))
        assert row.least_wt == NOTHING or cost[row.least_wt] == min(cost.values())
