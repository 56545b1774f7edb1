"""Real campaigns in scratch folders, run by the real dvc."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

BIN = Path(sys.executable).parent
TINY = (
    "dataset.format=demo",
    "dataset.demo={images: 24, video_fraction: 0.5, size: [64, 64], seed: 0}",
    "features.network=resnet18",
    "features.weights=none",
    "features.input_size=64",
    "batch={size: 8}",
    "train.weights=none",
    "train.warm_start=true",
    "train.input_size=[64, 64]",
    "train.epochs=null",
    "train.steps=4",
    "train.batch_size=4",
    "train.learning_rate=0.001",
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
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=280
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


def interrupt_at(folder, stage, *, how=signal.SIGKILL, after=0.0):
    """Starts `dvc repro` and hits its whole process group once ``stage`` runs.

    Returns:
        Whether it was hit in time.
    """
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=folder,
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if f"'{stage}'" in line and line.startswith("Running stage"):
            time.sleep(after)
            os.killpg(process.pid, how)
            break
    process.stdout.read()
    return process.wait(timeout=120) != 0


def snapshot(folder):
    """Everything a campaign's result consists of, as bytes by name."""
    kinds = ("batches", "labeled", "proposals", "corrections", "workload")
    files = [p for kind in kinds for p in sorted((folder / "data" / kind).glob("*.json"))]
    return {str(p.relative_to(folder)): p.read_bytes() for p in [*files, folder / "metrics.json"]}


def copy(source, target):
    shutil.copytree(source, target, symlinks=True)
    return target
