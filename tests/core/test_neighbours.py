import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxloop.core.boxes import iou_matrix
from boxloop.core.edits import Ledger
from boxloop.core.evidence import Evidence, NeighbourEdits
from boxloop.core.neighbours import (
    AGREEMENT,
    DOUBT,
    LIMITS,
    OVERLAP,
    OWN_PLACE,
    PRIOR,
    SEEN,
    choose,
    find,
    judge,
    merge,
)
from boxloop.core.threshold import DECAY, STRENGTH
from boxloop.core.types import NOTHING, Batch, FeatureTable, Neighbour
from boxloop.core.workload import PAPER, compare
from builders import any_boxes, boxes, proposed


def plain_find(vectors, batches, labeled):
    """The same by plain loops."""
    scale = np.median([np.linalg.norm(a - b) for i, a in enumerate(vectors) for b in vectors[:i]])
    known, result = list(labeled), []
    for number, batch in enumerate(batches):
        found = {}
        for i in [*batch, *(batches[0] if number == 1 else ())]:
            near = [(np.linalg.norm(vectors[i] - vectors[j]) / scale, j) for j in known if j != i]
            best = min((d for d, _ in near), default=np.inf)
            if best <= LIMITS[-1]:
                found[str(i)] = (str(next(j for d, j in near if d == best)), round(best, 4))
        result.append(found)
        known += batch
    return result


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("labeled", [(), (0, 1)])
def test_the_nearest_image_labeled_before_by_plain_loops(seed, labeled):
    rng = np.random.default_rng(seed)
    # Small clusters, so that some are near and most are not.
    vectors = np.repeat(rng.normal(size=(8, 4)), 4, axis=0) + 0.15 * rng.normal(size=(32, 4))
    vectors = vectors.astype(np.float32)
    rest = [i for i in rng.permutation(32).tolist() if i not in labeled]
    batches = [rest[:8], rest[8:20], rest[20:]]
    table = FeatureTable(tuple(map(str, range(32))), vectors)
    made = [Batch(f"b0{k}", tuple(map(str, ids))) for k, ids in enumerate(batches)]
    found = find(table, made, [str(i) for i in labeled])
    plain = plain_find(vectors.astype(np.float64), batches, labeled)
    assert [{i: (n.image, n.distance) for i, n in b.items()} for b in found] == [
        {i: (n, pytest.approx(d, abs=2e-4)) for i, (n, d) in b.items()} for b in plain
    ]
    assert any(plain)


def test_equal_images_tell_no_distance():
    table = FeatureTable(("a", "b"), np.ones((2, 3), np.float32))
    assert find(table, [Batch("b00", ("a",)), Batch("b01", ("b",))]) == [{}, {}]


def plain_merge(own, labels, floor):
    """The same box by box."""
    pairs = []
    for r in range(len(own)):
        for c in range(len(labels)):
            iou = iou_matrix(own.xyxy[[r]], labels.xyxy[[c]])[0, 0]
            if own.labels[r] == labels.labels[c] and iou >= OVERLAP:
                pairs.append((-iou * own.scores[r], r, c))
    partner = {}
    for _, r, c in sorted(pairs):
        if r not in partner and c not in partner.values():
            partner[r] = c
    seen = sum(own.scores[r] >= SEEN for r in partner)
    if not len(labels) or seen < AGREEMENT * len(labels):
        return None
    result = []
    for r, (xyxy, score) in enumerate(zip(own.xyxy, own.scores, strict=True)):
        if r in partner:
            moved = OWN_PLACE * xyxy + (1 - OWN_PLACE) * labels.xyxy[partner[r]]
            result.append((*moved, score**0.5))
        else:
            result.append((*xyxy, max(DOUBT * score, min(score, floor))))
    return result, len(partner)


@given(any_boxes(scored=True), any_boxes(scored=False), st.sampled_from([0.0, 0.25]))
def test_merging_by_plain_loops(own, labels, floor):
    merged, pairs = merge(own, labels, floor)
    plain = plain_merge(own, labels, floor)
    if plain is None or not plain[1]:
        assert merged is own
        assert pairs == 0
    else:
        rows = np.column_stack([merged.xyxy, merged.scores])
        assert rows == pytest.approx(np.array(plain[0]))
        assert pairs == plain[1]
        assert merged.labels.tolist() == own.labels.tolist()
        assert merged.ids.tolist() == own.ids.tolist()
        assert (merged.scores >= np.minimum(own.scores, floor)).all()


