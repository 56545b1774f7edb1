"""Time the stages before the loop, `status` and `report` on campaigns of many images.

    python benchmarks/scale.py                                # 1,000 and 10,000 images
    python benchmarks/scale.py --images 10000 50000 200000    # exponents between other sizes
    python benchmarks/scale.py --only dataset batch --images 500000
    python benchmarks/scale.py --labeled 0.1 --images 500000  # the batches of a tenth are labeled

A campaign is drawn up in a folder of its own: N names of one small JPEG, five boxes an image as a
COCO file, and random features of 512 numbers, so that what is measured is boxloop and not the
decoding of pictures or a network. Each stage is a process of its own, as `dvc repro` runs it.
Printed are its CPU seconds (user and system, of all its threads), seconds by the clock and peak
memory (resident set), and the exponents with which seconds and memory grow from one size to the
next; the line `start` has what starting Python takes alone. `dvc status` is of the stages before
the loop, with nothing changed. The files of the turns are written as they are, without training or
accounting.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from boxloop.campaign import artifacts
from boxloop.campaign.dvc import DVC
from boxloop.campaign.paths import CampaignPaths
from boxloop.core import types as t
from boxloop.core.workload import BatchWorkload, account
from boxloop.params import load_params

DIMENSIONS, BOXES, BATCH, SIDE = 512, 5, 1000, 64
CLASSES = ("car", "bicycle", "person")
LINKS = 30_000
"""Names of one file; file systems allow 65,000 at most."""


@dataclass(frozen=True)
class Cost:
    """What one process took: CPU seconds, seconds by the clock, peak memory in bytes."""

    cpu: float
    wall: float
    peak: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--exact", type=int, default=10_000, help="most images to order exactly")
    parser.add_argument("--labeled", type=float, default=1.0, help="fraction of labeled images")
    parser.add_argument("--only", nargs="+", choices=list(STEPS), help="measure these steps alone")
    parser.add_argument("--scratch", type=Path, help="folder for the campaigns, which are removed")
    parser.add_argument("--inside", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        INSIDE[arguments.inside[0]](float(arguments.inside[1]))
        return
    results: dict[int, dict[str, Cost]] = {}
    for n in arguments.images:
        with tempfile.TemporaryDirectory(dir=arguments.scratch) as scratch:
            results[n] = measure(Path(scratch), n, arguments)
    print_table(results)


def measure(scratch: Path, n: int, arguments: argparse.Namespace) -> dict[str, Cost]:
    """Make a campaign of n images and run the steps in it, one process each."""
    begun = time.perf_counter()
    campaign = draw_up(scratch, n)
    print(f"{n:,} images drawn up in {time.perf_counter() - begun:.0f} s", flush=True)
    found = {}
    for name, (command, needed) in STEPS.items():
        wanted = name in (arguments.only or STEPS)
        if name == "order, dissimilar" and n > arguments.exact:
            wanted = False
        if wanted or needed & {*(arguments.only or STEPS)}:
            given = [str(arguments.labeled) if word == "LABELED" else word for word in command]
            cost = run(given, campaign)
            if wanted and name != "turns":
                found[name] = cost
                peak = cost.peak / 2**20
                print(
                    f"  {name:<20} {cost.cpu:8.2f} CPU s {cost.wall:8.2f} s {peak:8.0f} MiB",
                    flush=True,
                )
    return found


def run(command: Sequence[str], folder: Path) -> Cost:
    """Run a command to its end; its own children, if any, are counted in."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - begun
        if child.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read().decode()}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024)


# --- the campaign ---------------------------------------------------------------------------------


