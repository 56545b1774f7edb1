"""What a worker process does for a study: one job, from files to files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from boxloop import pipeline
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.distributed.performing import Tell
from boxloop.files import MOST_BYTES, SIMNET, read_text, write_text
from boxloop.params import Params, check
from boxloop.terminal import Report


def do(job: Mapping[str, Any], tell: Tell) -> None:
    """Do a job of ``boxloop.study.jobs``.

    Args:
        job: what to do.
        tell: told of its progress.

    Raises:
        BoxloopError: it cannot be done; what was finished is kept.
    """

    @contextmanager
    def reporting(what: str) -> Iterator[Report]:
        yield lambda done, total, **_: tell(what, done, total)

    files = {name: Path(path) for name, path in job.get("files", {}).items()}
    if "out" in files and files["out"].exists():
        return  # another process, which the study knows nothing of, has done it meanwhile
    paths = CampaignPaths(Path(job.get("folder", "")))
    campaign = Campaign(paths, check(Params, job["params"], "study.yaml"), files, reporting)
    if job["kind"] == "simnet":
        pipeline.simnet(campaign)
    elif job["kind"] == "features":
        pipeline.features(campaign)
    elif job["kind"] == "order":
        pipeline.order(campaign, job["image_ids"])
    else:
        _run_cell(job, replace(campaign, say=lambda _: None))


def _run_cell(job: Mapping[str, Any], campaign: Campaign) -> None:
    from boxloop.study.cell import run
    from boxloop.study.cell_files import Held

    held = job["held"] and Held(CampaignPaths(Path(job["held"]["folder"])), job["held"]["digest"])
    if job["simnet"]:
        log = read_text(Path(job["simnet"]), MOST_BYTES)
        write_text(campaign.paths.simnet_log, log, SIMNET)  # a cell that goes on has it
    order, checkpoints = Path(job["order"]), job["checkpoints"]
    run(campaign, job["counted"], order, held, checkpoints=checkpoints)
