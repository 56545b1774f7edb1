"""Compute the order in which all images are labeled from their features (paper, section 3.2).

``similar`` and ``dissimilar`` start from a few random images, the query list, and append one
image at a time: the one whose Euclidean distance to the list is smallest, or largest. The paper
does not say how the distance to a list is taken; ``linkage`` selects it by the names of
hierarchical clustering:

- ``single`` (default): the distance to the nearest image of the list. ``dissimilar`` is then the
  farthest-first traversal (Gonzalez 1985; the k-centre greedy of Sener and Savarese 2018), whose
  every prefix covers the set within twice the best possible radius. ``similar`` is Prim's order:
  each image resembles one that is already labeled.
- ``average``: the mean distance to the images of the list. It prefers the rim of the set and covers
  less, so it is not the default.
- ``complete``: the distance to the farthest image of the list.

The order equals that of plain loops over SciPy's float64 distances, ties included: the faster
computations of greedy_ordering.py have a bound on their error, and never decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from boxloop.core.greedy_ordering import greedy_order
from boxloop.core.types import FeatureTable, Ordering
from boxloop.params.registry import ORDERINGS

Progress = Callable[[int, int], None]

LINKAGES = ("single", "average", "complete")
"""How the distance to a list can be taken."""


@dataclass(frozen=True)
class Strategy:
    """One way to order images; the registry ``ORDERINGS`` names them.

    Attributes:
        order: the function: gets the features, and the keywords of :func:`order` except the
            strategy; returns all ids, each once.
        needs_features: whether the vectors matter to it.
        seeded: whether another seed gives another order.
    """

    order: Callable[..., Sequence[str]]
    needs_features: bool
    seeded: bool


def order(
    features: FeatureTable,
    strategy: str,
    *,
    seed: int = 0,
    query_size: int = 3,
    linkage: str = "single",
    progress: Progress | None = None,
) -> Ordering:
    """Order all images.

    Args:
        features: N vectors. Only ``temporal`` depends on the order of the rows.
        strategy: "similar", "dissimilar", "random", "temporal", or another name in ``ORDERINGS``.
        seed: of the query list, or of the random order.
        query_size: images of the query list; more than N is N.
        linkage: how the distance to the list is taken: "single", "average" or "complete".
        progress: called with (images ordered, N).

    Returns:
        An order that depends on the ids, the vectors and the seed alone. Equal distances go to
        the image whose id sorts first.

    Raises:
        ParamsError: there is no such strategy.
        ValueError: unknown linkage, or a query list without images.
    """
    found = find_strategy(strategy)
    require_linkage(linkage)
    if query_size < 1:
        raise ValueError(f"the query list needs at least one image: query_size is {query_size}")
    chosen = found.order(
        features, seed=seed, query_size=query_size, linkage=linkage, progress=progress
    )
    return Ordering(tuple(chosen), strategy, seed, query_size, linkage)


def require_linkage(name: str) -> None:
    """Refuse a linkage that there is not.

    Raises:
        ValueError: it is none of :data:`LINKAGES`.
    """
    if name not in LINKAGES:
        raise ValueError(f"unknown linkage {name!r:.100}: choose one of {', '.join(LINKAGES)}")


def find_strategy(name: str) -> Strategy:
    """Return the strategy of this name, or raise a ParamsError."""
    found: Strategy = ORDERINGS.get(name)
    return found


def _temporal(features: FeatureTable, **_: object) -> Sequence[str]:
    return features.image_ids


def _random(features: FeatureTable, *, seed: int, **_: object) -> Sequence[str]:
    ids: list[str] = np.sort(np.array(features.image_ids)).tolist()
    return [ids[i] for i in np.random.default_rng(seed).permutation(len(ids))]


def _greedy(
    features: FeatureTable,
    *,
    seed: int,
    query_size: int,
    linkage: str,
    progress: Progress | None,
    farthest: bool,
) -> Sequence[str]:
    ids = np.array(features.image_ids)
    # Sorted by id, the first of equal candidates is the one with the smallest id.
    rows = np.argsort(ids)
    query = np.random.default_rng(seed).choice(len(ids), min(query_size, len(ids)), False)
    picks = greedy_order(
        features.vectors,
        rows[query],
        linkage,
        farthest=farthest,
        tie_order=rows,
        progress=progress,
    )
    found: list[str] = ids[picks].tolist()
    return found


SIMILAR = Strategy(partial(_greedy, farthest=False), needs_features=True, seeded=True)
DISSIMILAR = Strategy(partial(_greedy, farthest=True), needs_features=True, seeded=True)
RANDOM = Strategy(_random, needs_features=False, seeded=True)
TEMPORAL = Strategy(_temporal, needs_features=False, seeded=False)
