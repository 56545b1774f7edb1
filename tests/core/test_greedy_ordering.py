import tracemalloc

import numpy as np
import pytest

import boxloop.core.distances
import boxloop.core.greedy_ordering
from boxloop.core.distances import OpenTable, Vectors
from boxloop.core.greedy_ordering import Extremes, WholeRows
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
    products = OpenTable.products

    def spy(self, images, margin):
        computed.extend(images.tolist())
        return products(self, images, margin)

    monkeypatch.setattr(OpenTable, "products", spy)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_HELD", held)
    order(features(700, 8), strategy, linkage=linkage)
    assert sorted(computed) == list(range(700))


def count_exact(monkeypatch):
    """The numbers of distances that SciPy is asked for, call by call."""
    compared = []
    exact = Vectors.exact

    def spy(self, images, others):
        compared.append(len(images) * len(others))
        return exact(self, images, others)

    monkeypatch.setattr(Vectors, "exact", spy)
    return compared


@pytest.mark.parametrize("nearest", [True, False])
def test_few_distances_are_left_to_scipy(monkeypatch, nearest):
    """In a random order the i-th member is the nearest (farthest) so far once in i times."""
    n = 1500
    compared = count_exact(monkeypatch)
    vectors = Vectors(features(n, 64).vectors, np.arange(n))
    images = np.random.default_rng(1).permutation(n)
    listed = Extremes(vectors, images[:1], nearest=nearest, farthest=True)
    for image in images:
        listed.add(int(image))
    expected = sum((n - i) / i for i in range(1, n))
    assert 0.6 * expected < sum(compared) < 1.3 * expected


def test_nothing_is_compared_with_what_has_an_equal_in_the_list(monkeypatch):
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    compared = count_exact(monkeypatch)
    vectors = Vectors(np.full((60, 5), 0.1, dtype=np.float32), np.arange(60))
    listed = Extremes(vectors, np.arange(3), nearest=True, farthest=True)
    for image in range(60):
        listed.add(image)
    assert sum(compared) == 59


@pytest.mark.parametrize("nearest", [True, False])
def test_what_limits_cannot_tell_is_compared_in_blocks(monkeypatch, nearest):
    """All pairs are equally far apart: no limit excludes any, and single rows would take long."""
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_FEW", 8)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_AT_ONCE", 16)
    compared = count_exact(monkeypatch)
    vectors = Vectors((np.eye(200) / 10).astype(np.float32), np.arange(200))
    listed = Extremes(vectors, np.arange(3), nearest=nearest, farthest=True)
    for image in range(200):
        listed.add(image)
    assert len(compared) < 100


def test_what_is_held_is_limited(monkeypatch):
    """Most of what does not fit is computed again."""
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_HELD", 500)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_AT_ONCE", 0)
    vectors = Vectors(features(400, 3).vectors, np.arange(400))
    listed = Extremes(vectors, np.arange(3), nearest=True, farthest=False)
    for image in range(400):
        listed.add(image)
        assert sum(len(others) for others, _, _ in listed._held.values()) <= 500


def test_little_is_computed_ahead_where_it_is_given_up_again(monkeypatch):
    """With room for few rows and no foresight (a random order), blocks shrink to what is used."""
    n = 300
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_HELD", n * 20)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_AT_ONCE", 0)
    images = np.random.default_rng(3).permutation(n)
    listed = WholeRows(
        Vectors(features(n, 8).vectors, np.arange(n)), "average", images[:1], farthest=True
    )
    computed = []
    products = OpenTable.products

    def spy(self, images, margin):
        computed.extend(images.tolist())
        return products(self, images, margin)

    monkeypatch.setattr(OpenTable, "products", spy)
    for image in images:
        listed.add(int(image))
    assert n < len(computed) < 3 * n


@pytest.mark.parametrize("linkage", ["single", "average", "complete"])
@pytest.mark.parametrize("strategy", ["similar", "dissimilar"])
def test_memory_does_not_grow_with_the_square(monkeypatch, strategy, linkage):
    n, d, block = 3000, 16, 2**20
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_HELD", 40 * n)
    monkeypatch.setattr(boxloop.core.greedy_ordering, "_SMALL", 0)
    monkeypatch.setattr(boxloop.core.distances, "_PRODUCT_BYTES", block)
    table = features(n, d)
    tracemalloc.start()
    try:
        order(table, strategy, linkage=linkage)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The table, what is held (number and index), blocks and their copies, and vectors of length N.
    assert peak < 8 * n * d + 16 * 40 * n + 3 * block + 8 * n * 60 < 8 * n * n / 8
