"""How near a fitted score threshold comes to the best one, on campaigns that are finished.

    python benchmarks/threshold_fit.py FOLDER [FOLDER ...]

Each folder is a campaign (or a cell of a study) with ``data/corrections/*.json``, simulated, so
that any threshold could have been shown. Nothing is trained: the stored proposals are compared with
the final boxes. Percent of WT saved over all batches, the first one drawn, at IoU 0.5 and 0.7: with
fixed thresholds; as fitted, batch by batch, to the batches before, once without asking how much of
the second batch is like what was held out of the first, where a campaign asks; with the best single
threshold in hindsight; and with the best one of each batch. What was held out of the first training
is used where ``data/training`` has it. A batch that was shown with the classes of labeled crops is
fitted to what those would have cost on the batches before. ``core/threshold.py`` has the constants
that may be tuned with this.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts
from boxloop.campaign.thresholds import is_spread
from boxloop.core.crop_classes import by_crops, crop_boxes, own_boxes
from boxloop.core.evidence import Evidence, sweep
from boxloop.core.likeness import likeness
from boxloop.core.threshold import fit
from boxloop.core.types import BoxesByImage, Corrections, FittedThreshold, Floats, Proposals
from boxloop.core.workload import PAPER
from boxloop.params import EMPTY, load_params

IOUS = (0.5, 0.7)
FIXED = (0.3, 0.5)


Held = tuple[Evidence, Proposals]
"""What was held out of a first training: how it was judged, and its proposals."""


def by_both(offered: Proposals, final: BoxesByImage) -> Evidence:
    """Judge proposals by the detector's own classes and, where there are any, by those of crops."""
    judged = sweep(offered.batch, own_boxes(offered), final, IOUS, offered.score_floor)
    crops = crop_boxes(offered)
    if crops is None:
        return judged
    other = sweep(offered.batch, crops, final, IOUS, offered.score_floor)
    return replace(judged, crops=other.edits)


def judged_later(folder: Path) -> dict[str, Evidence]:
    """Return by batch the evidence that a campaign stored, with what crops were looked at for."""
    paths = sorted((folder / "data" / "evidence").glob("*.json"))
    return {item.batch: item for path in paths for item in artifacts.read_evidence(path)}


def read(folder: Path) -> tuple[list[Corrections], list[Held]]:
    """Read the batches of a campaign, and what was held out of its first training.

    The proposals of the batches are those of ``data/proposals``, with both kinds of classes.
    """
    paths = sorted((folder / "data" / "corrections").glob("*.json"))
    batches = []
    for path in paths:
        made = artifacts.read_corrections(path)
        offered = folder / "data" / "proposals" / path.name
        if offered.exists():
            made = replace(made, proposals=artifacts.read_proposals(offered))
        batches.append(made)
    if len(batches) < 2:
        raise SystemExit(f"{folder}/data/corrections has no batch after the first")
    labels = batches[0].boxes
    held = []
    for path in sorted((folder / "data" / "training").glob("*.json")):
        found = artifacts.read_training(path).held_out
        if found is not None and set(found.boxes) <= set(labels):
            final = {image_id: labels[image_id] for image_id in found.boxes}
            held.append((by_both(found, final), found))
    return batches, held


def cost_at(found: FittedThreshold, item: Evidence, cost: Floats) -> float:
    """Return what a batch costs at the judged score that is nearest to a threshold."""
    return float(cost[int(np.argmin(np.abs(np.array(item.scores) - found.score)))])


def row(
    batches: Sequence[Corrections],
    held: Sequence[Held],
    stored: Mapping[str, Evidence],
    iou: float,
    *,
    spread: bool,
) -> list[float]:
    """Return percent saved: fixed, fitted in two ways, best in hindsight, best of each batch."""
    first = sum(map(len, batches[0].boxes.values()))
    judged = [
        sweep(b.batch, b.proposals.boxes, b.boxes, IOUS, b.proposals.score_floor)
        for b in batches[1:]
    ]
    objects = first + sum(item.objects for item in judged)
    costs = [item.costs(iou, PAPER) for item in judged]
    known: list[Evidence] = []
    uncompared, fitted, chosen = 0.0, 0.0, []
    for batch, item, cost in zip(batches[1:], judged, costs, strict=True):
        # What was held out counts, as in a campaign, only while no batch was judged.
        evidence, floor = known or [evidence for evidence, _ in held], batch.proposals.score_floor
        crops = batch.proposals.crops is not None and batch.proposals.crops.used
        evidence = by_crops(evidence) if crops else evidence
        like = None
        if held and not known and not spread:
            boxes = (crop_boxes if crops else own_boxes)(held[0][1]) or {}
            like = likeness(held[0][0], boxes, batch.proposals.boxes)
        part = None if known or not held else held[0][0].batch
        found = fit(evidence, iou, floor=floor, like=like, held_out=part)
        uncompared += cost_at(fit(evidence, iou, floor=floor, held_out=part), item, cost)
        fitted += cost_at(found, item, cost)
        chosen.append(found.score)
        if batch.proposals.detector != EMPTY:
            both = by_both(batch.proposals, batch.boxes)
            later = stored.get(batch.batch)
            crops_later = () if later is None else later.crops
            known.append(replace(both, crops=both.crops or crops_later))
    common = set.intersection(*(set(item.scores) for item in judged))
    single = min(
        sum(c[i.scores.index(score)] for c, i in zip(costs, judged, strict=True))
        for score in common
    )
    fixed = [
        sum(
            PAPER.cost(item.ledger(iou, score)) if score in item.scores else np.nan
            for item in judged
        )
        for score in FIXED
    ]
    print("  chosen:", ", ".join(f"{score:g}" for score in chosen))
    each = sum(float(cost.min()) for cost in costs)
    totals = [*fixed, uncompared, fitted, single, each]
    return [100 * (1 - (first + total) / objects) for total in totals]


def main(folders: Sequence[str]) -> None:
    """Print a table per folder."""
    if not folders:
        raise SystemExit("name the folders of finished campaigns")
    fixed = [f"fixed {score:g}" for score in FIXED]
    names = [*fixed, "fitted uncompared", "fitted", "best single", "best of each"]
    worst = np.inf
    for folder in folders:
        batches, held = read(Path(folder))
        stored = judged_later(Path(folder))
        spread = is_spread(load_params(Path(folder, "params.yaml")))
        print(folder, "(with images held out)" if held else "")
        for iou in IOUS:
            values = row(batches, held, stored, iou, spread=spread)
            less = values[names.index("fitted")] - values[names.index("best single")]
            worst = min(worst, less)
            cells = ", ".join(f"{n} {v:.1f}" for n, v in zip(names, values, strict=True))
            print(f"  IoU {iou:g}: {cells}; fitted against the best single one: {less:+.1f}")
    print(f"fitted against the best single threshold at worst: {worst:+.1f} points")


if __name__ == "__main__":
    main(sys.argv[1:])
