"""Principal components: against the whole decomposition, and where there is little to project."""

import numpy as np
import pytest

from boxloop.core.projection import principal_plane


def whole(vectors):
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    return left[:, :2] * sizes[:2]


@pytest.mark.parametrize("shape", [(40, 7), (7, 40), (400, 320)])
def test_it_is_the_plane_of_most_variance(shape):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=shape) * np.linspace(3, 0.5, shape[1]) + 5
    points, expected = principal_plane(vectors), whole(vectors)
    for axis in range(2):
        same = abs(np.corrcoef(points[:, axis], expected[:, axis])[0, 1])
        assert same > 0.9999
    assert np.allclose(points.std(axis=0), expected.std(axis=0), rtol=1e-3)
    assert np.array_equal(points, principal_plane(vectors))


@pytest.mark.parametrize("shape", [(1, 5), (2, 5), (5, 1), (3, 0)])
def test_little_to_project(shape):
    points = principal_plane(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))
    assert points.shape == (shape[0], 2)
    assert np.isfinite(points).all()


@pytest.mark.parametrize("shape", [(0, 5), (30, 20), (301, 1280), (1000, 301)])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.1])
def test_images_that_are_all_alike_lie_on_one_point(shape, value):
    assert np.array_equal(principal_plane(np.full(shape, value)), np.zeros((shape[0], 2)))
