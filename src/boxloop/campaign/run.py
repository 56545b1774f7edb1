"""Alternate in one sitting: DVC trains and proposes, a person reviews."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import psutil

from boxloop.campaign import mending
from boxloop.campaign.at_work import dvc_at_work, only_run, wait_for_dvc
from boxloop.campaign.dvc import DVC, environment
from boxloop.campaign.paths import CampaignPaths
from boxloop.datasets.obstacles import find_obstacle
from boxloop.errors import UserError
from boxloop.files import read_text

_SECONDS_TO_END = 5.0


def alternate(
    paths: CampaignPaths,
    review: Callable[[str], object],
    say: Callable[[str], object],
    dataset: Path | None = None,
    beside: Callable[[str], AbstractContextManager[None]] = lambda key: nullcontext(),
) -> None:
    """Run ``dvc repro`` and ``review`` a batch in turn, until every batch is done.

    ``review`` opens the session of a batch, and returns when it is submitted. A DVC that somebody
    else runs in the campaign goes first.

    Args:
        paths: of the campaign.
        review: opens the session of a batch.
        say: told what a person may want to know.
        dataset: the folder of the images, to say what in it DVC stops at.
        beside: what goes on while a batch is reviewed, and ends with it.

    Raises:
        UserError: DVC failed for another reason than a batch that waits; its own output says why.
            Or another one alternates in this campaign, or its dvc.yaml is of no use.
    """
    unusable = mending.older_pipeline(paths.root) or mending.conflict(paths.root)
    if unusable is not None:
        raise UserError(unusable)
    with only_run(paths):
        _alternate(paths, review, say, dataset, beside)


def _alternate(
    paths: CampaignPaths,
    review: Callable[[str], object],
    say: Callable[[str], object],
    dataset: Path | None,
    beside: Callable[[str], AbstractContextManager[None]],
) -> None:
    while True:
        wait_for_dvc(paths.root, say)
        mending.mend(paths, say)
        paths.pending.unlink(missing_ok=True)
        if _repro(paths.root) == 0:
            say("Every batch is done. Results: data/report/report.html")
            return
        if not paths.pending.exists():
            if dvc_at_work(paths.root) is not None:
                continue  # it began just before, and was in the way
            stopped = None if dataset is None else find_obstacle(paths.root / dataset)
            if stopped is not None:
                raise UserError(f"'dvc repro' failed: {stopped}; then 'boxloop run' goes on")
            raise UserError(
                "'dvc repro' failed, see above: put that right, and 'boxloop run' goes on"
            )
        key = read_text(paths.pending).strip()
        with beside(key):
            review(key)


def _repro(folder: Path) -> int:
    process = subprocess.Popen([*DVC, "repro"], cwd=folder, env=environment())
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return process.wait()
    except BaseException as stop:
        # Ctrl-C reaches DVC and its stage from the terminal; a signal to this process does not.
        if not isinstance(stop, KeyboardInterrupt):
            _interrupt(process)
        _wait_for_end(process)
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(process: subprocess.Popen[bytes]) -> None:
    """Interrupt DVC and its stage: while one runs, DVC itself ignores the signal."""
    with contextlib.suppress(psutil.Error):
        dvc = psutil.Process(process.pid)
        for running in [*dvc.children(recursive=True), dvc]:
            with contextlib.suppress(psutil.Error):
                running.send_signal(signal.SIGINT)


def _wait_for_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until DVC ended, and interrupt it again where it has gone on to another stage."""
    while True:
        try:
            process.wait(_SECONDS_TO_END)
            return
        except subprocess.TimeoutExpired:
            _interrupt(process)
