"""Time the ordering and its peers, and run it where no N x N matrix fits in memory.

    pip install -e '.[bench]'                                  # scikit-learn and scikit-activeml
    python benchmarks/ordering.py                              # ratios, and growth with N
    python benchmarks/ordering.py --bounded 100000 --gib 8     # one run under a limit of memory
    python benchmarks/ordering.py --bounded 1000000 --first 4000 --dimensions 512 --gib 16

The peers, all from the same query list:

- sklearn + loop: scikit-learn's ``pairwise_distances`` (the whole matrix), then a greedy loop with
  one NumPy operation per step for the minimum and one for the best.
- CoreSet: scikit-activeml's k-centre greedy, asked for all images at once. It is ``dissimilar``
  with ``single`` linkage, but draws among ties at random and keeps an N x N table of utilities.
- plain loop: Python's ``math.dist`` and lists, each distance taken once.

`--first` stops after so many images and says what all of them would take if the work of a step
went with the number of images that are left. Rows of the images that are likely to follow are
computed ahead, so this is too much rather than too little.

A peer that is expected to take longer than ``--patience`` seconds is left out.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import resource
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from boxloop.core.ordering import order
from boxloop.core.types import FeatureTable

QUERY_SIZE = 3
COMBINE = {
    "single": (np.minimum, math.inf),
    "average": (np.add, 0.0),
    "complete": (np.maximum, 0.0),
}
Peer = Callable[[FeatureTable, Sequence[int]], list[int]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 500, 1000, 2000, 4000, 9963])
    parser.add_argument("--dimensions", type=int, default=2048)
    parser.add_argument("--strategies", nargs="+", default=["dissimilar", "similar"])
    parser.add_argument("--linkage", default="single", help="single, average or complete")
    parser.add_argument("--repeat", type=int, default=5, help="the best of so many runs counts")
    parser.add_argument("--patience", type=float, default=60, help="seconds for one run of a peer")
    parser.add_argument("--bounded", type=int, help="order so many images, without peers")
    parser.add_argument("--first", type=int, help="stop a bounded run after so many images")
    parser.add_argument("--gib", type=float, default=8, help="address space of a bounded run")
    arguments = parser.parse_args()
    if arguments.bounded:
        for strategy in arguments.strategies:
            bounded(arguments, strategy)
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start")
    for strategy in arguments.strategies:
        compare(arguments, strategy)
    print(f"\nload {os.getloadavg()[0]:.1f} at the end")


def features(n: int, d: int, seed: int = 0) -> FeatureTable:
    """Draw vectors like those of a rectified layer: 32 hidden factors and noise, clipped at 0."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((32, d), dtype=np.float32)
    vectors = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, 1000):
        part = vectors[start : start + 1000]
        rng.standard_normal(part.shape, dtype=np.float32, out=part)
        part *= 2
        part += rng.standard_normal((len(part), 32), dtype=np.float32) @ mixing
        np.maximum(part, 0, out=part)
    return FeatureTable(tuple(f"{k:07d}" for k in range(n)), vectors)


def compare(arguments: argparse.Namespace, strategy: str) -> None:
    farthest = strategy == "dissimilar"
    combine, start = COMBINE[arguments.linkage]
    peers: dict[str, Peer] = {
        "sklearn + loop": partial(sklearn_loop, farthest=farthest, combine=combine, start=start)
    }
    if arguments.linkage == "single":
        peers["plain loop"] = partial(plain_loop, farthest=farthest)
        if farthest:
            peers["CoreSet"] = core_set
    print(f"\n{strategy}, {arguments.linkage}, D = {arguments.dimensions}; seconds (times ours)\n")
    print(f"| N | boxloop | growth | {' | '.join(peers)} |")
    print("|--:" * (3 + len(peers)) + "|")
    runs: dict[str, Peer] = {"boxloop": partial(boxloop, strategy, arguments.linkage), **peers}
    last: dict[str, tuple[int, float]] = {}
    notes = []
    least = min(arguments.sizes)
    for name in list(runs):
        try:
            runs[name](features(20, 8), range(QUERY_SIZE))  # imports and threads
        except ImportError as missing:
            del runs[name]
            notes.append(f"{name}: no {missing.name}; pip install -e '.[bench]'")
            continue
        begun = time.perf_counter()
        runs[name](features(100, arguments.dimensions), range(QUERY_SIZE))
        last[name] = 100, time.perf_counter() - begun
    for n in arguments.sizes:
        table = features(n, arguments.dimensions)
        query = boxloop(strategy, arguments.linkage, table, [])[:QUERY_SIZE]
        seconds: dict[str, float] = {}
        orders: dict[str, list[int]] = {}
        for repeat in range(arguments.repeat):
            # In turn, so that other load on the machine affects all of them.
            for name, run in runs.items():
                before, then = last[name]
                # All are at least quadratic; a slower one is recognised at the next size.
                expected = seconds.get(name, then * (n / before) ** 2)
                most = arguments.patience / 10 if repeat else arguments.patience
                if expected > most and name != "boxloop":
                    continue
                start = time.perf_counter()
                orders[name] = run(table, query)
                taken = time.perf_counter() - start
                seconds[name] = min(taken, seconds.get(name, math.inf))
        ours = seconds["boxloop"]
        before, then = last["boxloop"]
        growth = (
            f"N^{math.log(ours / then) / math.log(n / before):.1f}" if n > before >= least else ""
        )
        cells = [
            f"{seconds[p]:.3g} ({seconds[p] / ours:.1f}x)" if p in seconds else "" for p in peers
        ]
        print(f"| {n:,} | {ours:.3g} | {growth} | {' | '.join(cells)} |", flush=True)
        last |= {name: (n, taken) for name, taken in seconds.items()}
        for name, result in orders.items():
            if result != orders["boxloop"]:
                at = next(k for k in range(n) if result[k] != orders["boxloop"][k])
                notes.append(f"N = {n}: the order of {name} is another from place {at} on")
    print("\n" + ("\n".join(notes) or "All gave the same orders."))


