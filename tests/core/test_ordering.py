import math
import random
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

import boxloop.core._distances
import boxloop.core.greedy_ordering
from boxloop.core._distances import FeatureVectors
from boxloop.core.greedy_ordering import _FullRowSelection
from boxloop.core.ordering import LINKAGES, Strategy, order
from boxloop.core.types import FeatureTable, Ordering
from boxloop.errors import ParamsError
from boxloop.params import Params, check
from boxloop.params.registry import ORDERINGS
from boxloop.params.sections import Linkage


def table(vectors, ids=None):
    vectors = np.asarray(vectors, dtype=np.float32)
    return FeatureTable(tuple(ids or [f"i{n:03d}" for n in range(len(vectors))]), vectors)


@pytest.fixture(params=["few", "many", "too many"])
def all_ways(request, monkeypatch):
    """As with few images, with many, and with more than a matrix in memory could hold."""
    if request.param != "few":
        monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
        monkeypatch.setattr(boxloop.core.greedy_ordering, "_LAST_ROWS", 5)
    if request.param == "too many":
        monkeypatch.setattr(boxloop.core.greedy_ordering, "_MAX_CACHED", 120)


def scipy_distance(a, b):
    return float(cdist([a], [b])[0, 0])


def plain_sum(values):
    """From left to right; the built-in sum compensates for roundings from Python 3.12 on."""
    total = 0.0
    for value in values:
        total += value
    return total


def plain_order(features, query, farthest, linkage, dist=math.dist, total=math.fsum):
    """Section 3.2 in plain loops, from the same query list."""
    points = dict(zip(features.image_ids, features.vectors.astype(float).tolist(), strict=True))
    listed = list(query)
    while len(listed) < len(points):
        best = None
        for name in sorted(set(points) - set(listed)):
            to_members = [dist(points[name], points[member]) for member in listed]
            distance = {"single": min, "complete": max, "average": total}[linkage](to_members)
            better = best is None or (distance > best[0] if farthest else distance < best[0])
            if better:
                best = (distance, name)
        listed.append(best[1])
    return listed


@st.composite
def small_tables(draw):
    """Points on a coarse grid: ties and duplicates are the rule."""
    n, d = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    row = st.lists(st.integers(0, 3), min_size=d, max_size=d)
    return table(draw(st.lists(row, min_size=n, max_size=n)))


@settings(deadline=None)
@given(
    small_tables(),
    st.sampled_from(["similar", "dissimilar"]),
    st.sampled_from(["single", "complete"]),
    st.integers(1, 4),
    st.integers(0, 99),
)
def test_agrees_with_plain_loops_on_ties_and_duplicates(features, strategy, linkage, size, seed):
    result = order(features, strategy, seed=seed, query_size=size, linkage=linkage).image_ids
    query = result[: min(size, len(result))]
    assert list(result) == plain_order(features, query, strategy == "dissimilar", linkage)


@pytest.mark.usefixtures("all_ways")
@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("strategy", ["similar", "dissimilar"])
@pytest.mark.parametrize("shape", [(40, 1), (40, 7), (25, 300)])
def test_agrees_with_plain_loops_on_random_data(shape, strategy, linkage):
    features = table(np.random.default_rng(5).normal(size=shape))
    result = order(features, strategy, seed=3, query_size=4, linkage=linkage).image_ids
    assert list(result) == plain_order(features, result[:4], strategy == "dissimilar", linkage)


@st.composite
def doubtful_tables(draw):
    """Ties that no product can settle: tenths, repeated and reversed, small, large, far off."""
    d = draw(st.integers(1, 9))
    row = st.lists(st.integers(-3, 3), min_size=d, max_size=d)
    distinct = draw(st.lists(row, min_size=1, max_size=6))
    distinct += [row[::-1] for row in distinct]
    n = draw(st.integers(1, 14))
    vectors = np.array(draw(st.lists(st.sampled_from(distinct), min_size=n, max_size=n))) / 10
    vectors *= draw(st.sampled_from([1, 1e-4, 1e6]))
    places = draw(st.sampled_from([[0], [7], [-1000, 1000]]))
    vectors[:, 0] += draw(st.lists(st.sampled_from(places), min_size=n, max_size=n))
    return table(vectors)


@st.composite
def limits_of_memory(draw):
    """Blocks and rooms as small as they can get, which real tables have only when they are huge."""
    return {
        "boxloop.core.greedy_ordering._MAX_CACHED": draw(st.sampled_from([1, 30, 2**27])),
        "boxloop.core.greedy_ordering._MAX_BLOCK": draw(st.sampled_from([1, 3, 1024])),
        "boxloop.core.greedy_ordering._SMALL": draw(st.sampled_from([0, 2048])),
        "boxloop.core.greedy_ordering._LAST_ROWS": draw(st.sampled_from([0, 6])),
        "boxloop.core.greedy_ordering._LOOKAHEAD": draw(st.sampled_from([2, 8])),
        "boxloop.core.greedy_ordering._FEW": draw(st.sampled_from([0, 4, 32])),
        "boxloop.core._distances._BLOCK_BYTES": draw(st.sampled_from([1, 200, 2**28])),
        "boxloop.core._distances._ROWS": draw(st.sampled_from([1, 3, 2048])),
        "boxloop.core._distances._CPU_CACHED": draw(st.sampled_from([1, 64])),
    }


