"""Kill small campaigns at random moments, go on each time, and compare with an unkilled one.

    python benchmarks/kills.py --kills 100 --seed 0

Each run of ``dvc repro`` or ``boxloop run`` is killed with all that it started (SIGKILL), at a
random moment or just as DVC or MLflow writes one of its files in place. Then ``boxloop status`` is
asked, and what it names is typed; ``boxloop run`` has to help itself. A campaign takes kills until
it ends; its labels, proposals, counts and MLflow runs must be those of a campaign that nobody
killed, to the last byte. In every second campaign a "person" labels: a program that submits, and
that is killed, too.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

BIN = Path(sys.executable).parent
SETTINGS = (
    "dataset.format=demo",
    "dataset.demo={images: 12, video_fraction: 0.5, size: [64, 64], seed: 0}",
    "features.network=resnet18",
    "features.weights=none",
    "features.input_size=32",
    "batch={size: 6}",
    "train.detector=ssdlite320_mobilenet_v3_large",
    "train.weights=none",
    "train.warm_start=true",
    "train.input_size=[64, 64]",
    "train.epochs=null",
    "train.steps=2",
    "train.batch_size=2",
    "train.held_out=0",
    "propose.score_floor=0.01",
    "review.score_threshold=0.05",
    "account.score_thresholds=[0.01, 0.05]",
    "track.campaign=killed",
)
PEOPLE = "review.annotator=fiftyone"
WRITTEN_IN_PLACE = ("dvc.lock", ".dvc/tmp/rwlock", "mlflow.db")

SUBMIT = """
import sys
from dataclasses import replace
from pathlib import Path
from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.review.simulated import SimulatedAnnotator

paths, key = CampaignPaths(Path.cwd()), sys.argv[1]
offered = artifacts.read_proposals(paths.proposals(key))
if submissions.missing(submissions.read(paths.reviews), offered.boxes):
    made = SimulatedAnnotator(artifacts.read_truth(paths.truth), 0.5).review(offered, {}, 0.05)
    when = "2026-01-01T00:00:00.000000+00:00"
    submissions.append(
        paths.reviews, replace(made, annotator="fiftyone", reviewer="ada", finished=when)
    )
"""

RUNS = """
import json, sys
from mlflow import MlflowClient

client = MlflowClient("sqlite:///mlflow.db")
experiments = [e.experiment_id for e in client.search_experiments()]
kept = ("boxloop.", "mlflow.runName", "mlflow.note")
rows = []
for run in client.search_runs(experiments, max_results=1000):
    tags = {k: v for k, v in run.data.tags.items() if k.startswith(kept)}
    times = ("seconds", "per_second", "wait_fraction")  # how long a training took is chance
    metrics = {k: v for k, v in run.data.metrics.items() if not any(t in k for t in times)}
    tags.pop("boxloop.content", None)  # a digest of files with these times
    history = {k: len(client.get_metric_history(run.info.run_id, k)) for k in metrics}
    rows.append([run.info.status, tags, metrics, history, run.data.params])
print(json.dumps(sorted(rows, key=lambda row: json.dumps(row[1:], sort_keys=True)), sort_keys=True))
"""


@dataclass
class Tally:
    """What the kills led to."""

    kills: int = 0
    while_written: int = 0  # of those, just as DVC or MLflow wrote one of its files
    mended: dict[str, int] = field(default_factory=dict)  # damaged files, by name
    campaigns: int = 0
    faults: list[str] = field(default_factory=list)


def environment() -> dict[str, str]:
    """Return the variables of a user without settings of DVC or MLflow."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("DVC", "MLFLOW"))}
    return {**env, "PATH": f"{BIN}{os.pathsep}{env['PATH']}"}


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=1200
    )


def make(folder: Path, *, people: bool) -> None:
    """Make a campaign of two batches."""
    sets = [*SETTINGS, *([PEOPLE] if people else [])]
    options = [part for value in sets for part in ("--set", value)]
    done = run(folder.parent, "boxloop", "init", str(folder), "--batches", "2", *options)
    assert done.returncode == 0, done.stderr


