"""What one more turn of the loop costs where training is free.

A campaign with all turns but the last is made without DVC's help in between; then the last turn is
listed, and ``dvc repro`` is timed. Training takes one step, on a handful of images.

    python benchmarks/turns.py --turns 5 20 60 --beside /path/to/another/checkout

With ``--beside`` the same is done by the code of another checkout, in turn: in the environment
that was set up there (``.venv``, by its own locked packages), or in this one where it has none.
Prints wall and CPU seconds, their ratio, and how the time grows with the number of turns.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
BATCH = 5

SETTINGS = (
    "dataset.demo.size=[64, 64]",
    "simnet.weights=none",
    "features.network=resnet18",
    "features.weights=none",
    "features.input_size=32",
    "order.strategy=random",
    "batch.sizes=null",
    f"batch.size={BATCH}",
    "train.detector=ssdlite320_mobilenet_v3_large",
    "train.weights=none",
    "train.input_size=[64, 64]",
    "train.steps=1",
    "train.batch_size=2",
    "propose.score_floor=0.3",
)

ALL_AT_ONCE = """
import shlex, sys
import networkx
from dvc.repo import Repo
from boxloop.cli import main

repo = Repo()
with repo.lock:
    stages = list(networkx.dfs_postorder_nodes(repo.index.graph))
    for stage in stages:
        sys.argv = shlex.split(stage.cmd)
        try:
            main()
        except SystemExit as end:
            assert not end.code, (stage, end.code)
        stage.save()
        stage.commit()
    # At once: stage by stage DVC would take an hour.
    stages[0].dvcfile.dump_stages(stages, update_pipeline=False)
"""


def python_of(source: Path) -> Path:
    """Return the Python of a checkout's own environment, or this one."""
    own = source / ".venv" / "bin" / "python"
    return own if own.exists() else Path(sys.executable)


def make(folder: Path, source: Path, turns: int) -> dict[str, str]:
    """Make a campaign with all turns but the last; return the environment of its version."""
    python = python_of(source)
    tools = folder.with_name(f"{folder.name}-bin")
    tools.mkdir()
    (tools / "boxloop").write_text(f'#!/bin/sh\nexec {python} -m boxloop "$@"\n')
    (tools / "boxloop").chmod(0o755)
    path = os.pathsep.join((str(tools), str(python.parent), os.environ["PATH"]))
    environment = {**os.environ, "PYTHONPATH": str(source / "src"), "PATH": path}
    overrides = [f"--set={line}" for line in (*SETTINGS, f"dataset.demo.images={BATCH * turns}")]
    command = ["boxloop", "init", str(folder), "--params", str(source / "params.yaml")]
    run([*command, "--batches", str(turns - 1), *overrides], HERE, environment)
    run([str(python), "-c", ALL_AT_ONCE], folder, environment)
    with (folder / "params.yaml").open("a") as file:
        file.write(f"  b{turns - 1:02d}: {{previous: b{turns - 2:02d}}}\n")
    return environment


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a command; show what it said where it failed."""
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[:3]} failed in {folder}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")


def measure(folder: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Return wall and CPU seconds of ``dvc repro``."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    run(["dvc", "repro"], folder, environment)
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main() -> None:
    """Time both versions at each number of turns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--beside", type=Path, help="another checkout, to compare with")
    given = parser.parse_args()
    sources = {"this": HERE} | ({"beside": given.beside.resolve()} if given.beside else {})
    found: dict[str, dict[int, tuple[float, float]]] = {name: {} for name in sources}
    with tempfile.TemporaryDirectory(prefix="turns-") as place:
        for turns in given.turns:
            for name, source in sources.items():
                folder = Path(place) / f"{name}-{turns}"
                environment = make(folder, source, turns)
                found[name][turns] = measure(folder, environment)
                wall, cpu = found[name][turns]
                line = f"{turns:>3} turns  {name:<7} {wall:6.1f} s wall  {cpu:6.1f} s CPU"
                if name == "beside":
                    ratio = wall / found["this"][turns][0]
                    line += f"   {ratio:.2f} times this"
                print(line, flush=True)
    first, last = given.turns[0], given.turns[-1]
    if first != last:
        for name, values in found.items():
            ratio = values[last][0] / values[first][0]
            exponent = math.log(ratio) / math.log(last / first)
            print(
                f"{name}: {last} turns take {ratio:.2f} times as long as {first}: n^{exponent:.2f}"
            )


if __name__ == "__main__":
    main()
