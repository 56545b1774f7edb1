"""Tiny studies: a dozen drawn images, a detector that takes two steps."""

import csv
import json
import subprocess
import sys

from boxloop.study.spec import load_spec

TINY = {
    "title": "tiny",
    "set": {
        "dataset": {"demo": {"images": 12, "video_fraction": 0.5, "size": [64, 64]}},
        "features": {"network": "resnet18", "weights": "none", "input_size": 32},
        "train": {"weights": "none", "steps": 2, "batch_size": 4, "input_size": [64, 64]},
        "review": {"score_threshold": 0.1},
        "account": {"score_thresholds": [0.1, 0.2]},
        "track": {"enabled": False},
    },
    "orderings": ["random", "dissimilar"],
    "features": {"plain": {}},
    "detectors": {"ssd": {}},
    "seeds": [0, 1],
    "turns": 2,
}


def study_file(folder, name="study.yaml", **changes):
    """A study.yaml of TINY with some keys replaced; JSON is YAML."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps({**TINY, **changes}))
    return path


def changed(section, **values):
    """The ``set`` of TINY with one section changed."""
    sections = TINY["set"]
    return {**sections, section: {**sections.get(section, {}), **values}}


def spec(folder, **changes):
    return load_spec(study_file(folder, **changes))


def start(path, out, *options, jobs=2):
    """`boxloop study` in a process of its own."""
    command = [sys.executable, "-c", "from boxloop.cli import main; main()", "study", str(path)]
    where = [] if "--on" in options else ["--jobs", str(jobs)]
    command += ["--out", str(out), *where, *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=path.parent
    )


def finish(process):
    output, _ = process.communicate(timeout=3000)  # or that of the test
    return process.returncode, output


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def bytes_of(out):
    """What must be the same however often a study was interrupted: all but times and logs."""
    kept = [p for p in sorted(out.rglob("*")) if p.is_file()]
    skipped = ("logs/", ".locks/", "mlflow", "mlartifacts/")
    timed = ("cell.json", ".lock", "simnet.json")
    names = {p.relative_to(out).as_posix(): p for p in kept if p.name not in timed}
    return {
        name: path.read_bytes().replace(out.as_posix().encode(), b"OUT")
        for name, path in names.items()
        if not name.startswith(skipped) and "/training/" not in name
    }
