"""What it costs not to wait, and whether planned batches pay: whole campaigns, replayed by seed.

    python benchmarks/replays.py run PARAMS ROWS.csv [--seeds 0 1 2 3 4] [--ways WAY ...]
                                 [--wait MINUTES] [--set section.key=value ...]
    python benchmarks/replays.py table ROWS.csv

``run`` simulates campaigns of any params.yaml or recipe in memory, and adds a row to ROWS.csv for
each as it is done; what is there already is not run again, so that a killed run goes on, and two
may share the file. The ways:

- ``strict``: the loop as it is, with the recipe's batches;
- ``half``: ``train.overlap: 0.5``, the detector of a turn has seen half of the batch before it, as
  with `boxloop run --overlap`;
- ``none``: ``train.overlap: 0``, it is one whole batch behind, and the second batch is drawn, too;
- ``planned``: strict, with the batches that `boxloop init --plan` proposes for MINUTES of waiting.

A seed sets ``order.seed`` and ``train.seed``: ways of one seed have the same order of images.
``table`` prints, for each campaign, the mean of WT saved over the seeds and the difference to
``strict`` on the same seeds with its 95 % interval (paired t), and the people's hours.

    python benchmarks/replays.py run params.yaml rows.csv
    python benchmarks/replays.py run recipes/bccd.yaml rows.csv --set dataset.path=BCCD
    python benchmarks/replays.py run recipes/fod-a.yaml rows.csv --set dataset.path=FOD-A
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import defaultdict
from pathlib import Path

from boxloop.campaign.first_plan import sizes_of
from boxloop.core.batch_plan import TURN_SECONDS, Prices, follow, plan
from boxloop.datasets import load
from boxloop.params import Params, chain, load_params
from boxloop.study import simulate
from boxloop.study.statistics import mean, paired

WAYS = {"strict": None, "half": 0.5, "none": 0.0, "planned": None}
"""``train.overlap`` by the name of a way."""

COLUMNS = [
    "campaign",
    "way",
    "seed",
    "iou",
    "batches",
    "objects",
    "added",
    "removed",
    "wt",
    "wt_reduction",
    "hours",
]
WAIT = 3.0
"""Minutes from handing in a batch to the next one's proposals, unless they are given."""


def run(given: argparse.Namespace) -> None:
    """Run what ROWS.csv does not hold yet."""
    params = load_params(given.params, given.sets)
    drawn = tempfile.TemporaryDirectory()  # of the demo's images
    dataset = load(params.dataset, Path(drawn.name))
    total, per_box = len(dataset.images), params.account.seconds_per_box
    objects = sum(map(len, (dataset.truth or {}).values())) / total
    prices = Prices(per_box * objects, 60 * given.wait + TURN_SECONDS)
    batches = {way: sizes_of(params, total) for way in given.ways}
    if "planned" in batches:
        batches["planned"] = plan(total, prices, follow())
    for way, sizes in batches.items():
        print(f"{way}: {', '.join(map(str, sizes))}", flush=True)
    for seed in given.seeds:
        for way, sizes in batches.items():
            name = params.track.campaign
            if (name, way, str(seed)) in {
                (r["campaign"], r["way"], r["seed"]) for r in rows_of(given.rows)
            }:
                continue
            done = simulate.run(dataset, with_way(params, way, sizes, seed))
            # Who does not wait for a training still hands in, and takes the next batch.
            turn = TURN_SECONDS if way in ("half", "none") else prices.turn
            rows = []
            for iou in params.account.iou_thresholds:
                totals = done.totals(iou)
                hours = (per_box * totals.wt + turn * (len(sizes) - 1)) / 3600
                counts = [len(sizes), totals.objects, totals.added, totals.removed, totals.wt]
                saved = round(100 * totals.wt_reduction, 4)
                rows.append([name, way, seed, iou, *counts, saved, round(hours, 4)])
                print(f"{name} {way} seed {seed} IoU {iou}: {saved:.1f} %", flush=True)
            add(given.rows, rows)


def with_way(params: Params, way: str, sizes: tuple[int, ...], seed: int) -> Params:
    """Return the parameters of one campaign."""
    sections = params.model_dump()
    sections["train"] |= {"overlap": WAYS[way], "seed": seed}
    sections["order"] |= {"seed": seed}
    sections["review"] |= {"annotator": "simulated"}
    sections |= {"batch": {"sizes": sizes}, "iterations": chain(len(sizes))}
    return Params.model_validate(sections)


def rows_of(path: Path) -> list[dict[str, str]]:
    """Read the rows that are there."""
    if not path.exists():
        return []
    with path.open() as file:
        return list(csv.DictReader(file))


def add(path: Path, rows: list[list[object]]) -> None:
    """Append the rows of one campaign in one piece."""
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if not file.tell():
            writer.writerow(COLUMNS)
        writer.writerows(rows)


def table(given: argparse.Namespace) -> None:
    """Print what the rows say."""
    found: dict[tuple[str, str, str, str], dict[int, float]] = defaultdict(dict)
    for row in rows_of(given.rows):
        for column in ("wt_reduction", "hours"):
            key = row["campaign"], row["iou"], row["way"], column
            found[key][int(row["seed"])] = float(row[column])
    measures = "WT saved, % | against strict, points | hours | against strict"
    print(f"| campaign | IoU | way | seeds | {measures} |")
    print("|---|--:|---|--:|--:|--:|--:|--:|")
    for campaign, iou, way, column in found:
        if column == "hours":
            continue
        cells = []
        for what in ("wt_reduction", "hours"):
            values, strict = found[campaign, iou, way, what], found[campaign, iou, "strict", what]
            middle = mean(list(values.values()))
            cells.append(f"{middle.mean:.1f}")
            less = None if way == "strict" else paired(values, strict)
            ends = (
                "" if less is None or less.low is None else f" [{less.low:+.1f}, {less.high:+.1f}]"
            )
            cells.append("" if less is None else f"{less.mean:+.1f}{ends}")
        print(f"| {campaign} | {iou} | {way} | {len(values)} | {' | '.join(cells)} |")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    simulated = commands.add_parser("run")
    simulated.add_argument("params", type=Path)
    simulated.add_argument("rows", type=Path)
    simulated.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    simulated.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS))
    simulated.add_argument("--wait", type=float, default=WAIT)
    simulated.add_argument("--set", dest="sets", action="append", default=[])
    simulated.set_defaults(do=run)
    printed = commands.add_parser("table")
    printed.add_argument("rows", type=Path)
    printed.set_defaults(do=table)
    given = parser.parse_args()
    given.do(given)


if __name__ == "__main__":
    main()
