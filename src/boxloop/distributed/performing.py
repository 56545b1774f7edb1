"""One job inside a worker process of Dask.

A worker that lost its scheduler, or whose client is gone, cannot be ended from outside, so it looks
itself: at every report of progress it asks whether its job is still wanted, and drops it if not.
Until it has noticed, another worker may be given the same job. That one waits for the lock that the
first holds, and then goes on with the files that it finds.
"""

from __future__ import annotations

import os
import pickle
import platform
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Status, Worker, WorkerPlugin, get_worker
from filelock import FileLock, Timeout

from boxloop.errors import BoxloopError, told

Tell = Callable[[str, int, int], None]
Work = Callable[[Mapping[str, Any], Tell], Any]

_SECONDS_BETWEEN_MESSAGES = 0.2
_SECONDS_UNTIL_SEEN = 30.0
"""After which a file that another machine wrote is on every machine of a network file system."""


class Unwanted(BaseException):
    """Nobody waits for the job any more; no fault, and nothing that a library may catch."""


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    Attributes:
        result: what its work returned.
        error: why it failed, in one sentence; None if it did not.
        seconds: it took, without its wait for another process.
        machine: whose worker did it.
        exit_code: of a command that ends with this error.
    """

    result: Any = None
    error: str | None = None
    seconds: float = 0.0
    machine: str = ""
    exit_code: int = BoxloopError.exit_code


def perform(
    packed: bytes,
    name: str,
    topic: str,
    lock: str | None,
    reads: Sequence[str],
) -> Outcome:
    """Do a job in this worker, and tell of its progress.

    Args:
        packed: the work and its content, pickled. The scheduler, which reads all arguments, would
            import what the work imports, and not answer meanwhile.
        name: of the job.
        topic: of the events that tell of it.
        lock: a file; of all processes on all machines that name it, one works at a time.
        reads: files of other jobs that were finished, perhaps on another machine.
    """
    worker = get_worker()
    key = worker.get_current_task()
    last: dict[str, float] = {}

    def tell(what: str, done: int, total: int) -> None:
        _require_wanted(worker, key)
        now = time.monotonic()
        if done >= total or now - last.get(what, 0.0) >= _SECONDS_BETWEEN_MESSAGES:
            last[what] = now
            worker.log_event(topic, {"job": name, "what": what, "done": done, "total": total})

    # What libraries print on an unexpected fault goes to the same place.
    place = os.environ.get(LOG) or f"what the worker {worker.address} printed"
    begun = {"job": name, "machine": platform.node(), "log": place}
    worker.log_event(topic, begun)
    try:
        with _locked(lock, lambda: _require_wanted(worker, key)):
            start = time.monotonic()
            _await(reads)
            work, content = pickle.loads(packed)
            result = work(content, tell)
            return Outcome(result, None, time.monotonic() - start, platform.node())
    except (BoxloopError, OSError) as error:
        sentence, code = told(error)
        return Outcome(error=sentence, exit_code=code)
    except Unwanted:
        return Outcome(error="it was not wanted any more")
    except Exception as error:
        # A fault of boxloop's own, or of a library: the other jobs are worth having all the same.
        traceback.print_exc()
        what = f"{type(error).__name__}: {error}"
        return Outcome(error=f"{what} (a fault of boxloop's own; see {place})")


def _require_wanted(worker: Worker, key: Any) -> None:
    """Raise where the scheduler has taken the job back, or the worker has lost the scheduler.

    Raises:
        Unwanted: it is so.
    """
    task = worker.state.tasks.get(key)
    if task is None or task.state not in ("executing", "long-running"):
        raise Unwanted
    if worker.status not in (Status.running, Status.paused, Status.closing_gracefully):
        raise Unwanted


@contextmanager
def _locked(path: str | None, look: Callable[[], None]) -> Iterator[None]:
    """Hold a lock; ``look`` is called now and then while another process holds it."""
    if path is None:
        yield
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    # Where a file system has no locks that end with their process, one that is left behind by a
    # kill would stop the study for good; files are written whole all the same.
    lock = FileLock(path, fallback_to_soft=False)
    told_so = False
    while True:
        try:
            lock.acquire(timeout=1)
            break
        except Timeout:
            if not told_so:
                print(f"waiting for {path}: another process is at work", file=sys.stderr)
                told_so = True
            look()
        except (OSError, NotImplementedError) as error:
            print(f"{path} cannot be locked ({error})", file=sys.stderr)
            break
    try:
        yield
    finally:
        lock.release()


def _await(paths: Sequence[str]) -> None:
    """Wait until the network file system shows what another machine has written."""
    limit = time.monotonic() + _SECONDS_UNTIL_SEEN
    for path in paths:
        while not os.path.exists(path) and time.monotonic() < limit:
            with suppress(OSError):
                os.listdir(os.path.dirname(path))  # has the folder be read anew
            time.sleep(0.5)


LOG = "BOXLOOP_WORKER_LOG"
"""Environment variable with the file that a local worker's output goes to."""


class LogFile(WorkerPlugin):
    """Sends all that a worker and its libraries print to the file that :data:`LOG` names."""

    def setup(self, worker: Worker) -> None:
        """Redirect standard output and standard error."""
        log = os.open(os.environ[LOG], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.close(log)
