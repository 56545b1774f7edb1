"""Run jobs that depend on each other in several worker processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from boxloop.errors import BoxloopError

_SECONDS_TO_END = 3.0
_WORKER = [sys.executable, "-m", "boxloop.study.worker"]


@dataclass(frozen=True)
class Job:
    """A task for a worker process.

    Attributes:
        name: unique among the jobs.
        content: its message to the worker.
        needs: names of jobs that must finish first; names of no job count as finished.
    """

    name: str
    content: Mapping[str, Any]
    needs: tuple[str, ...] = ()


@dataclass
class _State:
    """The state that the threads share, guarded by ``changed``."""

    waiting: list[Job]
    names: frozenset[str]
    finished: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    changed: threading.Condition = field(default_factory=threading.Condition)


OnProgress = Callable[[Job, str, int, int], None]
OnEnd = Callable[[Job, str | None], None]


class Pool:
    """Worker processes that end with this process, however it ends.

    Every worker reads from a pipe that only this process writes to. When this process ends, the
    pipe closes, and the worker exits.
    """

    def __init__(self, size: int, *, gpus: Sequence[str], logs: Path) -> None:
        """Prepare the workers; each starts with its first job.

        Args:
            size: number of workers.
            gpus: values for CUDA_VISIBLE_DEVICES, assigned to the workers in turn.
            logs: folder of the workers' output.
        """
        self._size, self._gpus, self._logs = size, list(gpus), logs
        self._processes: dict[int, subprocess.Popen[str]] = {}

    def run(
        self,
        jobs: Sequence[Job],
        on_progress: OnProgress,
        on_end: OnEnd,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[str, str]:
        """Run all jobs; if one fails, those that need it fail, and all others still run.

        Args:
            jobs: in the order in which they start.
            on_progress: called with (job, step, done, total), from several threads, one at a time.
            on_end: called with a finished job and None, or a failed one and its error message,
                from several threads, one at a time. If it raises BoxloopError or OSError, the job
                has failed.
            meanwhile: called repeatedly by the waiting thread.

        Returns:
            The error message of each failed job, by its name.
        """
        state = _State(list(jobs), frozenset(job.name for job in jobs))
        threads = [
            threading.Thread(target=self._work, args=(slot, state, on_progress, on_end))
            for slot in range(min(self._size, len(jobs)))
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                while thread.is_alive():
                    # A join without a timeout would block Ctrl-C.
                    thread.join(0.2)
                    meanwhile()
        finally:
            with state.changed:
                state.stopped = True
                state.changed.notify_all()
            self._end()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
        return state.failed

    def _work(self, slot: int, state: _State, on_progress: OnProgress, on_end: OnEnd) -> None:
        while (job := _next(state, on_end)) is not None:
            why: str | None = None
            try:
                for message in self._exchange(slot, job):
                    with state.changed:
                        if "what" in message:
                            on_progress(job, message["what"], message["done"], message["total"])
                    why = message.get("error")
                    if message.get("unexpected"):
                        why = f"{why} (a fault of boxloop's own; see {self._log(slot)})"
            except _WorkerEnded as error:
                why = f"its process ended ({error}); see {self._log(slot)}"
            with state.changed:
                if state.stopped:
                    return
                try:
                    on_end(job, why)
                except (BoxloopError, OSError) as error:
                    why = str(error)
                if why is None:
                    state.finished.add(job.name)
                else:
                    state.failed[job.name] = why
                state.changed.notify_all()

    def _exchange(self, slot: int, job: Job) -> Any:
        process = self._processes.get(slot)
        if process is None or process.poll() is not None:
            process = self._processes[slot] = self._start(slot)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(job.content) + "\n")
            process.stdin.flush()
        except OSError:
            raise _WorkerEnded(_how(process)) from None
        for line in process.stdout:
            message = json.loads(line)
            yield message
            if "what" not in message:
                return
        raise _WorkerEnded(_how(process))

    def _start(self, slot: int) -> subprocess.Popen[str]:
        threads = str(max(1, (os.cpu_count() or 1) // self._size))
        environment = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment.setdefault(name, threads)
        if self._gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[slot % len(self._gpus)]
        self._logs.mkdir(parents=True, exist_ok=True)
        with self._log(slot).open("a") as log:
            return subprocess.Popen(
                _WORKER,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=environment,
                # So that a Ctrl-C of the terminal reaches this process alone.
                start_new_session=True,
            )

    def _log(self, slot: int) -> Path:
        return self._logs / f"worker-{slot}.log"

    def _end(self) -> None:
        for process in self._processes.values():
            with contextlib.suppress(OSError):
                if process.stdin is not None:
                    process.stdin.close()
        for process in self._processes.values():
            try:
                process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()


class _WorkerEnded(Exception):
    """A worker ended during a job."""


def _how(process: subprocess.Popen[str]) -> str:
    code = process.wait()
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def _next(state: _State, on_end: OnEnd) -> Job | None:
    """Return the next job that can start; None when none is left."""
    with state.changed:
        while not state.stopped:
            _fail_dependents(state, on_end)
            for job in state.waiting:
                if all(n in state.finished or n not in state.names for n in job.needs):
                    state.waiting.remove(job)
                    return job
            if not state.waiting:
                return None
            state.changed.wait()
    return None


def _fail_dependents(state: _State, on_end: OnEnd) -> None:
    for job in list(state.waiting):
        lacking = next((n for n in job.needs if n in state.failed), None)
        if lacking is not None:
            state.waiting.remove(job)
            state.failed[job.name] = f"it needs {lacking}, which failed: {state.failed[lacking]}"
            on_end(job, state.failed[job.name])
            state.changed.notify_all()
