"""Where jobs run: worker processes of Dask on this machine, or those of a running scheduler."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Protocol

from boxloop.distributed import addresses
from boxloop.distributed.performing import LOG, LogFile
from boxloop.errors import ProcessError

_SECONDS_FOR_FIRST = 60
"""To wait for a first worker of a scheduler."""

_SECONDS_TO_CONNECT = 30
"""Until a scheduler has answered."""

_SECONDS_TO_TELL = 5
"""More for Dask, to say why it has not."""

_SECONDS_UNTIL_SEEN = 10.0
"""To wait for a new file to appear on another machine."""

_DASKS = ("distributed", "distributed.client", "distributed.gc", "tornado.application")
"""Loggers that Dask gives a level of their own."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Connection:
    """A connection to workers.

    Attributes:
        client: of Dask.
        unfit: why workers cannot take part, by address, of those asked about.
        where: what it is connected to, for messages.
        logs: where a worker's output is, for messages.
    """

    client: Any
    unfit: Callable[[Sequence[str]], dict[str, str]]
    where: str
    logs: str = "what the workers printed"

    def workers(self) -> list[str]:
        """Return the addresses of the workers that are there now.

        Raises:
            ProcessError: the scheduler is gone.
        """
        try:
            return list(self.client.nthreads())
        except (OSError, TimeoutError) as error:
            raise ProcessError(
                f"{self.where} does not answer any more ({error or type(error).__name__}); what is"
                " finished is kept, and the same command goes on from there"
            ) from None


class Place(Protocol):
    """Opens a connection, and closes it at the end.

    It is asked meanwhile whether it shall give up.
    """

    def __call__(self, stopped: Callable[[], bool] = ...) -> AbstractContextManager[Connection]:
        """Open the connection."""


def _never() -> bool:
    return False


def here(size: int, *, gpus: Sequence[str], logs: Path) -> Place:
    """Have workers on this machine that end with this process, however it ends.

    Args:
        size: number of workers, one process with one thread for jobs each.
        gpus: values for CUDA_VISIBLE_DEVICES, assigned to the workers in turn.
        logs: folder of the workers' output.
    """
    return lambda stopped=_never: _here(size, list(gpus), logs)


