"""Replays one campaign with several orderings and seeds, and writes the table of what each saved.

Every cell is a campaign folder of its own, made by ``boxloop init`` and run by ``dvc repro``. A
finished cell is not run again, so the command goes on where it was stopped.

    python benchmarks/compare_orderings.py --out /tmp/orderings --jobs 2 \
        --strategies similar dissimilar random temporal --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the campaigns")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml")
    parser.add_argument("--strategies", nargs="+", default=["random", "dissimilar"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--set", nargs="*", default=[], help="section.key=value for every cell")
    parser.add_argument("--jobs", type=int, default=1, help="campaigns side by side")
    arguments = parser.parse_args()
    cells = [(s, seed) for seed in arguments.seeds for s in arguments.strategies]
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        results = list(pool.map(lambda cell: run_cell(arguments, *cell, threads), cells))
    print(table(dict(zip(cells, results, strict=True)), arguments.strategies, arguments.seeds))


def run_cell(arguments: argparse.Namespace, strategy: str, seed: int, threads: int) -> dict:
    folder = arguments.out.resolve() / f"{strategy}-{seed}"
    done = folder / "cell.json"
    if done.exists():
        return json.loads(done.read_text())
    environment = {
        **os.environ,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": str(threads),
    }
    if not (folder / "params.yaml").exists():
        sets = [
            f"order.strategy={strategy}",
            f"order.seed={seed}",
            f"train.seed={seed}",
            "track.enabled=false",
            *arguments.set,
        ]
        options = [part for value in sets for part in ("--set", value)]
        command = ["boxloop", "init", str(folder), "--params", str(arguments.params), *options]
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    started = time.time()
    with (folder / "repro.log").open("a") as log:
        subprocess.run(
            ["dvc", "repro"], cwd=folder, env=environment, check=True, stdout=log, stderr=log
        )
    result = json.loads((folder / "metrics.json").read_text())
    result["minutes"] = (time.time() - started) / 60
    done.write_text(json.dumps(result))
    saved = ", ".join(f"{v:.1%} at IoU {k}" for k, v in result["wt_reduction"].items())
    print(f"{folder.name}: WT saved {saved}, {result['minutes']:.1f} minutes", file=sys.stderr)
    return result


def table(results: dict, strategies: list[str], seeds: list[int]) -> str:
    """Mean and standard deviation over the seeds, and each seed's value, as Markdown."""
    thresholds = list(next(iter(results.values()))["wt_reduction"])
    lines = [
        f"| ordering | IoU | WT saved, mean ± sd of {len(seeds)} (%) | each seed"
        f" | WB saved, mean ± sd (%) | each seed |",
        "|---|---|---|---|---|---|",
    ]
    for threshold in thresholds:
        for strategy in strategies:
            cells = [strategy, threshold]
            for measure in ("wt_reduction", "wb_reduction"):
                values = [100 * results[strategy, s][measure][threshold] for s in seeds]
                spread = statistics.stdev(values) if len(values) > 1 else float("nan")
                cells.append(f"{statistics.mean(values):.1f} ± {spread:.1f}")
                cells.append(", ".join(f"{value:.1f}" for value in values))
            lines.append("| " + " | ".join(cells) + " |")
    minutes = [result["minutes"] for result in results.values()]
    lines += ["", f"Minutes per campaign: {min(minutes):.1f} to {max(minutes):.1f}."]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
