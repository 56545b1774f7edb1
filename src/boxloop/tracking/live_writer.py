"""The process that logs a training while it runs; see :mod:`boxloop.tracking.live`."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from boxloop.campaign.digests import campaign_fingerprint, dataset_digest
from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.errors import BoxloopError, TrackingError
from boxloop.params import Params
from boxloop.tracking.machine_load import MachineLoad
from boxloop.tracking.mlflow_store import PARENT, Store, open_store
from boxloop.tracking.store_uri import campaign_identity
from boxloop.tracking.track_turn import BATCH_TAG, CAMPAIGN_TAG, CONTENT_TAG, LIVE_TAG, origin_tags
from boxloop.tracking.turn_record import Point

_BETWEEN_WRITES, _BETWEEN_SAMPLES = 5.0, 10.0
"""Seconds."""

_TRIES, _BETWEEN_TRIES = 3, 20.0
"""How often a store is tried that cannot be written to, and the seconds between."""

_LOW_PRIORITY = 10


class _Lines:
    """Lines of JSON from a pipe, read without waiting longer than asked."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self._rest = pipe, b""
        self.ended = False

    def read(self, seconds: float) -> list[dict[str, Any]]:
        """Return the lines that came; wait so long for the first one."""
        if self.ended or not select.select([self._pipe], [], [], max(0.0, seconds))[0]:
            return []
        data = os.read(self._pipe, 1 << 20)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


class _Writer:
    """Logs one training, over as many connections to the store as it takes."""

    def __init__(self, lines: _Lines, told: dict[str, Any]) -> None:
        self._lines, self._told = lines, told
        self._params = Params.model_validate(told["params"])
        self._paths = CampaignPaths(Path(told["root"]))
        self._began: int = told["began"]
        self._load = MachineLoad(told["process"])
        self._points: list[Point] = []  # that are not logged yet
        self._next_sample = time.monotonic()
        self._last = (0, 0.0)  # step and seconds of the last speed
        self._run: str | None = None
        self.done: bool | None = None

    def work(self) -> None:
        """Log until the training ends.

        Raises:
            TrackingError: MLflow cannot be written to, and was tried several times.
            ArtifactError: the campaign's files cannot be read.
        """
        workspace = workspace_of(self._paths.root)
        fingerprint = campaign_fingerprint(self._params, dataset_digest(self._paths))
        identity, tries = campaign_identity(fingerprint, workspace), 0
        while True:
            try:
                with open_store(workspace, self._params.track.experiment, _unheard) as store:
                    self._follow(store, identity)
                return
            except TrackingError:
                tries += 1
                if tries == _TRIES:
                    raise
                self._listen(_BETWEEN_TRIES)
                if self.done is not None:
                    raise

    def _follow(self, store: Store, identity: str) -> None:
        self._listen(0.0)
        if self._run is None and self.done is not None:
            return  # over before there was anything to look at
        if self._run is None:
            self._run = self._begin(store, identity)
        while True:
            points = list(self._points)
            store.log_points(self._run, points)
            del self._points[: len(points)]
            if self.done is not None and not self._points:
                store.finish(self._run, _now(), "FINISHED" if self.done else "KILLED")
                return
            self._listen(_BETWEEN_WRITES)

    def _begin(self, store: Store, identity: str) -> str:
        """Create the run, in place of what earlier trainings of this turn left that were killed."""
        turn, track = self._told["turn"], self._params.track
        parents = store.runs({CAMPAIGN_TAG: identity})
        if parents:
            parent = str(parents[0].info.run_id)
        else:
            parent = store.create(track.campaign, {CAMPAIGN_TAG: identity}, self._began)
        for run in store.runs({PARENT: parent, BATCH_TAG: turn}):
            if LIVE_TAG in run.data.tags and CONTENT_TAG not in run.data.tags:
                store.delete(run.info.run_id)
        tags = {PARENT: parent, BATCH_TAG: turn, LIVE_TAG: self._told["training"]}
        return store.create(turn, {**tags, **origin_tags(self._paths.root)}, self._began)

    def _listen(self, seconds: float) -> None:
        """Take down for some seconds what the training says, and the machine's load."""
        until = time.monotonic() + seconds
        while True:
            for line in self._lines.read(until - time.monotonic()):
                self.take(line)
            if self._lines.ended and self.done is None:
                self.done = False
            if self.done is not None or time.monotonic() >= until:
                break
        if self.done is None and time.monotonic() >= self._next_sample:
            self._next_sample = time.monotonic() + _BETWEEN_SAMPLES
            self._sample()

    def take(self, line: dict[str, Any]) -> None:
        """Take down a line of the training's."""
        if "done" in line:
            self.done = line["done"]
            return
        step, seconds = line["step"], line["time"]
        moment = self._began + round(1000 * seconds)
        for name, loss in line["losses"].items():
            self._points.append(Point(f"loss/{name}", loss, step, moment))
        before, when = self._last
        if seconds - when >= _BETWEEN_WRITES:
            # The first row's time is that of its end: it began with the training.
            speed = (step - before) * self._params.train.batch_size / (seconds - when)
            self._points.append(Point("system/images_per_second", speed, step, moment))
            self._last = (step, seconds)

    def _sample(self) -> None:
        now = _now()
        number = round((now - self._began) / 1000)
        for name, value in self._load.sample().items():
            self._points.append(Point(name, value, number, now))


def _now() -> int:
    return round(1000 * time.time())


def _unheard(_: str) -> None:
    pass


def main() -> None:
    """Log the training that standard input tells of."""
    # Ctrl-C is for the training, whose end ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.nice(_LOW_PRIORITY)
    lines = _Lines(sys.stdin.fileno())
    told: list[dict[str, Any]] = []
    while not told and not lines.ended:
        told = lines.read(1.0)
    if not told:
        return
    first, *more = told
    writer = _Writer(lines, first)
    for line in more:
        writer.take(line)
    try:
        writer.work()
    except BoxloopError as error:
        print(f"boxloop: the training goes on, unseen by MLflow: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
