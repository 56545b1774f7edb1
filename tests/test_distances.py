import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.spatial.distance import cdist

import boxloop.distances
from boxloop.distances import OpenDistances
from boxloop.ordering import order
from boxloop.types import FeatureTable


def walk(distances, picks):
    """Closes ``picks`` in turn; yields (image, open images, the distances to them)."""
    for image in picks:
        column = int(np.flatnonzero(distances.images == image)[0])
        rank = np.random.default_rng(image).random
        column, row = distances.close(column, lambda rank=rank: rank(len(distances.images)))
        assert distances.images[column] == image
        is_open = np.ones(len(row), dtype=bool)
        is_open[distances.closed] = False
        yield image, distances.images[is_open], row[is_open]


TABLES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.floats(-1e6, 1e6, width=32).map(lambda x: x if abs(x) > 1e-6 else 0.0),
)


@settings(deadline=None, max_examples=150)
@given(TABLES, st.sampled_from([1, 200, 2**20]), st.booleans(), st.randoms(use_true_random=False))
def test_every_distance_is_within_the_bound(vectors, room, direct, random):
    n = len(vectors)
    rows = np.array(random.sample(range(n), n))
    picks = random.sample(range(n), n)
    exact = cdist(vectors.astype(float), vectors.astype(float))[np.ix_(rows, rows)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(boxloop.distances, "_CACHE_BYTES", room)
        distances = OpenDistances(vectors, rows, rooted=False)
        seen = set()
        for image, others, row in walk(distances, picks[: n // 2]):
            seen.add(image)
            assert sorted(others) == sorted(set(range(n)) - seen)
            if distances.bound:
                assert np.all(np.abs(row - exact[image, others] ** 2) <= distances.bound)
            else:
                assert np.array_equal(np.sqrt(row), exact[image, others])
        if direct:
            distances.be_direct()
            for image, others, row in walk(distances, picks[n // 2 :]):
                assert np.array_equal(row, exact[image, others])


@pytest.mark.parametrize("shape", [(300, 2048), (300, 3)])
def test_the_bound_tells_neighbours_apart(shape):
    """A bound that is never crossed but as wide as the set would compare everything again."""
    vectors = np.random.default_rng(0).normal(size=shape).astype(np.float32) + 100
    distances = OpenDistances(vectors, np.arange(300), rooted=False)
    assert 0 < distances.bound < 1e-11 * distances.radius**2


@pytest.mark.parametrize(
    "vectors",
    [
        np.random.default_rng(0).integers(0, 256, size=(80, 500)),
        np.random.default_rng(0).integers(-9, 9, size=(80, 2048)) * 2.0**-30,
        np.eye(80) * 3,
        np.zeros((80, 4)),
    ],
)
def test_integers_times_a_power_of_two_are_exact(vectors):
    vectors = vectors.astype(np.float32)
    distances = OpenDistances(vectors, np.arange(80), rooted=True)
    exact = cdist(vectors.astype(float), vectors.astype(float))
    assert distances.bound == 0
    for image, others, row in walk(distances, np.random.default_rng(1).permutation(80)):
        assert np.array_equal(row, exact[image, others])


def test_labels_are_equal_where_the_vectors_are():
    vectors = np.array([[0.0, 1], [2, 3], [-0.0, 1], [2, 3], [1, 0]], dtype=np.float32)
    labels = OpenDistances(vectors, np.arange(5), rooted=False).labels(np.arange(5))
    assert labels[0] == labels[2]
    assert labels[1] == labels[3]
    assert len(set(labels.tolist())) == 3


def test_nothing_is_computed_twice_where_there_is_room(monkeypatch):
    computed = []
    compute = OpenDistances._block_of_rows

    def spy(self, columns):
        computed.extend(self.images[columns].tolist())
        return compute(self, columns)

    monkeypatch.setattr(OpenDistances, "_block_of_rows", spy)
    vectors = np.random.default_rng(2).normal(size=(700, 8)).astype(np.float32)
    features = FeatureTable(tuple(f"{n:03d}" for n in range(700)), vectors)
    for strategy in ("similar", "dissimilar"):
        computed.clear()
        order(features, strategy)
        assert sorted(computed) == list(range(700))


def test_little_is_computed_ahead_where_it_is_given_up_again(monkeypatch):
    """With room for few rows and no foresight (a random order), blocks shrink to what is used."""
    n = 300
    monkeypatch.setattr(boxloop.distances, "_CACHE_BYTES", 8 * n * 20)
    vectors = np.random.default_rng(2).normal(size=(n, 8)).astype(np.float32)
    distances = OpenDistances(vectors, np.arange(n), rooted=False)
    computed = []
    compute = distances._block_of_rows
    monkeypatch.setattr(
        distances, "_block_of_rows", lambda columns: (computed.extend(columns), compute(columns))[1]
    )
    for _ in walk(distances, np.random.default_rng(3).permutation(n)):
        pass
    assert n < len(computed) < 3 * n


@pytest.mark.parametrize("strategy", ["similar", "dissimilar"])
def test_memory_does_not_grow_with_the_square(monkeypatch, strategy):
    n, d, room = 4000, 16, 8 * 4000 * 50
    monkeypatch.setattr(boxloop.distances, "_CACHE_BYTES", room)
    vectors = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    features = FeatureTable(tuple(f"{k:04d}" for k in range(n)), vectors)
    tracemalloc.start()
    try:
        order(features, strategy)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The table, the held rows, one block of at most as many, and some vectors of length N.
    assert peak < 8 * n * d + 2 * room + 8 * n * 50 < 8 * n * n / 16
