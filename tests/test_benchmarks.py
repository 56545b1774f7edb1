"""Benchmarks that need little still run: what they are made of moves on."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("turns_of_work.py 2", "all: "),
        ("labeled_sets.py 50", "50 images, 50 turns, parquet: "),
        ("average_precision.py 20", "20 images"),
        ("people_with_faults.py --campaigns 1 --innocent 2", "| none | - | "),
        (
            "small_objects.py params.yaml --mosaic 2 --learn 4 --judge 4 --zooms 2 --seeds 1"
            " --set train.steps=1 --set dataset.demo.images=40",
            "seed 1 zoom 2        2: ",
        ),
        (
            "many_classes.py params.yaml --learn 6 --judge 6 --seeds 1"
            " --set train.steps=1 --set dataset.demo.images=40",
            "seed 1, 4 classes: as they come ",
        ),
    ],
)
def test_a_benchmark_runs_to_its_end(command, said):
    name, *arguments = command.split()
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *arguments],
        capture_output=True,
        text=True,
        timeout=800,
        cwd=BENCHMARKS.parent,
    )
    assert done.returncode == 0, done.stderr
    assert any(line.startswith(said) for line in done.stdout.splitlines()), done.stdout
