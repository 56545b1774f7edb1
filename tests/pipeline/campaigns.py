"""Real campaigns in scratch folders, run by the real dvc."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

from boxloop.campaign import mending
from boxloop.campaign.paths import CampaignPaths
from builders_datasets import text, voc_object, voc_xml

BIN = Path(sys.executable).parent
TINY = (
    "dataset.format=demo",
    "dataset.demo={images: 24, video_fraction: 0.5, size: [64, 64], seed: 0}",
    "features.network=resnet18",
    "features.weights=none",
    "features.input_size=64",
    "batch={size: 8}",
    # The quickest to load; test_fitted_threshold.py has the default.
    "train.detector=ssdlite320_mobilenet_v3_large",
    "train.weights=none",
    "train.warm_start=true",
    "train.input_size=[64, 64]",
    "train.epochs=null",
    "train.steps=4",
    "train.batch_size=4",
    "train.learning_rate=0.001",
    "train.held_out=0",
    "propose.score_floor=0.01",
    "review.score_threshold=0.05",
    "account.score_thresholds=[0.01, 0.05]",
    "track.campaign=tiny",
)


def environment():
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DVC", "MLFLOW"))}
    env["PATH"] = f"{BIN}{os.pathsep}{env['PATH']}"
    env |= {
        f"GIT_{who}_{what}": "t@t.t"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    }
    return env


def run(folder, *command, check=True):
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=800
    )
    if check:
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def init(folder, *overrides, batches=3):
    sets = [part for override in overrides for part in ("--set", override)]
    run(folder.parent, "boxloop", "init", str(folder), "--batches", str(batches), *sets)
    return folder


def repro(folder, *arguments):
    return run(folder, "dvc", "repro", *arguments)


def interrupt_at(folder, stage, *, how=signal.SIGKILL, after=0.0, whole_group=True):
    """Starts `dvc repro` and hits it, with what it started, once ``stage`` runs.

    Where the stage ended too early and DVC was hit as it wrote its lock in place, the campaign is
    mended as the README says.

    Returns:
        Whether it was hit in time.
    """
    log = folder / "interrupted.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["dvc", "repro"],
            cwd=folder,
            env=environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    while f"Running stage '{stage}'" not in log.read_text() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(after)
    hit = process.poll() is None
    if hit:
        (os.killpg if whole_group else os.kill)(process.pid, how)
    process.wait(timeout=600)
    if mending.find(CampaignPaths(folder)):
        run(folder, "boxloop", "mend")
    return hit


def snapshot(folder):
    """Everything a campaign's result consists of, as bytes by name."""
    kinds = ("batches", "labeled", "proposals", "corrections", "workload")
    files = [p for kind in kinds for p in sorted((folder / "data" / kind).glob("*.*"))]
    return {str(p.relative_to(folder)): p.read_bytes() for p in [*files, folder / "metrics.json"]}


def changed(folder, before):
    """The names of a result's files that are not as in an earlier snapshot."""
    now = snapshot(folder)
    return [name for name in sorted(now | before) if now.get(name) != before.get(name)]


def write_voc(root, scenes):
    """Drawn scenes as a folder in the VOC layout, split list included."""
    names = []
    for scene in scenes:
        image = root / "JPEGImages" / f"{scene.id}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scene.pixels).save(image, quality=95)
        # VOC counts pixels from one and means the last one inside.
        objects = [
            voc_object(label, x1 + 1, y1 + 1, x2, y2)
            for label, (x1, y1, x2, y2) in zip(scene.labels, scene.xyxy, strict=True)
        ]
        height, width = scene.pixels.shape[:2]
        xml = voc_xml(*objects, size=(width, height), filename=image.name)
        text(root / "Annotations" / f"{scene.id}.xml", xml)
        names.append(scene.id)
    text(root / "ImageSets" / "Main" / "trainval.txt", "\n".join(names))
    return root