@settings(deadline=None, max_examples=300)
@given(
    doubtful_tables(),
    st.sampled_from(["similar", "dissimilar"]),
    st.sampled_from(LINKAGES),
    st.integers(1, 4),
    limits_of_memory(),
)
def test_agrees_with_plain_loops_whatever_fits(features, strategy, linkage, size, limits):
    """SciPy's distance and plain sums in the order of the list, so that roundings are the same."""
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in limits.items():
            patch.setattr(name, limit)
        result = order(features, strategy, query_size=size, linkage=linkage).image_ids
    query, farthest = result[: min(size, len(result))], strategy == "dissimilar"
    assert list(result) == plain_order(features, query, farthest, linkage, scipy_distance, sum)


@pytest.mark.usefixtures("all_ways")
@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("strategy", ["similar", "dissimilar"])
def test_two_tight_clusters_far_apart(strategy, linkage):
    """Within a cluster the products keep one digit of a squared distance, or none."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        vectors = rng.integers(-3, 4, size=(12, 9)) * 3e-6
        vectors[:, 0] += rng.choice([-1000, 1000], 12)
        features = table(vectors)
        result = order(features, strategy, linkage=linkage, query_size=1).image_ids
        farthest = strategy == "dissimilar"
        assert list(result) == plain_order(
            features, result[:1], farthest, linkage, scipy_distance, sum
        )


@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("strategy", ["similar", "dissimilar"])
@pytest.mark.parametrize("held", [1, 200 * 20])
def test_what_is_held_does_not_matter(monkeypatch, linkage, strategy, held):
    features = table(np.random.default_rng(0).normal(size=(200, 5)))
    whole = order(features, strategy, linkage=linkage)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_MAX_CACHED", held)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_LAST_ROWS", 20)
    assert order(features, strategy, linkage=linkage) == whole


@pytest.mark.usefixtures("all_ways")
@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("strategy", ["similar", "dissimilar"])
def test_where_all_is_tied_the_lowest_id_comes_first(strategy, linkage):
    """All pairs are equally far apart, in numbers that no product gets exactly."""
    features = table(np.eye(80) / 10)
    result = order(features, strategy, linkage=linkage, query_size=2).image_ids
    assert list(result[2:]) == sorted(result[2:])


def test_where_all_is_tied_sums_are_not_checked_one_by_one(monkeypatch):
    """Of N^2/2 distances none is computed much more than twice, though every step is a tie."""
    computed = []
    exact = FeatureVectors.exact

    def spy(self, images, others):
        computed.append(len(images) * len(others))
        return exact(self, images, others)

    monkeypatch.setattr(FeatureVectors, "exact", spy)
    for linkage in LINKAGES:
        computed.clear()
        order(table(np.eye(80) / 10), "dissimilar", linkage=linkage)
        assert 80 < sum(computed) < 2.5 * 80 * 80


def test_most_steps_need_no_check(monkeypatch):
    """On data without ties the sums decide by themselves."""
    settled = []
    settle = _FullRowSelection._settle
    monkeypatch.setattr(
        _FullRowSelection, "_settle", lambda s, i: (settled.append(i), settle(s, i))[1]
    )
    features = table(np.random.default_rng(0).normal(size=(300, 40)) + 50)
    order(features, "dissimilar", linkage="average")
    assert len(settled) <= 1  # the last two


@pytest.mark.usefixtures("all_ways")
@pytest.mark.parametrize("linkage", LINKAGES)
@pytest.mark.parametrize("strategy", ["similar", "dissimilar"])
def test_equal_vectors_go_by_id(strategy, linkage):
    """0.1 in float32 is not exact in any centred table; minus zero is zero."""
    vectors = np.full((30, 6), 0.1, dtype=np.float32)
    vectors[:, 0] = np.where(np.arange(30) % 2, 0.0, -0.0)
    result = order(table(vectors), strategy, linkage=linkage, query_size=3).image_ids
    assert list(result[3:]) == sorted(result[3:])


@pytest.mark.usefixtures("all_ways")
def test_duplicates_follow_at_once_when_similar_and_last_when_dissimilar():
    distinct = np.random.default_rng(4).normal(size=(20, 6))
    features = table(np.concatenate([distinct, distinct]))
    near = [int(name[1:]) % 20 for name in order(features, "similar", query_size=1).image_ids]
    assert all(a == b for a, b in zip(near[::2], near[1::2], strict=True))
    far = order(features, "dissimilar", query_size=1).image_ids
    assert {int(name[1:]) % 20 for name in far[:20]} == set(range(20))
    assert list(far[20:]) == sorted(far[20:])


@pytest.mark.parametrize("strategy", ["similar", "dissimilar", "random", "temporal"])
def test_every_image_once(strategy):
    features = table(np.random.default_rng(1).normal(size=(30, 4)))
    result = order(features, strategy, seed=1).image_ids
    assert sorted(result) == sorted(features.image_ids)


@pytest.mark.parametrize("strategy", ["similar", "dissimilar", "random"])
def test_the_row_order_does_not_matter(strategy):
    features = table(np.random.default_rng(1).normal(size=(30, 4)))
    rows = list(range(30))
    random.Random(0).shuffle(rows)
    shuffled = table(features.vectors[rows], [features.image_ids[i] for i in rows])
    assert order(shuffled, strategy, seed=7) == order(features, strategy, seed=7)


def test_temporal_keeps_the_row_order():
    features = table(np.zeros((3, 1)), ["z", "a", "m"])
    assert order(features, "temporal").image_ids == ("z", "a", "m")


def test_the_seed_decides():
    features = table(np.random.default_rng(1).normal(size=(30, 4)))
    for strategy in ("similar", "dissimilar", "random"):
        orders = {order(features, strategy, seed=seed).image_ids for seed in range(5)}
        assert len(orders) > 1
        assert order(features, strategy, seed=2) == order(features, strategy, seed=2)


def test_on_a_line():
    features = table([[0], [1], [2], [10]])
    query = order(features, "similar", seed=0, query_size=1).image_ids[0]
    start = features.image_ids.index(query)
    nearest = {0: "i000 i001 i002 i003", 1: "i001 i000 i002 i003", 2: "i002 i001 i000 i003"}
    farthest = {0: "i000 i003 i002 i001", 1: "i001 i003 i000 i002", 2: "i002 i003 i000 i001"}
    nearest[3], farthest[3] = "i003 i002 i001 i000", "i003 i000 i002 i001"
    assert " ".join(order(features, "similar", query_size=1).image_ids) == nearest[start]
    assert " ".join(order(features, "dissimilar", query_size=1).image_ids) == farthest[start]


def test_farthest_first_covers_every_cluster_first():
    """Four far clusters: the first four images of `dissimilar` hold one of each."""
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [100, 0], [0, 100], [100, 100]])
    features = table(np.repeat(centres, 10, axis=0) + rng.normal(size=(40, 2)))
    result = order(features, "dissimilar", query_size=1).image_ids
    assert {int(name[1:]) // 10 for name in result[:4]} == {0, 1, 2, 3}


def test_progress_reaches_the_end():
    seen = []
    order(table(np.eye(4)), "similar", progress=lambda done, n: seen.append((done, n)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_an_ordering_from_outside():
    """Registered under a name, it is called with all arguments and checked like the others."""
    calls = []

    def by_name_backwards(features, **arguments):
        calls.append(arguments)
        return sorted(features.image_ids, reverse=True)

    ORDERINGS.register("mine", Strategy(by_name_backwards, needs_features=False, seeded=False))
    try:
        params = check(Params, {"order": {"strategy": "mine", "seed": 5}}, "params.yaml").order
        result = order(table(np.eye(3)), params.strategy, seed=params.seed, query_size=2)
    finally:
        ORDERINGS.unregister("mine")
    assert result == Ordering(("i002", "i001", "i000"), "mine", 5, 2, "single")
    assert calls == [{"seed": 5, "query_size": 2, "linkage": "single", "progress": None}]
    with pytest.raises(ParamsError, match=r"order\.strategy: there is no 'mine'"):
        check(Params, {"order": {"strategy": "mine"}}, "params.yaml")


def test_params_take_these_linkages():
    assert get_args(Linkage) == LINKAGES == ("single", "average", "complete")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": "best"}, "there is no 'best'"),
        ({"strategy": "similar", "linkage": "ward"}, "unknown linkage"),
        ({"strategy": "random", "linkage": "ward"}, "choose one of single, average, complete"),
        ({"strategy": "similar", "query_size": 0}, "at least one image"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises((ValueError, ParamsError), match=message):
        order(table(np.eye(3)), **arguments)


def test_the_query_list_has_the_size_asked_for():
    """On a line, what follows the list of size k is the farthest from all of its k images."""
    features = table([[2.0**n] for n in range(12)])
    for size in (2, 5):
        result = order(features, "dissimilar", seed=1, query_size=size).image_ids
        query = list(result[:size])
        assert list(result) == plain_order(features, query, True, "single")
        picks = np.random.default_rng(1).choice(12, size, False)
        assert query == [features.image_ids[pick] for pick in picks]