@contextmanager
def _here(size: int, gpus: list[str], logs: Path) -> Iterator[Connection]:
    import dask
    from distributed import Client, Nanny, Scheduler, Security, SpecCluster

    _silence_dask()
    threads = str(max(1, (os.cpu_count() or 1) // size))
    # Who names one of them means all: PyTorch takes MKL's number even beside OpenMP's.
    asked = next((os.environ[name] for name in _THREADS if name in os.environ), threads)
    given = {name: os.environ.get(name, asked) for name in _THREADS}
    # Only who has the key can connect: other users of this machine reach its ports, too.
    security = Security.temporary()  # type: ignore[no-untyped-call]
    common = {
        "nthreads": 1,
        "memory_limit": 0,
        "dashboard": False,
        "security": security,
        "host": "127.0.0.1",
        "plugins": [LogFile()],
        "silence_logs": logging.CRITICAL,  # in the processes of the workers
    }
    logs.mkdir(parents=True, exist_ok=True)
    workers: dict[int, Any] = {}
    for slot in range(size):
        own = {LOG: str(logs / f"worker-{slot}.log"), **given}
        if gpus:
            own["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        workers[slot] = {"cls": Nanny, "options": {**common, "env": own}}
    options: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "protocol": "tls://",
        "dashboard": False,
    }
    options["dashboard_address"] = "127.0.0.1:0"
    scheduler = {"cls": Scheduler, "options": {**options, "security": security}}
    settings = {
        # A job may read images in processes of its own, which those of a daemon may not have.
        "distributed.worker.daemon": False,
        "distributed.worker.multiprocessing-method": "spawn",
        "distributed.nanny.pre-spawn-environ": given,
        # On a busy machine a worker takes longer to come back than the 15 s that it is given.
        "distributed.deploy.lost-worker-timeout": "1 day",
        "distributed.comm.timeouts.connect": "60s",
        # No pages about the work for whoever else uses this machine.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with _environment_kept(), dask.config.set(settings), _deaf_to_the_terminal():
        try:
            cluster = SpecCluster(workers, scheduler, security=security)  # type: ignore[no-untyped-call]
        except (RuntimeError, OSError) as error:
            raise ProcessError(
                f"the worker processes did not start ({error}); see {logs}"
            ) from None
        try:
            with Client(cluster, set_as_default=False) as client:  # type: ignore[no-untyped-call]
                where = "this command's own scheduler"
                yield Connection(client, lambda _: {}, where, str(logs))
                _end(cluster.workers.values())
        finally:
            # All that is worth keeping is on disk.
            _end(cluster.workers.values())
            cluster.close(timeout=20)


def _silence_dask() -> None:
    """Have Dask say nothing in this process: what matters of it is told in our own words.

    For good: its own way of keeping quiet ends as a cluster is closed, when connections that broke
    with a killed worker may still have something to say.
    """
    for name in _DASKS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _end(nannies: Any) -> None:
    """Kill the workers, whatever they are at."""
    for nanny in nannies:
        nanny.close_gracefully()  # else it starts another one
        if nanny.pid is not None:
            with contextlib.suppress(OSError):
                os.kill(nanny.pid, signal.SIGKILL)


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Undo what Dask sets in the environment for processes that it starts."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


@contextmanager
def _deaf_to_the_terminal() -> Iterator[None]:
    """Have threads and processes that start meanwhile never see Ctrl-C: it is for the command."""
    signals = {signal.SIGINT, signal.SIGHUP}
    # Python starts it before the first process, and then lets that thread hear Ctrl-C again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def at(address: str, folder: Path) -> Place:
    """Connect to a running scheduler, whose workers see the same files.

    Args:
        address: "tcp://host:8786", or the scheduler's file on the shared file system.
        folder: that all workers must see.

    Raises:
        ParamsError: it is neither an address nor the file of a scheduler.
        ProcessError: the file is not there yet.
    """
    addresses.find(address)
    return lambda stopped=_never: _at(address, folder.absolute(), stopped)


@contextmanager
def _at(address: str, folder: Path, stopped: Callable[[], bool]) -> Iterator[Connection]:
    _silence_dask()
    where = f"the scheduler {address}"
    client = _connect(addresses.find(address), where, stopped)
    token = folder / f".seen-{uuid.uuid4().hex}"
    try:
        token.touch()
        found = Connection(client, lambda workers: _unfit(client, workers, token), where)
        _require_workers(found, stopped)
        yield found
    finally:
        token.unlink(missing_ok=True)
        with contextlib.suppress(OSError, TimeoutError):
            client.close(timeout=5)


def _connect(address: str, where: str, stopped: Callable[[], bool]) -> Any:
    """Open a connection to a scheduler.

    Dask's own limit ends where somebody answers, who may say nothing or anything. So it is opened
    in a thread of its own.

    Raises:
        ProcessError: nobody answers in time, or somebody else; or it is not wanted any more.
    """
    from distributed import Client

    client: Any = Client.__new__(Client)
    opened: Future[str] = Future()  # of why it failed: the error itself would keep the client alive

    def open_() -> None:
        try:
            client.__init__(address, timeout=_SECONDS_TO_CONNECT, set_as_default=False)
            why = ""
        except (OSError, ValueError, TimeoutError) as error:
            why = f"{where} cannot be reached ({error}): give its tcp:// address, or its file"
        except Exception as error:
            # Foreign bytes, read as the length of a message or as a message, can be any error.
            why = (
                f"what answers at {address} is no scheduler of Dask ({type(error).__name__}): give"
                " its tcp:// address, or its file"
            )
            if "ssl_context" in str(error):
                why = (
                    f"{where} needs certificates: name them in Dask's configuration"
                    " (distributed.comm.tls)"
                )
        opened.set_result(why)

    threading.Thread(target=open_, daemon=True).start()
    limit = time.monotonic() + _SECONDS_TO_CONNECT + _SECONDS_TO_TELL
    why = None
    while why is None:
        with contextlib.suppress(TimeoutError):
            why = opened.result(0.1)
        if why is None and stopped():
            why = f"{where} is not needed any more"
        elif why is None and time.monotonic() > limit:
            why = (
                f"{where} cannot be reached (no answer for {_SECONDS_TO_CONNECT} s): give its"
                " tcp:// address, or its file"
            )
    if why:
        # Else Dask would close it when this process ends, and wait for a minute.
        with contextlib.suppress(Exception):
            client.close(timeout=5)
        raise ProcessError(why)
    return client


def _require_workers(found: Connection, stopped: Callable[[], bool]) -> None:
    """Wait for a worker; refuse those that cannot take part.

    Raises:
        ProcessError: there is none, or at least one cannot.
    """
    limit = time.monotonic() + _SECONDS_FOR_FIRST
    while not (addresses := found.workers()):
        if stopped():
            return
        if time.monotonic() > limit:
            raise ProcessError(
                f"{found.where} has had no worker for {_SECONDS_FOR_FIRST} s: start some, by"
                " 'dask worker'"
            )
        time.sleep(0.5)
    for address, why in found.unfit(addresses).items():
        raise ProcessError(f"the worker {address} cannot take part: {why}")


def _unfit(client: Any, addresses: Sequence[str], token: Path) -> dict[str, str]:
    from boxloop import __version__

    try:
        answers = client.run(
            _look, __version__, str(token), workers=list(addresses), on_error="return"
        )
    except (OSError, TimeoutError) as error:
        return dict.fromkeys(addresses, f"it does not answer ({error})")
    found: dict[str, str] = {}
    for address, answer in answers.items():
        if isinstance(answer, ImportError):
            found[address] = f"boxloop {__version__} is not installed there ({answer})"
        elif isinstance(answer, BaseException):
            found[address] = f"{type(answer).__name__}: {answer}"
        elif answer:
            found[address] = answer
    return found


def _look(version: str, token: str) -> str:
    """Return why this worker cannot take part; empty where it can."""
    import multiprocessing
    import platform

    from boxloop import __version__

    if __version__ != version:
        return f"it has boxloop {__version__}, and this is {version}: install one version on both"
    folder, limit = os.path.dirname(token), time.monotonic() + _SECONDS_UNTIL_SEEN
    while not os.path.exists(token):
        if not os.path.isdir(folder) or time.monotonic() > limit:
            return (
                f"it does not see {folder} on {platform.node()}: put it on a file system that all"
                " machines share, under the same path"
            )
        os.listdir(folder)
        time.sleep(0.5)
    if multiprocessing.current_process().daemon:
        return (
            "it may not start processes, which read images for a GPU: start it with"
            " DASK_DISTRIBUTED__WORKER__DAEMON=False in its environment"
        )
    return ""
