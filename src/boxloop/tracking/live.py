"""Show a training in MLflow while it runs, by a process of its own.

The process that trains imports no MLflow and waits for nobody: it writes a line per row of losses
to a pipe, and what reads them (:mod:`boxloop.tracking.live_writer`) logs them at a low priority.
When the pipe ends, so does that process, whatever became of the training. The run that it leaves is
completed by the stage ``finish``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from boxloop.campaign.digests import training_digest
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.training_log import LossRows, StepProgress
from boxloop.params import Params

_PATIENCE = 30.0
"""Seconds that a training runs before it is shown: importing MLflow takes three of one core, and
nobody opens a browser for what is over by then."""

_LAST_WORDS = 10.0
"""Seconds that the writer has at the end, for what it has not logged yet."""


@contextmanager
def following(
    paths: CampaignPaths,
    params: Params,
    turn: str,
    made_of: Mapping[str, str],
    *,
    enabled: bool = True,
    patience: float = _PATIENCE,
) -> Iterator[StepProgress]:
    """Have MLflow show the training of a turn, which calls what is yielded after every step.

    Whatever fails in that is said once on standard error, and does not concern the training.

    Args:
        paths: where the campaign's files are.
        params: of the campaign; ``track`` says whether trainings are shown.
        turn: whose training it is.
        made_of: digests of what it is trained by.
        enabled: False shows nothing, for all but one of several processes that work together.
        patience: seconds that the training runs before anything is started.
    """
    if not (enabled and params.track.enabled and params.track.live):
        yield lambda step, steps, loss: None
        return
    told = {
        "root": paths.root.absolute().as_posix(),
        "params": params.model_dump(mode="json"),
        "turn": turn,
        "training": training_digest(made_of),
        "process": os.getpid(),
    }
    follower = _Follower(told, patience)
    try:
        yield follower.step
        follower.end(done=True)
    except BaseException:
        follower.end(done=False)
        raise


class _Follower:
    """Collects the rows of a training, and writes them to a process that logs them."""

    def __init__(self, told: dict[str, Any], patience: float) -> None:
        self._told, self._patience = told, patience
        self._began: float | None = None
        self._rows: LossRows | None = None
        self._unsent = bytearray()
        self._process: subprocess.Popen[bytes] | None = None
        self._gone = False

    def step(self, step: int, steps: int, loss: float) -> None:
        """Take down a step."""
        now = time.time()
        if self._began is None or self._rows is None:
            self._began, self._rows = now, LossRows(steps)
            self._say({**self._told, "began": round(1000 * now)})
        # The rows are those of the training's log: the run is completed by it.
        if (row := self._rows.add(step, loss)) is not None:
            self._say({"step": step, "losses": row, "time": round(now - self._began, 3)})
        if self._process is None and not self._gone and now - self._began >= self._patience:
            self._start()
        self._send()

    def end(self, *, done: bool) -> None:
        """Let the process log the rest and end."""
        if self._process is None:
            return
        self._say({"done": done})
        until = time.monotonic() + _LAST_WORDS
        while self._unsent and not self._gone and time.monotonic() < until:
            self._send()
            time.sleep(0.05)
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            # What waits for a server that does not answer must not make a run later on.
            self._process.kill()
            self._process.wait()

    def _say(self, content: Mapping[str, Any]) -> None:
        self._unsent += json.dumps(content).encode() + b"\n"

    def _start(self) -> None:
        command = [sys.executable, "-m", "boxloop.tracking.live_writer"]
        # It computes nothing, and the cores are the training's.
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                bufsize=0,
            )
        except OSError as error:
            self._gone = True
            print(f"boxloop: this training is not shown in MLflow: {error}", file=sys.stderr)
            return
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)

    def _send(self) -> None:
        """Write what the pipe takes without waiting."""
        if self._process is None or self._gone:
            return
        assert self._process.stdin is not None
        with suppress(BlockingIOError):
            try:
                while self._unsent:
                    sent = os.write(self._process.stdin.fileno(), self._unsent)
                    del self._unsent[:sent]
            except BrokenPipeError:  # it has said why it ended
                self._gone = True
