"""The process that computes: one job after another, as lines of JSON.

    python -m boxloop.study.worker

A job comes in on standard input; what becomes of it goes out on standard output. When standard
input closes, because the study has ended or was killed, this process ends at once, whatever it is
at, and everything that it finished is on disk.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from boxloop import pipeline
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import BoxloopError
from boxloop.files import write_text
from boxloop.params import Params, check_params

_Job = Mapping[str, Any]
_Send = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """Does the jobs until there are no more."""
    # The study decides when to stop; a Ctrl-C reaches every process of the terminal.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    jobs: SimpleQueue[_Job] = SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What libraries print is for the log, which standard error goes to.
    os.dup2(2, 1)

    def send(message: Mapping[str, Any]) -> None:
        print(json.dumps(message), file=out, flush=True)

    while True:
        _do(jobs.get(), send)


def _listen(jobs: SimpleQueue[_Job]) -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    os._exit(0)


def _do(job: _Job, send: _Send) -> None:
    def say(what: str, done: int, total: int) -> None:
        send({"what": what, "done": done, "total": total})

    try:
        params = check_params(job["params"], "study.yaml")
        {"simnet": _simnet, "features": _features, "order": _order, "cell": _cell}[job["kind"]](
            job, params, say
        )
    except BoxloopError as error:
        send({"error": str(error)})
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        send({"error": f"{place}{error.strerror or error}"})
    except Exception as error:
        # A fault of boxloop's own, or of a library: the other cells are worth having all the same.
        traceback.print_exc()
        send({"error": f"{type(error).__name__}: {error}", "unexpected": True})
    else:
        send({"finished": True})


_Say = Callable[[str, int, int], None]


def _simnet(job: _Job, params: Params, say: _Say) -> None:
    pipeline.simnet(_stage(job, params, say, "images", "out", "log"))


def _features(job: _Job, params: Params, say: _Say) -> None:
    pipeline.features(_stage(job, params, say, "images", "simnet", "out"))


def _order(job: _Job, params: Params, say: _Say) -> None:
    pipeline.order(_stage(job, params, say, "features", "out"), job["image_ids"])


def _stage(job: _Job, params: Params, say: _Say, *names: str) -> Campaign:
    """Return what a stage works on outside a cell: the files that the job names."""
    from boxloop.study.cell import reporting_to

    files = {name: Path(job[name]) for name in names if job[name]}
    return Campaign(CampaignPaths(), params, files, reporting=reporting_to(say))


def _cell(job: _Job, params: Params, say: _Say) -> None:
    from boxloop.study.cell import run
    from boxloop.study.cell_files import Held

    held, paths = job["held"], CampaignPaths(Path(job["folder"]))
    if job["simnet"]:
        write_text(paths.simnet_log, Path(job["simnet"]).read_text(encoding="utf-8"))
    run(
        paths,
        params,
        job["counted"],
        Path(job["order"]),
        None if held is None else Held(CampaignPaths(Path(held["folder"])), held["digest"]),
        checkpoints=job["checkpoints"],
        say=say,
    )


if __name__ == "__main__":
    main()
