"""Run the pending cells in parallel."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from boxloop import __version__
from boxloop.campaign.paths import CampaignPaths
from boxloop.distributed.jobs import Job, Jobs
from boxloop.distributed.performing import Outcome
from boxloop.distributed.places import at, here
from boxloop.files import write_json
from boxloop.study.grid import Cell
from boxloop.study.jobs import jobs_of
from boxloop.study.results import workload_rows
from boxloop.study.study import Study
from boxloop.study.tracking import StudyTracker
from boxloop.terminal import percent, reporting

Print = Callable[[str], object]


def compute(
    study: Study,
    left: Sequence[Cell],
    jobs: int | None,
    on: str | None,
    tracker: StudyTracker,
    say: Print,
) -> dict[str, str]:
    """Compute cells and what they depend on; if one fails, the others still run.

    Args:
        study: the study.
        left: the cells to compute.
        jobs: how many in parallel on this machine; None takes one per GPU, or one.
        on: the scheduler whose workers compute instead, if any.
        tracker: told about each finished cell.
        say: called with messages for the user.

    Returns:
        The error message of each failed cell, by its name.
    """
    # Several jobs read these files, so they are written before the first one starts.
    study.whole.write(CampaignPaths(study.shared))
    if study.held is not None and study.test is not None:
        study.test.write(study.held.paths)
    work = jobs_of(study, left)
    if on is not None:
        place = at(on, study.root)
    else:
        gpus = _gpus(left)
        size = min(jobs or max(1, len(gpus)), len(work))
        place = here(size, gpus=gpus, logs=study.root / "logs")
    turns = sum(len(cell.params.iterations) for cell in left)
    by_name = {cell.name: cell for cell in left}
    finished: dict[str, int] = {}

    with reporting("turns of all cells") as report:

        def progressed(job: Job, what: str, count: int, total: int) -> None:
            if not what and job.content["kind"] in ("simnet", "features"):
                say(f"{job.name}: begun")
            elif what == "turn":
                finished[job.name] = count
                report(sum(finished.values()), turns)
            elif what and sys.stderr.isatty():
                report(sum(finished.values()), turns, **{what: count / total})

        def ended(job: Job, why: str | None, outcome: Outcome) -> None:
            if why is not None:
                say(f"{job.name} failed: {why}")
            elif job.name in by_name:
                cell = by_name[job.name]
                _write_mark(study, cell, outcome)
                say(_saved(study, cell))
                tracker.done.put(cell)

        failed = Jobs(work, progressed, ended, say).run(place, tracker.track_one)
    return {name: why for name, why in failed.items() if name in by_name}


def _gpus(left: Sequence[Cell]) -> list[str]:
    """Return the GPUs for CUDA_VISIBLE_DEVICES; none where params name devices."""
    params = [cell.params for cell in left]
    devices = {s.device for p in params for s in (p.train, p.propose, p.features, p.simnet)}
    if devices != {"auto"}:
        return []
    import torch  # takes seconds

    if not torch.cuda.is_available():
        return []
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [name.strip() for name in given.split(",")] if given else []
    return names or [str(i) for i in range(torch.cuda.device_count())]


def _write_mark(study: Study, cell: Cell, outcome: Outcome) -> None:
    """Write cell.json: the cell is finished, and what it depended on."""
    write_json(
        study.paths(cell).root / "cell.json",
        {
            "name": cell.name,
            "inputs": cell.inputs,
            "counted": cell.counted,
            "turns": list(cell.params.iterations),
            "seconds": outcome.seconds,
            "machine": outcome.machine,
            "boxloop": __version__,
        },
    )


def _saved(study: Study, cell: Cell) -> str:
    rows = [r for r in workload_rows(cell, study.paths(cell)) if r["shown"]]
    parts = (f"{percent(r['wt_reduction'])} of W_T at IoU {r['iou']:g}" for r in rows)
    return f"{cell.name}: saved {', '.join(parts)}"
