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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from boxloop import pipeline
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import BoxloopError
from boxloop.files import write_text
from boxloop.params import Params, check
from boxloop.terminal import Report

_Job = Mapping[str, Any]
_Send = Callable[[Mapping[str, Any]], None]


def main() -> None:
    """Do the jobs until there are no more."""
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
    @contextmanager
    def reporting(what: str) -> Iterator[Report]:
        yield lambda done, total, **_: send({"what": what, "done": done, "total": total})

    try:
        paths = CampaignPaths(Path(job.get("folder", "")))
        files = {name: Path(path) for name, path in job.get("files", {}).items()}
        params = check(Params, job["params"], "study.yaml")
        campaign = Campaign(paths, params, files, reporting=reporting)
        if job["kind"] == "simnet":
            pipeline.simnet(campaign)
        elif job["kind"] == "features":
            pipeline.features(campaign)
        elif job["kind"] == "order":
            pipeline.order(campaign, job["image_ids"])
        else:
            _run_cell(job, replace(campaign, say=lambda _: None))
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


def _run_cell(job: _Job, campaign: Campaign) -> None:
    from boxloop.study.cell import run
    from boxloop.study.cell_files import Held

    held = job["held"] and Held(CampaignPaths(Path(job["held"]["folder"])), job["held"]["digest"])
    if job["simnet"]:
        log = Path(job["simnet"]).read_text(encoding="utf-8")
        write_text(campaign.paths.simnet_log, log)
    order, checkpoints = Path(job["order"]), job["checkpoints"]
    run(campaign, job["counted"], order, held, checkpoints=checkpoints)


if __name__ == "__main__":
    main()
