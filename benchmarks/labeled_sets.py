"""Labeled sets as a chain of Parquet files, beside cumulative JSON files as boxloop 0.1 wrote them.

    python benchmarks/labeled_sets.py [IMAGES ...]

For 1,000, 10,000 and 50,000 images (or those named) of about 5 boxes in 50 turns, prints for both:
bytes on disk, CPU seconds to write and to read the set in every turn of a campaign, and to read
the last one; then how each of them grows with the images. The JSON of the old writer and reader is
kept here, without the checks that boxloop made of it: with them it was slower still.
"""

from __future__ import annotations

import gc
import json
import math
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from boxloop.campaign.artifacts import read_labeled, write_labeled
from boxloop.core.types import Boxes, LabeledSet

CLASSES = ("bicycle", "car", "person")
OBJECTS, TURNS = 5, 50


def draw(images: int, seed: int = 0) -> list[dict[str, Boxes]]:
    """Draw the boxes of each turn."""
    rng = np.random.default_rng(seed)
    parts: list[dict[str, Boxes]] = [{} for _ in range(TURNS)]
    for number in range(images):
        count = int(rng.poisson(OBJECTS))
        corner = rng.uniform(0, 600, (count, 2)).round(2)
        edges = np.concatenate([corner, corner + rng.uniform(5, 200, (count, 2)).round(2)], axis=1)
        boxes = Boxes.build(edges, rng.choice(CLASSES, count).tolist())
        parts[number * TURNS // images][f"image_{number:06d}"] = boxes
    return parts


def write_json(path: Path, labeled: LabeledSet) -> None:
    """Write everything labeled so far, a line per image."""
    lines = []
    for image_id, boxes in labeled.boxes.items():
        columns = (boxes.ids.tolist(), boxes.labels.tolist(), boxes.xyxy.tolist())
        rows = [{"id": i, "label": n, "xyxy": b} for i, n, b in zip(*columns, strict=True)]
        lines.append(f"  {json.dumps(image_id)}: {json.dumps(rows)}")
    head = json.dumps({"classes": labeled.classes, "batches": labeled.batches})
    path.write_text(f'{head[:-1]}, "boxes": {{\n' + ",\n".join(lines) + "\n}}\n")


def read_json(path: Path) -> LabeledSet:
    """Read what :func:`write_json` wrote."""
    content = json.loads(path.read_text())
    boxes = {
        image_id: Boxes(
            np.array([row["xyxy"] for row in rows], np.float64).reshape(-1, 4),
            np.array([row["label"] for row in rows], np.str_),
            np.array([row["id"] for row in rows], np.str_),
        )
        for image_id, rows in content["boxes"].items()
    }
    return LabeledSet(tuple(content["classes"]), tuple(content["batches"]), boxes)


def campaign(folder: Path, parts: Sequence[Mapping[str, Boxes]], suffix: str) -> dict[str, float]:
    """Write and read the labeled set of every turn; return bytes and CPU seconds."""
    total: dict[str, Any] = {"MB": 0.0, "write s": 0.0, "read s": 0.0, "last read s": 0.0}
    everything: dict[str, Boxes] = {}
    batches: tuple[str, ...] = ()
    previous = None
    for number, own in enumerate(parts):
        path = folder / f"b{number:02}.{suffix}"
        everything, batches = {**everything, **own}, (*batches, path.stem)
        gc.collect()
        began = time.process_time()
        if suffix == "json":
            write_json(path, LabeledSet(CLASSES, batches, everything))
        else:
            write_labeled(path, LabeledSet(CLASSES, batches[-1:], own), previous)
        between = time.process_time()
        found = read_json(path) if suffix == "json" else read_labeled(path)
        total["last read s"] = time.process_time() - between
        total["write s"] += between - began
        total["read s"] += total["last read s"]
        total["MB"] += path.stat().st_size / 1e6
        previous = path
        assert len(found) == len(everything)
    assert found == LabeledSet(CLASSES, batches, everything)
    return total


def main(sizes: Sequence[int]) -> None:
    """Print a line per size and format, the ratios, and the growth."""
    rows = []
    for size in sizes:
        parts = draw(size)
        found = {}
        for suffix in ("parquet", "json"):
            with tempfile.TemporaryDirectory() as folder:
                found[suffix] = campaign(Path(folder), parts, suffix)
            cells = ", ".join(f"{value:.3g} {name}" for name, value in found[suffix].items())
            print(f"{size:,} images, {TURNS} turns, {suffix}: {cells}", flush=True)
        ratios = (f"{found['json'][n] / found['parquet'][n]:.1f} {n}" for n in found["json"])
        print(f"{size:,} images, JSON to Parquet: {', '.join(ratios)}", flush=True)
        rows.append((size, found))
    if len(rows) > 1:
        (a, first), (b, last) = rows[0], rows[-1]
        for suffix in first:
            growth = (
                f"{name} {math.log(last[suffix][name] / value) / math.log(b / a):.2f}"
                for name, value in first[suffix].items()
            )
            print(f"{suffix} grows with the images by a power of: {', '.join(growth)}")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1_000, 10_000, 50_000])