def snapshot(folder: Path) -> dict[str, str]:
    """Return what a campaign came to: files by name, and the MLflow runs."""
    kinds = ("batches", "labeled", "proposals", "corrections", "workload", "evidence")
    files = [p for kind in kinds for p in sorted((folder / "data" / kind).glob("*.*"))]
    files += [folder / "metrics.json", *sorted((folder / "reviews").glob("*.json"))]
    found = {str(p.relative_to(folder)): p.read_bytes().hex() for p in files}
    runs = run(folder, sys.executable, "-c", RUNS)
    assert runs.returncode == 0, runs.stderr
    return {**found, "MLflow": runs.stdout}


def tree(process: psutil.Process) -> list[psutil.Process]:
    """Return a process and all that it started."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return [process]


def run_and_kill(
    folder: Path, command: list[str], chance: random.Random, longest: float
) -> tuple[int | None, bool]:
    """Start a command and kill it at a random moment.

    Returns:
        Its exit status, None where it was killed; and whether a file was just being written.
    """
    log = (folder / "killed.log").open("w")
    process = psutil.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    at_a_write = chance.random() < 0.4
    files = [folder / name for name in WRITTEN_IN_PLACE]
    after, delay = chance.uniform(0, longest), chance.uniform(0, 0.02)
    deadline, before = time.monotonic() + after, stamps(files)
    written = False
    while process.poll() is None:
        if time.monotonic() > deadline:
            # Past the random moment: at once, or at the next write.
            if not at_a_write:
                break
            if (now := stamps(files)) != before or time.monotonic() > deadline + longest:
                written = now != before
                time.sleep(delay)
                break
            time.sleep(0.001)
        else:
            before = stamps(files)
            time.sleep(0.01)
    if process.poll() is not None:
        return process.returncode, False
    victims = tree(process)
    for victim in victims:  # none goes on while the next one dies
        send(victim, signal.SIGSTOP)
    for victim in {*victims, *tree(process)}:
        send(victim, signal.SIGKILL)
    process.wait(60)
    psutil.wait_procs([v for v in victims if v != process], timeout=60)
    return None, written


def send(process: psutil.Process, number: int) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


def stamps(files: list[Path]) -> list[tuple[int, int]]:
    """Return when files were written, and their sizes."""
    found = []
    for path in files:
        try:
            stat = path.stat()
            found.append((stat.st_mtime_ns, stat.st_size))
        except OSError:
            found.append((0, 0))
    return found


class Campaign:
    """A campaign that is killed until it ends."""

    def __init__(self, folder: Path, tally: Tally, chance: random.Random, longest: float) -> None:
        self.folder, self.tally, self.chance = folder, tally, chance
        self.shortest = self.longest = longest
        self.known = stamps([folder / "dvc.lock"])

    def fault(self, what: str, output: str) -> None:
        """Note what should not have happened, and keep the folder as it is."""
        kept = self.folder.with_name(f"{self.folder.name}-fault-{len(self.tally.faults)}")
        shutil.copytree(self.folder, kept, symlinks=True)
        self.tally.faults.append(f"{what}, see {kept}:\n{output[-2000:]}")
        print(self.tally.faults[-1], flush=True)

    def go_to_the_end(self, most_kills: int, *, people: bool) -> None:
        """Run it, killed up to so many times, and do what ``boxloop status`` says after each."""
        alone = not people and self.chance.random() < 0.5  # boxloop run mends by itself
        command = ["boxloop", "run"] if alone else ["dvc", "repro"]
        for _ in range(200):
            waits = self.waits_for() if people else None
            now = [sys.executable, "-c", SUBMIT, waits] if waits else command
            if most_kills > self.tally.kills:
                status, written = run_and_kill(
                    self.folder, now, self.chance, 3.0 if waits else self.longest
                )
                output = (self.folder / "killed.log").read_text(errors="replace")
            else:
                done = run(self.folder, *now)
                status, written, output = done.returncode, False, done.stdout + done.stderr
            if status is None:
                self.tally.kills += 1
                self.tally.while_written += written
                # Where no stage comes to its end in that time, the next one has longer.
                self.longest = self.shortest if self.has_gone_on() else 1.5 * self.longest
            elif status == 0 and not waits:
                return
            elif status != 0 and not (people and "waits for its review" in output):
                self.fault(f"{' '.join(now[:2])} ended with {status}", output)
                if len(self.tally.faults) > 5:
                    raise SystemExit("too many faults")
            self.do_what_status_says(alone=alone)
        raise SystemExit(f"{self.folder} never ends")

    def has_gone_on(self) -> bool:
        """Return whether a stage has ended since this was asked."""
        before, self.known = self.known, stamps([self.folder / "dvc.lock"])
        return before != self.known

    def waits_for(self) -> str | None:
        """Return the batch that waits for a person, by ``boxloop status``."""
        done = run(self.folder, "boxloop", "status")
        found = re.search(r"Next: boxloop review (\w+)", done.stdout)
        return found[1] if found else None

    def do_what_status_says(self, *, alone: bool) -> None:
        """Ask ``boxloop status``, and mend where it says so."""
        done = run(self.folder, "boxloop", "status")
        if done.returncode != 0 or "Traceback" in done.stderr:
            self.fault("boxloop status failed", done.stdout + done.stderr)
        step = re.findall(r"^Next: .*|^Every batch.*", done.stdout, re.MULTILINE)
        print(f"  {self.tally.kills} kills: {' '.join(step)[:70]}", flush=True)
        for name in re.findall(r"^- (\S+) was (?:cut|not made)", done.stdout, re.MULTILINE):
            base = Path(name).name
            self.tally.mended[base] = self.tally.mended.get(base, 0) + 1
        if "Next: boxloop mend" in done.stdout and not alone:
            mended = run(self.folder, "boxloop", "mend")
            if mended.returncode != 0:
                self.fault("boxloop mend failed", mended.stdout + mended.stderr)
        elif not re.search(r"^(Next: |Every batch is done)", done.stdout, re.MULTILINE):
            self.fault("boxloop status names no way on", done.stdout)
        elif "bring the damaged files back" in done.stdout:
            self.fault("boxloop status found a damaged file", done.stdout)


def main() -> None:
    """Kill, compare, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longest", type=float, default=12.0, help="seconds until a kill, at most")
    options = parser.parse_args()
    chance, tally = random.Random(options.seed), Tally()
    root = Path(tempfile.mkdtemp(prefix="boxloop-kills-"))
    wanted = {}
    for people in (False, True):
        folder = root / f"unkilled-{people}"
        make(folder, people=people)
        Campaign(folder, tally, chance, options.longest).go_to_the_end(0, people=people)
        wanted[people] = snapshot(folder)
    print("two campaigns without a kill are done", flush=True)
    while tally.kills < options.kills:
        people = tally.campaigns % 2 == 1
        folder = root / f"killed-{tally.campaigns}"
        make(folder, people=people)
        campaign = Campaign(folder, tally, chance, options.longest)
        campaign.go_to_the_end(options.kills, people=people)
        tally.campaigns += 1
        found = snapshot(folder)
        other = [name for name in wanted[people] if found.get(name) != wanted[people][name]]
        if other or set(found) != set(wanted[people]):
            campaign.fault("other results than without kills", f"{other}")
        elif not tally.faults:
            shutil.rmtree(folder)
        print(
            f"{tally.kills} kills ({tally.while_written} in a write), {tally.campaigns} campaigns,"
            f" mended: {tally.mended}, faults: {len(tally.faults)}",
            flush=True,
        )
    if tally.faults:
        raise SystemExit(f"{len(tally.faults)} faults, see {root}")
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