def test_nothing_is_copied_where_the_detector_finds_nothing():
    labels = boxes(("cat", 0, 0, 10, 10))
    for own in (
        proposed(),
        proposed(("dog", 0, 0, 10, 10, 0.9)),
        proposed(("cat", 0, 0, 9, 9, 0.1)),
    ):
        assert merge(own, labels) == (own, 0)


def test_a_label_shifts_confirms_and_doubts():
    own = proposed(("cat", 0, 0, 10, 10, 0.25), ("cat", 50, 50, 60, 60, 0.5))
    merged, pairs = merge(own, boxes(("cat", 2, 0, 12, 10)))
    assert pairs == 1
    assert merged.xyxy.tolist() == [pytest.approx([0.8, 0, 10.8, 10]), [50, 50, 60, 60]]
    assert merged.scores.tolist() == [0.5, 0.35]


OWN = {"a": proposed(("cat", 0, 0, 10, 10, 0.3)), "b": proposed(("cat", 0, 0, 10, 10, 0.3))}
LABELS = {"x": boxes(("cat", 0, 0, 10, 10))}
NEAR = {"a": Neighbour("x", 0.12), "b": Neighbour("x", 0.33), "z": Neighbour("y", 0.1)}


def test_judging_counts_both_sides_at_every_limit():
    final = {"a": LABELS["x"], "b": boxes(), "c": LABELS["x"]}
    rows = judge(OWN, LABELS, NEAR, final, {0.5: 0.5, 0.7: NOTHING})
    assert [(row.iou_threshold, row.limit) for row in rows] == [
        (iou, limit) for iou in (0.5, 0.7) for limit in LIMITS
    ]
    for row in rows:
        images = [i for i in "ab" if NEAR[i].distance <= row.limit]
        score = 0.5 if row.iou_threshold == 0.5 else NOTHING
        assert row.images == len(images)
        for name, side in (
            ("own", OWN),
            ("merged", {i: merge(OWN[i], LABELS["x"])[0] for i in OWN}),
        ):
            plain = (compare(side[i].above(score), final[i], row.iou_threshold) for i in images)
            assert getattr(row, name) == sum(plain, Ledger())
    assert PAPER.cost(rows[2].own) == 1
    assert PAPER.cost(rows[2].merged) == 0


def seen(batch, saved, *, iou=0.5, images=9):
    """Evidence of a batch where ``saved`` are the additions spared, by limit."""
    rows = [
        NeighbourEdits(iou, limit, images, Ledger(added=50), Ledger(added=50 - saved.get(limit, 0)))
        for limit in LIMITS
    ]
    return Evidence(batch, 9, 50, (NOTHING,), (), tuple(rows))


def test_nothing_known_is_the_prior():
    found = choose([], (0.5,), PAPER)
    assert (found.limit, found.expected_saving, found.found) == (PRIOR, None, "prior")
    # So it is where nobody was near enough to be judged.
    assert choose([seen("b01", {}, images=0)], (0.5, 0.7), PAPER) == found


def test_what_saves_nothing_or_costs_elsewhere_is_not_used():
    assert choose([seen("b01", {})], (0.5,), PAPER).limit is None
    assert choose([seen("b01", {0.2: -1})], (0.5,), PAPER).limit is None
    good, bad = seen("b01", {0.2: 5, 0.1: 2}), seen("b01", {0.2: -1}, iou=0.7)
    both = Evidence("b01", 9, 50, (NOTHING,), (), (*good.neighbours, *bad.neighbours))
    assert choose([both], (0.5,), PAPER).limit == 0.2
    assert choose([both], (0.5, 0.7), PAPER).limit == 0.1


@given(
    st.lists(st.dictionaries(st.sampled_from(LIMITS), st.integers(-9, 9)), min_size=1, max_size=4)
)
def test_the_choice_by_plain_loops(saved):
    batches = [seen(f"b{k:02d}", row) for k, row in enumerate(saved, 1)]
    best = None
    for limit in LIMITS:
        gain = sum(DECAY**age * row.get(limit, 0) for age, row in enumerate(reversed(saved)))
        value = round(gain - STRENGTH * (limit - PRIOR) ** 2, 9)
        if gain > 0 and (best is None or value > best[0]):
            cost = sum(DECAY**age * 50 for age in range(len(saved)))
            best = value, limit, gain / cost
    found = choose(batches, (0.5,), PAPER)
    assert found.limit == (None if best is None else best[1])
    assert found.expected_saving == (None if best is None else pytest.approx(best[2]))
