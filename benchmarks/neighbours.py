"""What labels of neighbours save (``propose.neighbours: fitted``), on campaigns that are finished.

    python benchmarks/neighbours.py FOLDER [FOLDER ...]

Each folder is a campaign with ``data/features.npz`` and ``data/corrections/*.json``, simulated.
Nothing is trained: the rule is replayed batch by batch on the stored proposals, with the thresholds
that were fitted. Printed are the units of T that each batch's edits cost, at IoU 0.5 and 0.7, of
the detector's boxes and of those that neighbours mended: for frames of the demo that are at most
two from a labeled one, and for all other images.

A folder that holds only ``features.npz`` and ``truth.json`` is replayed in random order, in six
batches, with a detector made up from the truth: it misses a fifth of the objects, is off by a tenth
of a box's sides, gives scores that tell little, and finds something that is not there in every
other image.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts
from boxloop.campaign.neighbours import as_proposed, mend
from boxloop.core import neighbours
from boxloop.core.evidence import Evidence
from boxloop.core.types import Batch, Boxes, FeatureTable, Proposals
from boxloop.core.workload import PAPER, compare
from boxloop.params import EMPTY

IOUS = (0.5, 0.7)

Turns = list[tuple[Proposals, Mapping[str, Boxes]]]
"""Each batch's proposals, and its final boxes."""


def read(folder: Path) -> tuple[FeatureTable, Turns]:
    """Read a campaign: features, and each batch's proposals with its final boxes."""
    if not (folder / "data").exists():
        table = artifacts.read_features(folder / "features.npz")
        return table, made_up(artifacts.read_truth(folder / "truth.json") or {})
    paths = sorted((folder / "data" / "corrections").glob("*.json"))
    batches = [artifacts.read_corrections(path) for path in paths]
    table = artifacts.read_features(folder / "data" / "features.npz")
    return table, [(as_proposed(item.proposals), item.boxes) for item in batches]


def made_up(truth: Mapping[str, Boxes]) -> Turns:
    """Return six batches in random order, with proposals made up from the truth."""
    rng = np.random.default_rng(0)
    ids = list(truth)
    result: Turns = []
    for number, part in enumerate(np.array_split(rng.permutation(len(ids)), 6)):
        boxes = {}
        for image_id in (ids[i] for i in part):
            own = truth[image_id]
            own = own.select(rng.random(len(own)) < 0.8)
            sides = np.tile(own.xyxy[:, 2:] - own.xyxy[:, :2], 2)
            xyxy = own.xyxy + 0.1 * sides * np.clip(rng.standard_normal(sides.shape), -3, 3)
            scores, labels = rng.uniform(0.2, 1, len(own)), own.labels.tolist()
            if rng.random() < 0.5 and len(truth[image_id]):
                corner = rng.uniform(0, 200, 2)
                xyxy = np.vstack([xyxy, [*corner, *(corner + rng.uniform(20, 80, 2))]])
                labels.append(str(truth[image_id].labels[0]))
                scores = np.append(scores, rng.uniform(0.05, 0.8))
            boxes[image_id] = Boxes.build(xyxy, labels, scores, prefix="p")
        name = f"b{number:02d}"
        final = {image_id: truth[image_id] for image_id in boxes}
        result.append((Proposals(name, "made up" if number else EMPTY, "", 0.05, boxes), final))
    return result


def is_near(image_id: str, labeled: set[str]) -> bool:
    """Return whether a frame of the demo is at most two from a labeled one of its shot."""
    found = re.fullmatch(r"(shot\d+_frame)(\d+)", image_id)
    if found is None:
        return False
    shot, number = found[1], int(found[2])
    return any(f"{shot}{number + step:03d}" in labeled for step in (-2, -1, 1, 2))


def replay(folder: Path) -> None:
    """Print a campaign's table."""
    table, turns = read(folder)
    batches = [Batch(offered.batch, tuple(final)) for offered, final in turns]
    near = neighbours.find(table, batches)
    labels: dict[str, Boxes] = {}
    known: list[Evidence] = []
    sums = np.zeros((2, len(IOUS), 2))
    for (offered, final), neighbour in zip(turns, near, strict=True):
        if offered.detector != EMPTY:
            fitted = {iou: offered.fitted(iou) for iou in IOUS}
            shown = {iou: 0.5 if f is None else f.score for iou, f in fitted.items()}
            choice = neighbours.choose(known, IOUS, PAPER)
            mended = mend(offered, labels, neighbour, choice)
            changed = 0 if mended.neighbours is None else len(mended.neighbours.images)
            costs = np.zeros_like(sums)
            for image_id, boxes in final.items():
                group = 0 if is_near(image_id, set(labels)) else 1
                for place, (iou, score) in enumerate(shown.items()):
                    for side, source in enumerate((offered, mended)):
                        edits = compare(source.boxes[image_id].above(score), boxes, iou)
                        costs[group, place, side] += PAPER.cost(edits)
            sums += costs
            print(
                f"  {offered.batch}: limit {choice.limit} by {choice.found or 'nothing'},", end=""
            )
            print(f" {changed} of {len(final)} images mended; {words(costs)}")
            rows = neighbours.judge(offered.boxes, labels, neighbour, final, shown, 0.05)
            known.append(Evidence(offered.batch, 0, 0, (1.0,), (), rows))
        labels |= final
    print(f"  all: {words(sums)}")


def words(costs: np.ndarray[tuple[int, int, int], np.dtype[np.float64]]) -> str:
    """Say what frames within two, and all other images, cost."""
    parts = []
    for name, group in zip(("within two", "others"), costs, strict=True):
        pairs = (f"{iou:g}: {a:.1f} > {b:.1f}" for iou, (a, b) in zip(IOUS, group, strict=True))
        parts.append(f"{name} " + ", ".join(pairs))
    return " | ".join(parts)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit("name the folders of finished campaigns")
    for name in sys.argv[1:]:
        print(name)
        replay(Path(name))
