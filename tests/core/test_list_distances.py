"""Distances to the list: against plain loops."""

import numpy as np
import pytest

from boxloop.core import list_distances as module
from boxloop.core.list_distances import list_distances

HOW = {"single": min, "complete": max, "average": lambda d: sum(d) / len(d)}


def loops(vectors, query_size, linkage):
    found = []
    for i, vector in enumerate(vectors.astype(np.float64)):
        if i < max(query_size, 1):
            found.append(np.nan)
        else:
            found.append(HOW[linkage]([float(np.linalg.norm(vector - v)) for v in vectors[:i]]))
    return np.array(found)


@pytest.mark.parametrize("linkage", HOW)
@pytest.mark.parametrize("query_size", [1, 3, 50])
def test_equal_to_loops(monkeypatch, linkage, query_size):
    monkeypatch.setattr(module, "_BLOCK", 7)
    vectors = np.random.default_rng(0).normal(100, 1, size=(30, 5)).astype(np.float32)
    vectors[20] = vectors[4]  # the same image twice
    found = list_distances(vectors, query_size, linkage)
    expected = loops(vectors, query_size, linkage)
    assert np.allclose(found, expected, rtol=1e-4, equal_nan=True)
    if linkage == "single" and query_size < 20:
        assert found[20] == 0


def test_an_unknown_linkage():
    with pytest.raises(ValueError, match="unknown linkage 'ward'"):
        list_distances(np.zeros((2, 2)), 1, "ward")
