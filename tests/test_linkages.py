import tracemalloc

import numpy as np
import pytest

import boxloop.distances
import boxloop.linkages
from boxloop.distances import OpenTable, Vectors
from boxloop.linkages import Extremes, WholeRows
from boxloop.ordering import order
from boxloop.types import FeatureTable


def features(n, d):
    vectors = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)
    return FeatureTable(tuple(f"{k:04d}" for k in range(n)), vectors)


@pytest.mark.parametrize("linkage", ["single", "average", "complete"])
@pytest.mark.parametrize("strategy", ["similar", "dissimilar"])
def test_each_row_is_computed_once_where_there_is_room(monkeypatch, strategy, linkage):
    computed = []
    products = OpenTable.products

    def spy(self, images, margin):
        computed.extend(images.tolist())
        return products(self, images, margin)

    monkeypatch.setattr(OpenTable, "products", spy)
    monkeypatch.setattr(boxloop.linkages, "_SMALL", 0)
    order(features(700, 8), strategy, linkage=linkage)
    assert sorted(computed) == list(range(700))


@pytest.mark.parametrize("nearest", [True, False])
def test_few_distances_are_left_to_scipy(monkeypatch, nearest):
    """In a random order the i-th member is the nearest (farthest) so far once in i times."""
    n = 1500
    computed = []
    exact = Vectors.exact

    def spy(self, images, others):
        computed.append(len(images) * len(others))
        return exact(self, images, others)

    monkeypatch.setattr(Vectors, "exact", spy)
    vectors = Vectors(features(n, 64).vectors, np.arange(n))
    images = np.random.default_rng(1).permutation(n)
    listed = Extremes(vectors, images[:1], nearest=nearest, farthest=True)
    for image in images:
        listed.add(int(image))
    expected = sum((n - i) / i for i in range(1, n))
    assert 0.6 * expected < sum(computed) < 1.3 * expected


def test_little_is_computed_ahead_where_it_is_given_up_again(monkeypatch):
    """With room for few rows and no foresight (a random order), blocks shrink to what is used."""
    n = 300
    monkeypatch.setattr(boxloop.linkages, "_HELD", n * 20)
    monkeypatch.setattr(boxloop.linkages, "_SMALL", 0)
    monkeypatch.setattr(boxloop.linkages, "_AT_ONCE", 0)
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
    monkeypatch.setattr(boxloop.linkages, "_HELD", 40 * n)
    monkeypatch.setattr(boxloop.linkages, "_SMALL", 0)
    monkeypatch.setattr(boxloop.distances, "_PRODUCT_BYTES", block)
    table = features(n, d)
    tracemalloc.start()
    try:
        order(table, strategy, linkage=linkage)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The table, what is held (number and index), blocks and their copies, and vectors of length N.
    assert peak < 8 * n * d + 16 * 40 * n + 3 * block + 8 * n * 60 < 8 * n * n / 8
