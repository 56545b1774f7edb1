"""Run jobs that depend on each other in several worker processes."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
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


OnProgress = Callable[[Job, str, int, int], None]
OnEnd = Callable[[Job, str | None], None]
_Message = Mapping[str, Any]


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
        self._messages = SimpleQueue[tuple[subprocess.Popen[str] | None, _Message]]()
        self._stopped = False

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
            on_progress: called with (job, step, done, total), from a thread of its own.
            on_end: called with a finished job and None, or a failed one and its error message,
                from the same thread. If it raises BoxloopError or OSError, the job has failed.
            meanwhile: called repeatedly by the waiting thread.

        Returns:
            The error message of each failed job, by its name.
        """
        with ThreadPoolExecutor(1) as executor:
            failed = executor.submit(self._run, jobs, on_progress, on_end)
            try:
                while not failed.done():
                    # A wait without a timeout would block Ctrl-C.
                    wait([failed], 0.2)
                    meanwhile()
                return failed.result()
            finally:
                self._stopped = True
                self._messages.put((None, {}))
                wait([failed])
                self._end()

    def _run(self, jobs: Sequence[Job], on_progress: OnProgress, on_end: OnEnd) -> dict[str, str]:
        """Give each free worker the next job that can start, until none is left."""
        names, waiting = {job.name for job in jobs}, list(jobs)
        running: dict[int, Job] = {}
        finished: set[str] = set()
        failed: dict[str, str] = {}

        def end(job: Job, why: str | None) -> None:
            try:
                on_end(job, why)
            except (BoxloopError, OSError) as error:
                why = str(error)
            if why is None:
                finished.add(job.name)
            else:
                failed[job.name] = why

        while not self._stopped:
            while lack := next(((j, n) for j in waiting for n in j.needs if n in failed), None):
                waiting.remove(lack[0])
                end(lack[0], f"it needs {lack[1]}, which failed: {failed[lack[1]]}")
            for slot in (s for s in range(self._size) if s not in running):
                ready = (j for j in waiting if not any(n in names - finished for n in j.needs))
                if (job := next(ready, None)) is not None:
                    waiting.remove(job)
                    running[slot] = job
                    self._send(slot, job)
            if not running:
                break
            process, message = self._messages.get()
            slot = next((s for s in running if self._processes[s] is process), -1)
            if "what" in message and slot >= 0:
                on_progress(running[slot], message["what"], message["done"], message["total"])
            elif slot >= 0:
                why = message.get("error")
                if message.get("unexpected"):
                    why = f"{why} (a fault of boxloop's own; see {self._log(slot)})"
                end(running.pop(slot), why)
        return failed

    def _send(self, slot: int, job: Job) -> None:
        process = self._processes.get(slot)
        if process is None or process.poll() is not None:
            process = self._processes[slot] = self._start(slot)
            threading.Thread(target=self._listen, args=(slot, process), daemon=True).start()
        assert process.stdin is not None
        # A process that has just ended is told by the thread that listens to it.
        with contextlib.suppress(OSError):
            process.stdin.write(json.dumps(job.content) + "\n")
            process.stdin.flush()

    def _listen(self, slot: int, process: subprocess.Popen[str]) -> None:
        """Collect the messages of a worker until it ends, which is the last of them."""
        assert process.stdout is not None
        for line in process.stdout:
            # A process that is killed may leave half a line.
            with contextlib.suppress(json.JSONDecodeError):
                self._messages.put((process, json.loads(line)))
        code = process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        why = f"its process ended ({how}); see {self._log(slot)}"
        self._messages.put((process, {"error": why}))

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