def draw_up(scratch: Path, n: int) -> Path:
    """Make the images, their annotations and a campaign on them; nothing of it has run."""
    photographs, campaign = scratch / "photographs", scratch / "campaign"
    (photographs / "images").mkdir(parents=True)
    rng = random.Random(0)
    pixels = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), "grey").save(pixels, "JPEG")
    names = [f"{k:07d}.jpg" for k in range(n)]
    source = Path()
    for k, name in enumerate(names):
        path = photographs / "images" / name
        if k % LINKS == 0:
            path.write_bytes(pixels.getvalue())
            source = path
        else:
            os.link(source, path)
    with (photographs / "boxes.json").open("w") as file:
        categories = [{"id": k, "name": name} for k, name in enumerate(CLASSES)]
        file.write(f'{{"categories": {json.dumps(categories)}, "images": [')
        for k, name in enumerate(names):
            entry = {"id": k, "file_name": name, "width": SIDE, "height": SIDE}
            file.write(", " * (k > 0) + json.dumps(entry))
        file.write('], "annotations": [')
        for k in range(n * BOXES):
            x, y = rng.uniform(0, 40), rng.uniform(0, 40)
            box = [x, y, rng.uniform(4, 20), rng.uniform(4, 20)]
            entry = {"image_id": k // BOXES, "category_id": k % 3, "bbox": box}
            file.write(", " * (k > 0) + json.dumps(entry))
        file.write("]}")
    command = ["init", str(campaign), "--batches", str(max(1, n // BATCH))]
    for override in (
        "dataset.format=coco",
        f"dataset.path={photographs}",
        "dataset.annotations=boxes.json",
        f"batch.size={BATCH}",
        "review.annotator=simulated",
        "review.score_threshold=0.5",
        "track.enabled=false",
        "order.strategy=random",
    ):
        command += ["--set", override]
    run([sys.executable, "-m", "boxloop", *command], scratch)
    return campaign


def write_features(_: float) -> None:
    """Write random features of all images, as the stage does once its network is through."""
    ids = [image.id for image in artifacts.read_images(CampaignPaths().images).images]
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((len(ids), DIMENSIONS), dtype=np.float32)
    artifacts.write_features(CampaignPaths().features, t.FeatureTable(tuple(ids), vectors))
    CampaignPaths().simnet.touch()
    artifacts.write_simnet(CampaignPaths().simnet_log, None)


def write_turns(labeled: float) -> None:
    """Write a simulated campaign's files of each turn that `status` and `report` look into."""
    paths, params = CampaignPaths(), load_params(Path("params.yaml"))
    truth, rng = artifacts.read_truth(paths.truth) or {}, np.random.default_rng(0)
    keys = list(params.iterations)
    keys = keys[: max(1, round(labeled * len(keys)))]
    ious, scores = params.account.iou_thresholds, params.account.score_thresholds
    counted: BatchWorkload | None = None
    for key in keys:
        batch = artifacts.read_batch(paths.batch(key))
        offered = {i: propose(truth[i], rng) for i in batch.image_ids}
        proposals = t.Proposals(key, "drawn", "0" * 64, 0.05, offered)
        final = {i: truth[i] for i in batch.image_ids}
        made = t.Corrections(proposals, 0.5, t.SIMULATED, final)
        artifacts.write_proposals(paths.proposals(key), proposals)
        artifacts.write_corrections(paths.corrections(key), made)
        # Counted once: what accounting takes is not the question here.
        counted = counted or account(made, ious, scores, {"map": 0.5})
        same = replace(counted, batch=key, images=len(final), objects=sum(map(len, final.values())))
        artifacts.write_workload(paths.workload(key), same)
        for path in (paths.detector(key), paths.labeled(key)):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    boxes = {i: truth[i] for k in keys for i in artifacts.read_batch(paths.batch(k)).image_ids}
    artifacts.write_labeled(paths.labeled(keys[-1]), t.LabeledSet(CLASSES, tuple(keys), boxes))


def propose(boxes: t.Boxes, rng: np.random.Generator) -> t.Boxes:
    """Move each box a little, and score it."""
    moved = boxes.xyxy + rng.uniform(-1, 1, boxes.xyxy.shape)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
    return t.Boxes(moved, boxes.labels, boxes.ids, rng.uniform(0.05, 1, len(boxes)))


def read_one(reader: Callable[[Path], object], path: Path) -> Callable[[float], None]:
    return lambda _: print(reader(path) is not None)


INSIDE: dict[str, Callable[[float], None]] = {
    "start": lambda _: None,
    "images": read_one(artifacts.read_images, CampaignPaths().images),
    "truth": read_one(artifacts.read_truth, CampaignPaths().truth),
    "features": read_one(artifacts.read_features, CampaignPaths().features),
    "write features": write_features,
    "turns": write_turns,
}
"""What runs in a process of its own, but is no command of boxloop."""


def inside(name: str, argument: str = "0") -> list[str]:
    return [sys.executable, __file__, "--inside", name, argument]


def boxloop(*words: str) -> list[str]:
    return [sys.executable, "-m", "boxloop", *words]


BEFORE = ("dataset", "simnet", "features", "order", "batch")

AFTER_TURNS = {"status", "report"}
AFTER_BATCH = {"dvc commit", "dvc status"} | AFTER_TURNS
AFTER_ORDER = {"batch"} | AFTER_BATCH
AFTER_FEATURES = {"read features", "order, random", "order, dissimilar"} | AFTER_ORDER
ANY = {"read images.json", "read truth.json", "write features"} | AFTER_FEATURES

STEPS: dict[str, tuple[list[str], set[str]]] = {
    "start": (inside("start"), set()),
    "dataset": (boxloop("dataset"), ANY),
    "read images.json": (inside("images"), set()),
    "read truth.json": (inside("truth"), set()),
    "write features": (inside("write features"), AFTER_FEATURES),
    "read features": (inside("features"), set()),
    "order, random": (boxloop("order"), AFTER_ORDER),
    "order, dissimilar": (
        boxloop("order", "--set", "order.strategy=dissimilar", "--out", "exact.json"),
        set(),
    ),
    "batch": (boxloop("batch"), AFTER_BATCH),
    "dvc commit": ([*DVC, "commit", "--quiet", "--force", *BEFORE], set()),
    "dvc status": ([*DVC, "status", *BEFORE], set()),
    "turns": (inside("turns", "LABELED"), AFTER_TURNS),
    "status": (boxloop("status"), set()),
    "report": (boxloop("report"), set()),
}
"""By name: the command, and the steps that need what it writes."""


# --- the tables -----------------------------------------------------------------------------------


def print_table(results: dict[int, dict[str, Cost]]) -> None:
    """Print CPU seconds and memory of each step, with the exponents between the sizes."""
    sizes = list(results)
    cpus = f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the end"
    print(f"\nCPU seconds, and MiB at most; {cpus}\n")
    print("| step | " + " | ".join(f"{n:,} images" for n in sizes) + " | growth |")
    print("|---|" + "--:|" * (len(sizes) + 1))
    for name in STEPS:
        costs = [results[n].get(name) for n in sizes]
        if any(costs):
            cells = ["" if c is None else f"{c.cpu:.2f}, {c.peak / 2**20:.0f}" for c in costs]
            print(f"| {name} | {' | '.join(cells)} | {growth(sizes, costs)} |")


def growth(sizes: Sequence[int], costs: Sequence[Cost | None]) -> str:
    """Return the exponents of seconds and memory from each size to the next."""
    parts = []
    for i in range(1, len(sizes)):
        before, after = costs[i - 1], costs[i]
        if before is not None and after is not None:
            steps = math.log(sizes[i] / sizes[i - 1])
            time_ = math.log(after.cpu / before.cpu) / steps
            memory = math.log(after.peak / before.peak) / steps
            parts.append(f"N^{time_:.1f}, N^{memory:.1f}")
    return "; ".join(parts)


if __name__ == "__main__":
    main()
