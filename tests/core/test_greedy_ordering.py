import tracemalloc

import numpy as np
import pytest

import boxloop.core._distances
import boxloop.core.greedy_ordering
from boxloop.core._distances import CandidateTable, FeatureVectors
from boxloop.core.greedy_ordering import _FullRowSelection, _MinMaxSelection
from boxloop.core.ordering import order
from boxloop.core.types import FeatureTable


def features(n, d):
    vectors = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    return FeatureTable(tuple(f"{k:04d}" for k in range(n)), vectors)


@pytest.mark.parametrize("linkage", ["single", "average", "complete"])
@pytest.mark.parametrize("strategy", ["similar", "dissimilar"])
@pytest.mark.parametrize("held", [700 * 700, 700 * 699])
def test_each_row_is_computed_once_where_there_is_room(monkeypatch, strategy, linkage, held):
    computed = []
    squared_distances = CandidateTable.squared_distances

    def spy(self, images, margin):
        computed.extend(images.tolist())
        return squared_distances(self, images, margin)

    monkeypatch.setattr(CandidateTable, "squared_distances", spy)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_MAX_CACHED", held)
    order(features(700, 8), strategy, linkage=linkage)
    assert sorted(computed) == list(range(700))


def count_exact(monkeypatch):
    """The numbers of distances that SciPy is asked for, call by call."""
    compared = []
    exact = FeatureVectors.exact

    def spy(self, images, others):
        compared.append(len(images) * len(others))
        return exact(self, images, others)

    monkeypatch.setattr(FeatureVectors, "exact", spy)
    return compared


@pytest.mark.parametrize("nearest", [True, False])
def test_few_distances_are_left_to_scipy(monkeypatch, nearest):
    """In a random order the i-th member is the nearest (farthest) so far once in i times."""
    n = 1500
    compared = count_exact(monkeypatch)
    vectors = FeatureVectors(features(n, 64).vectors, np.arange(n))
    images = np.random.default_rng(1).permutation(n)
    selection = _MinMaxSelection(vectors, images[:1], nearest=nearest, farthest=True)
    for image in images:
        selection.add(int(image))
    expected = sum((n - i) / i for i in range(1, n))
    assert 0.6 * expected < sum(compared) < 1.3 * expected


def test_nothing_is_compared_with_what_has_an_equal_in_the_list(monkeypatch):
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    compared = count_exact(monkeypatch)
    vectors = FeatureVectors(np.full((60, 5), 0.1, dtype=np.float32), np.arange(60))
    selection = _MinMaxSelection(vectors, np.arange(3), nearest=True, farthest=True)
    for image in range(60):
        selection.add(image)
    assert sum(compared) == 59


@pytest.mark.parametrize("nearest", [True, False])
def test_what_limits_cannot_tell_is_compared_in_blocks(monkeypatch, nearest):
    """All pairs are equally far apart: no limit excludes any, and single rows would take long."""
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_FEW", 8)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_LAST_ROWS", 16)
    compared = count_exact(monkeypatch)
    vectors = FeatureVectors((np.eye(200) / 10).astype(np.float32), np.arange(200))
    selection = _MinMaxSelection(vectors, np.arange(3), nearest=nearest, farthest=True)
    for image in range(200):
        selection.add(image)
    assert len(compared) < 100


def test_what_is_held_is_limited(monkeypatch):
    """Most of what does not fit is computed again."""
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_MAX_CACHED", 500)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_LAST_ROWS", 0)
    vectors = FeatureVectors(features(400, 3).vectors, np.arange(400))
    selection = _MinMaxSelection(vectors, np.arange(3), nearest=True, farthest=False)
    for image in range(400):
        selection.add(image)
        assert sum(len(others) for others, _, _ in selection._cache.values()) <= 500


def test_little_is_computed_ahead_where_it_is_given_up_again(monkeypatch):
    """With room for few rows and no foresight (a random order), blocks shrink to what is used."""
    n = 300
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_MAX_CACHED", n * 20)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_LAST_ROWS", 0)
    images = np.random.default_rng(3).permutation(n)
    selection = _FullRowSelection(
        FeatureVectors(features(n, 8).vectors, np.arange(n)), "average", images[:1], farthest=True
    )
    computed = []
    squared_distances = CandidateTable.squared_distances

    def spy(self, images, margin):
        computed.extend(images.tolist())
        return squared_distances(self, images, margin)

    monkeypatch.setattr(CandidateTable, "squared_distances", spy)
    for image in images:
        selection.add(int(image))
    assert n < len(computed) < 3 * n


@pytest.mark.parametrize("linkage", ["single", "average", "complete"])
@pytest.mark.parametrize("strategy", ["similar", "dissimilar"])
def test_memory_does_not_grow_with_the_square(monkeypatch, strategy, linkage):
    n, d, block = 3000, 16, 2**20
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_MAX_CACHED", 40 * n)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core._distances, "_BLOCK_BYTES", block)
    table = features(n, d)
    tracemalloc.start()
    try:
        order(table, strategy, linkage=linkage)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The table, what is held (number and index), blocks and their copies, and vectors of length N.
    assert peak < 8 * n * d + 16 * 40 * n + 3 * block + 8 * n * 60 < 8 * n * n / 8
