"""Run jobs that depend on each other on the workers of Dask, each of which has one at a time.

Dask starts the workers, watches them, starts local ones again, and carries jobs, results and
progress. Which job goes to which worker is decided here: a job is an hour's work, so nothing is
given out ahead, and one that was lost with its worker is counted by itself.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from uuid import uuid4

from boxloop.distributed.performing import Outcome, Work, perform
from boxloop.distributed.places import Connection, Place
from boxloop.errors import BoxloopError, ProcessError

TRIES = 3
"""How many workers may be lost with a job until it has failed."""

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_WITHOUT_WORKERS = 600.0

_SECONDS_TO_END = 60.0
"""For the connection to be closed after a stop."""


@dataclass(frozen=True)
class Job:
    """A task for a worker process.

    Attributes:
        name: unique among the jobs.
        work: a function of a module, which all workers have.
        content: its argument; all paths are absolute.
        needs: names of jobs that must finish first; names of no job count as finished.
        lock: a file that no two workers may hold at once, not even one that the scheduler has lost.
        reads: files of the needed jobs.
    """

    name: str
    work: Work
    content: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    lock: Path | None = None
    reads: tuple[Path, ...] = ()


OnProgress = Callable[[Job, str, int, int], None]
OnEnd = Callable[[Job, str | None, Outcome], None]


@dataclass
class _Running:
    """A job at a worker; ``log`` is where to look when it is gone."""

    job: Job
    future: Any
    log: str


@dataclass
class _State:
    waiting: list[Job]
    running: dict[str, _Running] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)


class Jobs:
    """Runs jobs at a place, once."""

    def __init__(
        self,
        jobs: Sequence[Job],
        on_progress: OnProgress,
        on_end: OnEnd,
        say: Callable[[str], object],
    ) -> None:
        """Prepare.

        Args:
            jobs: in the order in which they start.
            on_progress: called with (job, step, done, total), from a thread of its own; at its
                beginning with an empty step.
            on_end: called with a finished job, None and its outcome, or a failed one and its error
                message, from the same thread. If it raises BoxloopError or OSError, the job has
                failed.
            say: called with messages for the user, from the same thread.
        """
        self._jobs, self._on_progress, self._on_end, self._say = jobs, on_progress, on_end, say
        self._topic = f"boxloop-{uuid4().hex}"
        self._messages = SimpleQueue[Any]()
        self._state = _State(list(jobs))
        self._fit: dict[str, bool] = {}
        self._stopped = False

    def run(self, place: Place, meanwhile: Callable[[], None] = lambda: None) -> dict[str, str]:
        """Run all jobs; if one fails, those that need it fail, and all others still run.

        Args:
            place: whose workers do them.
            meanwhile: called repeatedly by the waiting thread.

        Returns:
            The error message of each failed job, by its name.

        Raises:
            ProcessError: there are no workers, or no scheduler any more.
        """
        ended: Future[None] = Future()

        def go() -> None:
            try:
                self._run(place)
                ended.set_result(None)
            except BaseException as error:
                ended.set_exception(error)

        # No thread that Python waits for: a scheduler may keep silent for good.
        threading.Thread(target=go, daemon=True).start()
        try:
            while not ended.done():
                # A wait without a timeout would block Ctrl-C.
                wait([ended], 0.2)
                meanwhile()
            ended.result()
            return self._state.failed
        finally:
            self._stopped = True
            self._messages.put(None)
            wait([ended], _SECONDS_TO_END)

    def _run(self, place: Place) -> None:
        """Give each free worker the next job that can start, until none is left."""
        state = self._state
        with place(lambda: self._stopped) as connection:
            connection.client.subscribe_topic(
                self._topic, lambda event: self._messages.put(event[1])
            )
            looked = seen = time.monotonic()
            workers = self._look(connection)
            while not self._stopped:
                self._fail_those_in_need()
                for address in workers:
                    if address not in state.running and (job := self._next()) is not None:
                        self._start(connection, job, address)
                if not state.running and not state.waiting:
                    break
                with suppress(Empty):
                    self._take_in(self._messages.get(timeout=_SECONDS_BETWEEN_LOOKS))
                if time.monotonic() - looked >= _SECONDS_BETWEEN_LOOKS:
                    workers, looked = self._look(connection), time.monotonic()
                    seen = looked if workers else seen
                    if looked - seen > _SECONDS_WITHOUT_WORKERS:
                        raise ProcessError(f"{connection.where} has no workers any more")
            connection.client.cancel([r.future for r in state.running.values()])

    def _look(self, connection: Connection) -> list[str]:
        """Return the workers that can take part; give up the jobs of those that are gone."""
        there = connection.workers()
        if new := [address for address in there if address not in self._fit]:
            unfit = connection.unfit(new)
            self._fit |= {address: address not in unfit for address in new}
            for address, why in unfit.items():
                self._say(f"note: the worker {address} takes no part: {why}")
        for address, running in list(self._state.running.items()):
            if address in there and running.future.status not in ("cancelled", "lost"):
                if running.future.done():
                    self._messages.put(running.future)  # its result did not come through before
                continue
            del self._state.running[address]
            connection.client.cancel([running.future])
            name = running.job.name
            count = self._state.lost[name] = self._state.lost.get(name, 0) + 1
            if count >= TRIES:
                why = (
                    f"its worker was ended from outside {count} times (out of memory?); see"
                    f" {running.log}"
                )
                self._end(running.job, why, Outcome())
            else:
                self._say(f"{name}: its worker was ended from outside; begun again")
                self._state.waiting.insert(0, running.job)
        return [address for address in there if self._fit[address]]

    def _next(self) -> Job | None:
        """Take the next job that needs nothing any more."""
        pending = {job.name for job in self._state.waiting}
        pending |= {running.job.name for running in self._state.running.values()}
        for job in self._state.waiting:
            if not pending & set(job.needs):
                self._state.waiting.remove(job)
                return job
        return None

    def _start(self, connection: Connection, job: Job, address: str) -> None:
        future = connection.client.submit(
            perform,
            pickle.dumps((job.work, job.content)),
            job.name,
            self._topic,
            str(job.lock) if job.lock else None,
            [str(path) for path in job.reads],
            workers=[address],
            pure=False,
            key=f"boxloop-{uuid4().hex}",
        )
        self._state.running[address] = _Running(job, future, connection.logs)
        future.add_done_callback(self._messages.put)

    def _take_in(self, message: Any) -> None:
        """Take in an event, or a future that is done."""
        running = self._state.running
        if isinstance(message, Mapping):
            now = next((r for r in running.values() if r.job.name == message["job"]), None)
            if now is not None and "what" in message:
                self._on_progress(now.job, message["what"], message["done"], message["total"])
            elif now is not None:
                now.log = message["log"]
                self._on_progress(now.job, "", 0, 1)
            return
        address = next((a for a, r in running.items() if r.future is message), None)
        if message is None or address is None:
            return
        try:
            outcome = message.result(timeout=30)
        except (CancelledError, OSError, TimeoutError):
            return  # lost with its worker or with the scheduler, or late: the next look tells
        except Exception as error:
            outcome = Outcome(error=f"{type(error).__name__}: {error}")
        self._end(running.pop(address).job, outcome.error, outcome)

    def _end(self, job: Job, why: str | None, outcome: Outcome) -> None:
        try:
            self._on_end(job, why, outcome)
        except (BoxloopError, OSError) as error:
            why = str(error)
        if why is not None:
            self._state.failed[job.name] = why

    def _fail_those_in_need(self) -> None:
        """Fail the jobs that wait for one that failed."""
        waiting, failed = self._state.waiting, self._state.failed
        while lack := next(((j, n) for j in waiting for n in j.needs if n in failed), None):
            waiting.remove(lack[0])
            why = f"it needs {lack[1]}, which failed: {failed[lack[1]]}"
            self._end(lack[0], why, Outcome())
