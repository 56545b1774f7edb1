"""Does the cost model behind planned batches foretell campaigns that were run?

    python benchmarks/batch_plan.py

Trains nothing: foretells what each campaign of ``tests/core/campaigns.csv`` saved with its own
sizes, from nothing but these sizes, and once more by its first two batches. What is usual is read
off the other sets alone. Then it plans each set's batches, and tells what the model expects of them
and of the recipe's. Campaigns by both kinds of sizes: ``benchmarks/replays.py``.
"""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from boxloop.core.batch_plan import FIRST, START, TURN_SECONDS, Prices, expect, follow, gain, plan
from boxloop.core.forecast import Trend

CAMPAIGNS = Path(__file__).parents[1] / "tests" / "core" / "campaigns.csv"
SECONDS_PER_BOX, WAIT = 35.0, 180.0
RECIPES = {
    "demo": (30, 40, 60, 80, 90),
    "bccd": (30, 40, 50, 60, 60, 60, 64),
    "neu-det": (100, 200, 300, 300, 400, 500),
    "fod-a": (282,) * 8,
}
"""Sizes that were picked by hand; FOD-A stands for an eighth of it, as it was replayed."""

Rows = list[tuple[int, int, float]]
"""Images, objects and WT (in units of T) of each batch."""


def read() -> dict[tuple[str, float], Rows]:
    """Return the batches by campaign and IoU threshold."""
    found: dict[tuple[str, float], Rows] = defaultdict(list)
    with CAMPAIGNS.open() as file:
        for row in csv.DictReader(file):
            cost = int(row["added"]) + int(row["removed"]) / 2
            key = row["campaign"], float(row["iou"])
            found[key].append((int(row["images"]), int(row["objects"]), cost))
    return dict(found)


def set_of(campaign: str) -> str:
    """Return which images a campaign was of."""
    return next(name for name in RECIPES if campaign.startswith(name))


def line_of(rows: Rows) -> tuple[float, float]:
    """Fit the logarithm of costs per object by a line; return it at FIRST images, and its slope."""
    n = np.cumsum([images for images, _, _ in rows])[:-1]
    costs = [math.log((cost + 0.5) / objects) for _, objects, cost in rows[1:]]
    slope, level = np.polyfit(np.log(n / FIRST), costs, 1)
    return float(level), float(-slope)


def usual(campaigns: dict[tuple[str, float], Rows], without: str | None) -> tuple[float, float]:
    """Return level and slope, each set counting alike."""
    lines: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for (name, _), rows in campaigns.items():
        lines[set_of(name)].append(line_of(rows))
    means = [np.mean(found, axis=0) for name, found in lines.items() if name != without]
    level, slope = np.mean(means, axis=0)
    return float(level), float(slope)


def start(campaigns: dict[tuple[str, float], Rows], without: str) -> Trend:
    """Return what would be usual if a set had never been seen; the spreads are the model's."""
    level, slope = usual(campaigns, without)
    known = replace(START, level=(level, START.level[1]), slope=(slope, START.slope[1]))
    return Trend(known, (), FIRST)


def main() -> None:
    """Print what is foretold of campaigns that were run to their end."""
    campaigns = read()
    print(f"all sets: level {usual(campaigns, None)[0]:.2f}, slope {usual(campaigns, None)[1]:.2f}")
    print(
        "\nset, IoU     campaigns  saved     from nothing: error, inside   by two batches: the same"
    )
    errors: dict[tuple[str, float], list[tuple[float, ...]]] = defaultdict(list)
    for (name, iou), rows in campaigns.items():
        sizes = tuple(images for images, _, _ in rows)
        objects = [count for _, count, _ in rows]
        real = 1 - sum(cost for _, _, cost in rows) / sum(objects)
        told = expect(sizes, Prices(1.0, 0.0), start(campaigns, set_of(name))).saved
        # By the first batch, which is drawn, and by the second, whose costs are known.
        seen = (sizes[0], math.log((rows[1][2] + 0.5) / objects[1]), 1 / (rows[1][2] + 0.5))
        late = expect(sizes[2:], Prices(1.0, 0.0), follow([seen]), sum(sizes[:2])).saved
        rest = 1 - sum(cost for _, _, cost in rows[2:]) / sum(objects[2:])
        errors[set_of(name), iou].append(
            (
                real,
                told.median - real,
                told.low <= real <= told.high,
                late.median - rest,
                late.low <= rest <= late.high,
            )
        )
    for (which, iou), found in sorted(errors.items()):
        real, early, held, later, kept = np.mean(found, axis=0)
        print(
            f"{which:8} {iou}  {len(found):8}  {100 * real:5.1f} %  {100 * early:+11.1f} points,"
            f" {100 * held:3.0f} %       {100 * later:+11.1f} points, {100 * kept:3.0f} %"
        )
    for column, what in ((1, "from nothing"), (3, "by two batches")):
        absolute = [abs(row[column]) for found in errors.values() for row in found]
        inside = [row[column + 1] for found in errors.values() for row in found]
        print(
            f"{what}: mean absolute error {100 * np.mean(absolute):.1f} points,"
            f" {100 * np.mean(inside):.0f} % of {len(inside)} inside the range"
        )
    means = {key: float(np.mean([row[0] for row in found])) for key, found in errors.items()}
    misses = [
        abs(row[0] - np.mean([saved for key, saved in means.items() if key[0] != which]))
        for (which, _), found in errors.items()
        for row in found
    ]
    print(f"by the mean of the other sets: mean absolute error {100 * np.mean(misses):.1f} points")
    print("\nset      plan, and what the model expects of it against the recipe's sizes")
    for which, sizes in RECIPES.items():
        batches = [
            r for (name, _), rows in campaigns.items() if set_of(name) == which for r in rows
        ]
        per_image = sum(count for _, count, _ in batches) / sum(images for images, _, _ in batches)
        prices = Prices(SECONDS_PER_BOX * per_image, WAIT + TURN_SECONDS)
        trend = start(campaigns, which)
        planned = plan(sum(sizes), prices, trend)
        less = gain(sizes, planned, prices, trend)
        hours = [expect(s, prices, trend).seconds.median / 3600 for s in (sizes, planned)]
        print(f"{which:8} {', '.join(map(str, planned))}")
        print(
            f"         {hours[1]:.1f} h, the recipe's sizes {hours[0]:.1f} h; less by"
            f" {less.median / 3600:.2f} h ({less.low / 3600:.2f} to {less.high / 3600:.2f})"
        )


if __name__ == "__main__":
    main()
