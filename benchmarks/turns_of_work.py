"""The CPU seconds of a turn outside training and proposing, at 1,000 images a batch.

    python benchmarks/turns_of_work.py [TURNS]

A simulated campaign of 12 turns (or as many as are named) of 1,000 images with about 5 objects
and 20 proposals each: writing the proposals with fitted thresholds, ``review``, ``merge`` and
``account``, through ``boxloop.pipeline``. Prints seconds by stage for the first, the middle and the
last turn, and the bytes of each kind of file. Run it at two commits, by PYTHONPATH, to compare
them: the digest of all counts must stay.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from boxloop import pipeline
from boxloop.campaign import artifacts
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.thresholds import fit_to_files
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Batch, Boxes, ImageRef, ImageSet, LabeledSet, Proposals
from boxloop.params import EMPTY, Params

WIDTH, HEIGHT = 640, 480
CLASSES = ("bicycle", "car", "person")
IMAGES, OBJECTS, FALSE = 1_000, 5, 15
LOG = TrainingLog(
    0, 0.0, 0, (), 0.0, 0.0, 0.0, 0.0, "cpu", "none", boxes=0, batch_size=1, parameters=0
)


def objects(rng: np.random.Generator) -> Boxes:
    """Draw the objects of one image."""
    count = int(rng.poisson(OBJECTS))
    corner = rng.uniform(0, 440, (count, 2)).round(2) * [1, 0.6]
    edges = np.concatenate([corner, corner + rng.uniform(10, 180, (count, 2)).round(2)], axis=1)
    return Boxes.build(edges, rng.choice(CLASSES, count).tolist())


def offered(rng: np.random.Generator, truth: Boxes) -> Boxes:
    """Propose a box near each object, and some elsewhere."""
    near = truth.xyxy + rng.normal(0, 6, truth.xyxy.shape)
    corner = rng.uniform(0, 400, (FALSE, 2))
    edges = np.concatenate([near, np.hstack([corner, corner + rng.uniform(10, 200, (FALSE, 2))])])
    edges = np.clip(edges, 0, [WIDTH, HEIGHT] * 2)
    edges[:, 2:] = np.maximum(edges[:, 2:], edges[:, :2] + 1)
    scores = np.concatenate([rng.beta(5, 2, len(near)), rng.beta(1, 8, FALSE)]).clip(0.05, 1)
    names = np.where(rng.random(len(near)) < 0.9, truth.labels, "car").tolist()
    return Boxes.build(edges, names + rng.choice(CLASSES, FALSE).tolist(), scores, prefix="p")


def run(folder: Path, turns: int) -> dict[str, list[float]]:
    """Run a campaign; return the seconds of each stage by turn."""
    rng = np.random.default_rng(0)
    keys = [f"b{number:02}" for number in range(turns)]
    before = dict(zip(keys, [EMPTY, *keys], strict=False))
    sections = {
        "dataset": {"format": "folder", "path": "x", "classes": list(CLASSES)},
        "iterations": {key: {"previous": previous} for key, previous in before.items()},
    }
    params, paths = Params.model_validate(sections), CampaignPaths(folder)
    campaign = Campaign(paths, params, say=lambda _: None)
    names = [f"image_{number:06}" for number in range(turns * IMAGES)]
    refs = tuple(ImageRef(name, f"images/{name}.jpg", WIDTH, HEIGHT, "0" * 64) for name in names)
    truth = {name: objects(rng) for name in names}
    artifacts.write_images(paths.images, ImageSet(refs, CLASSES))
    artifacts.write_truth(paths.truth, truth)
    artifacts.write_labeled(paths.labeled(EMPTY), LabeledSet(CLASSES, (), {}))
    artifacts.write_evidence(paths.evidence(EMPTY), ())
    seconds: dict[str, list[float]] = {}
    for number, key in enumerate(keys):
        batch = names[number * IMAGES : (number + 1) * IMAGES]
        artifacts.write_batch(paths.batch(key), Batch(key, tuple(batch)))
        artifacts.write_training(paths.training(key), LOG)
        none = Boxes.empty(scored=True)
        boxes = {name: offered(rng, truth[name]) if number else none for name in batch}
        found = Proposals(key, "fcos" if number else EMPTY, "0" * 64, 0.05, boxes)
        files = (paths.evidence(before[key]), paths.labeled(before[key]), paths.training(key))

        def propose(key: str, found: Proposals = found, files: tuple[Path, ...] = files) -> None:
            fitted = fit_to_files(params, found, *files)
            artifacts.write_proposals(paths.proposals(key), fitted)

        stages = {
            "proposals": propose,
            **{n: partial(getattr(pipeline, n), campaign) for n in ("review", "merge", "account")},
        }
        for name, stage in stages.items():
            began = time.process_time()
            stage(key)
            seconds.setdefault(name, []).append(time.process_time() - began)
    return seconds


def main(arguments: Sequence[str]) -> None:
    """Print the seconds, the bytes and the digest."""
    turns = int(arguments[0]) if arguments else 12
    with tempfile.TemporaryDirectory() as name:
        seconds = run(Path(name), turns)
        digest, sizes = hashlib.sha256(), {}
        for folder in sorted(path for path in (Path(name) / "data").iterdir() if path.is_dir()):
            sizes[folder.name] = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
            if folder.name in ("proposals", "corrections", "workload", "evidence"):
                for file in sorted(folder.iterdir()):
                    digest.update(file.read_bytes())
    for stage, values in seconds.items():
        some = ", ".join(f"{values[place]:.2f}" for place in (1, turns // 2, -1))
        print(
            f"{stage}: {some} s in turns 2, {turns // 2 + 1}, {turns}; {sum(values):.1f} s in all"
        )
    print(f"all: {sum(map(sum, seconds.values())):.1f} s in {turns} turns of {IMAGES:,} images")
    print(", ".join(f"{kind} {size:.1f} MB" for kind, size in sizes.items()))
    print(f"digest of proposals, corrections, workload and evidence: {digest.hexdigest()[:16]}")


if __name__ == "__main__":
    main(sys.argv[1:])