def boxloop(strategy: str, linkage: str, table: FeatureTable, query: Sequence[int]) -> list[int]:
    """Return boxloop's order as row numbers; it draws the query list itself."""
    result = order(table, strategy, query_size=QUERY_SIZE, linkage=linkage)
    return [int(image_id) for image_id in result.image_ids]


def sklearn_loop(
    table: FeatureTable, query: Sequence[int], *, farthest: bool, combine: np.ufunc, start: float
) -> list[int]:
    from sklearn.metrics import pairwise_distances

    matrix = pairwise_distances(table.vectors)
    taken = -np.inf if farthest else np.inf
    to_list = np.full(len(matrix), start)
    closed = np.zeros(len(matrix), dtype=bool)
    picks: list[int] = []
    while len(picks) < len(matrix):
        if len(picks) < len(query):
            pick = query[len(picks)]
        else:
            candidates = np.where(closed, taken, to_list)
            pick = int(candidates.argmax() if farthest else candidates.argmin())
        picks.append(pick)
        closed[pick] = True
        combine(to_list, matrix[pick], out=to_list)
    return picks


def core_set(table: FeatureTable, query: Sequence[int]) -> list[int]:
    from skactiveml.pool import CoreSet

    labels = np.full(len(table.vectors), np.nan)
    labels[list(query)] = 0
    left = len(labels) - len(query)
    picks = CoreSet(random_state=0).query(X=table.vectors, y=labels, batch_size=left)
    return [*query, *picks.tolist()]


def plain_loop(table: FeatureTable, query: Sequence[int], *, farthest: bool) -> list[int]:
    points = table.vectors.astype(float).tolist()
    to_list = dict.fromkeys(range(len(points)), math.inf)
    picks: list[int] = []
    while to_list:
        if len(picks) < len(query):
            pick = query[len(picks)]
        else:
            pick = (max if farthest else min)(to_list, key=to_list.__getitem__)
        picks.append(pick)
        del to_list[pick]
        for other, distance in to_list.items():
            to_list[other] = min(distance, math.dist(points[pick], points[other]))
    return picks


def bounded(arguments: argparse.Namespace, strategy: str) -> None:
    """Run once under a limit of memory; beyond it the kernel causes a MemoryError."""
    limit = int(arguments.gib * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    n = arguments.bounded
    first = min(n, arguments.first or n)
    table = features(n, arguments.dimensions)
    start, cpu = time.perf_counter(), time.process_time()

    def report(done: int, total: int) -> None:
        if done % max(1, first // 10) == 0:
            print(f"{done:,} of {total:,} after {time.perf_counter() - start:.0f} s", flush=True)
        if done == first < total:
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        order(table, strategy, query_size=QUERY_SIZE, linkage=arguments.linkage, progress=report)
    taken, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{strategy}, {arguments.linkage}, {n:,} x {arguments.dimensions:,}:"
        f" {taken:.0f} s, {cpu:.0f} CPU s, {peak:.2f} GiB at most,"
        f" address space limited to {arguments.gib:g} GiB;"
        f" the N x N matrix alone is {8 * n * n / 2**30:.1f} GiB"
    )
    if first < n:
        share = first * (2 * n - first) / n**2
        print(
            f"  the first {first:,} are {share:.2%} of the distances:"
            f" all would take {cpu / share:,.0f} CPU s at most"
        )


class _EnoughError(Exception):
    """As many images are ordered as were asked for."""


if __name__ == "__main__":
    main()
