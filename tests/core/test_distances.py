import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.spatial.distance import cdist

from boxloop.core._distances import CandidateTable, FeatureVectors


def shuffled(vectors, seed=0):
    """The images of ``vectors`` in another order, and all their distances."""
    rows = np.random.default_rng(seed).permutation(len(vectors))
    exact = cdist(vectors.astype(np.float64), vectors.astype(np.float64))
    return FeatureVectors(vectors, rows), exact[np.ix_(rows, rows)]


TABLES = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.one_of(
        st.floats(-1, 1, width=32),
        st.floats(-(2.0**-20), 2.0**-20, width=32),
        st.floats(-(2.0**126), 2.0**126, width=32),
        st.integers(-4, 4),
        st.just(float(np.float32(1000 / 3))),
    ),
)


@settings(deadline=None, max_examples=400)
@given(TABLES, st.sampled_from([np.float32, np.float64]), st.integers(0, 99))
@example(np.array([[1e-45], [3e-45]], dtype=np.float32), np.float32, 0)
@example(np.array([[3e38], [-3e38]], dtype=np.float32), np.float32, 0)
@example(np.array([[3e38, 3e-45], [-1e38, 1]], dtype=np.float32), np.float64, 0)
def test_no_distance_passes_its_limits(vectors, dtype, seed):
    """On images closed one by one, in any order."""
    features, exact = shuffled(vectors, seed)
    table = CandidateTable(features, dtype)
    assert exact.max() <= 2 * table.radius * (1 + 1e-5)
    order = random.Random(seed).sample(range(len(vectors)), len(vectors))
    for done, image in enumerate(order):
        images = table.candidates()
        assert sorted(images) == sorted(order[done:])
        some = np.unique(np.array(order[done : done + 3]))
        squares = (exact[np.ix_(some, images)] * table.scale) ** 2
        # What is lost where float32 has no smaller numbers, and in the square of SciPy's root.
        around = squares * 2**-51 + 2.0**-100
        assert np.all(table.squared_distances(some, -1) <= squares + around)
        assert np.all(table.squared_distances(some, 1) >= squares - around)
        if not table.relative:
            roots = np.sqrt(table.squared_distances(some, 0).astype(np.float64)) / table.scale
            assert np.array_equal(roots, exact[np.ix_(some, images)])
        table.remove(image)
    assert not len(table.candidates())


@pytest.mark.parametrize("d", [2048, 3])
@pytest.mark.parametrize(("dtype", "wide"), [(np.float32, 1e-3), (np.float64, 1e-11)])
def test_limits_are_narrow(dtype, wide, d):
    """Limits that are never passed but as wide as the set would leave everything to SciPy."""
    vectors = np.random.default_rng(0).normal(size=(300, d)).astype(np.float32) + 100
    table = CandidateTable(FeatureVectors(vectors, np.arange(300)), dtype)
    images = np.arange(5)
    lower, upper = (
        table.squared_distances(images, -1).copy(),
        table.squared_distances(images, 1).copy(),
    )
    assert np.all(lower <= upper)
    assert np.max(upper - lower) < wide * (2 * table.radius * table.scale) ** 2


@pytest.mark.parametrize(
    ("vectors", "dtype"),
    [
        (np.random.default_rng(0).integers(0, 256, size=(80, 500)), np.float64),
        (np.random.default_rng(0).integers(-9, 9, size=(80, 2048)) * 2.0**-30, np.float32),
        (np.eye(80) * 3, np.float32),
        (np.zeros((80, 4)), np.float32),
    ],
)
def test_integers_times_a_power_of_two_are_exact(vectors, dtype):
    features, exact = shuffled(vectors.astype(np.float32))
    table = CandidateTable(features, dtype)
    assert table.relative == 0
    products = table.squared_distances(np.arange(80), 1).astype(np.float64)
    assert np.array_equal(np.sqrt(products) / table.scale, exact)


def test_integers_too_large_are_not_taken_for_exact():
    """Their squares differ by less than float32 tells."""
    vectors = np.array([[0, 0], [4095, 1], [4094, 91]], dtype=np.float32)
    assert CandidateTable(FeatureVectors(vectors, np.arange(3)), np.float32).relative > 0
    assert CandidateTable(FeatureVectors(vectors, np.arange(3)), np.float64).relative == 0


def test_labels_are_equal_where_the_vectors_are():
    vectors = np.array([[0.0, 1], [2, 3], [-0.0, 1], [2, 3], [1, 0]], dtype=np.float32)
    labels = FeatureVectors(vectors, np.arange(5)).groups(np.arange(5))
    assert labels[0] == labels[2]
    assert labels[1] == labels[3]
    assert len(set(labels.tolist())) == 3


def test_equal_vectors_are_zero_around_their_centre():
    vectors = np.full((3000, 3), 0.1, dtype=np.float32)
    assert not CandidateTable(FeatureVectors(vectors, np.arange(3000)), np.float32).radius
