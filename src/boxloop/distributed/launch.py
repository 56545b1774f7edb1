"""Launch of several processes by PyTorch's elastic launcher."""

from __future__ import annotations

import json
import logging
import math
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import distributed

from boxloop.errors import BoxloopError, ProcessError, temporary_refused, told

_LAUNCHED = "BOXLOOP_LAUNCHED_BY"
"""Environment variable with the process id of the boxloop that launched this one."""

_SECONDS_TO_END = 3


def launch_processes(processes: int) -> bool:
    """Run this command line in several processes on this machine, unless already in one.

    Returns:
        Whether they have done it; False in a process that is to do its part itself.

    Raises:
        BoxloopError: the first of them failed with this message.
        UserError: there is no place for temporary files.
        ProcessError: one of them was ended from outside.
    """
    if processes <= 1 or distributed.is_torchelastic_launched():
        return False
    os.environ.setdefault("LOGLEVEL", "CRITICAL")  # its messages are repeated below
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed").setLevel(logging.CRITICAL)
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    os.environ.setdefault("OMP_NUM_THREADS", threads)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ[_LAUNCHED] = str(os.getpid())
    try:
        try:
            logs = tempfile.TemporaryDirectory(prefix="boxloop-")
        except OSError as error:
            raise temporary_refused(error) from None
        with logs as folder:
            config = LaunchConfig(
                min_nodes=1,
                max_nodes=1,
                nproc_per_node=processes,
                run_id=uuid.uuid4().hex,
                rdzv_backend="c10d",
                rdzv_endpoint="localhost:0",
                local_addr="localhost",
                max_restarts=0,
                shutdown_timeout=_SECONDS_TO_END,
                logs_specs=DefaultLogsSpecs(log_dir=folder),  # else one is left behind each time
            )
            elastic_launch(config, sys.executable)("-m", "boxloop", *sys.argv[1:])
    except ChildFailedError as error:
        raise _first_failure(error.failures, processes) from None
    except SignalException as error:
        if error.sigval == signal.SIGINT:
            raise KeyboardInterrupt from None
        raise SystemExit(128 + int(error.sigval)) from None
    return True


def _first_failure(failures: Mapping[int, Any], processes: int) -> BoxloopError:
    """Return the error that made the others fail as well."""
    records = [
        (rank, failure, failure.error_file_data.get("boxloop", {}))
        for rank, failure in sorted(failures.items())
    ]
    for _, _, record in records:
        if "sentence" in record:
            error = BoxloopError(record["sentence"])
            error.exit_code = int(record["exit_code"])
            return error
    # The launcher ends the rest by SIGTERM, and those that wait for a killed one lose their peer.
    killed = [
        item for item in records if item[1].exitcode < 0 and item[1].exitcode != -signal.SIGTERM
    ]
    first = min(records, key=lambda item: item[2].get("time", math.inf))
    rank, failure, record = killed[0] if killed else first
    if "traceback" in record:
        sys.stderr.write(record["traceback"])
        return ProcessError(f"process {rank} of {processes} failed by a fault of boxloop's own")
    how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"code {failure.exitcode}"
    hint = " (out of memory?)" if failure.exitcode == -signal.SIGKILL else ""
    return ProcessError(
        f"process {rank} of {processes} was ended from outside, by {how}{hint}; nothing was written"
    )


@contextmanager
def report_to_launcher() -> Iterator[None]:
    """Leave the error of a launched process to the launcher's output.

    The process ends at once, because the others may be waiting for it, and it for them.
    """
    if "TORCHELASTIC_ERROR_FILE" not in os.environ or "RANK" not in os.environ:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the launcher
    if _LAUNCHED in os.environ:
        threading.Thread(target=_end_with, args=(int(os.environ[_LAUNCHED]),), daemon=True).start()
    try:
        yield
    except Exception as error:
        now, code, trace = time.time(), 1, traceback.format_exc()
        found: dict[str, Any] = {"traceback": trace}
        if isinstance(error, BoxloopError | OSError):
            sentence, code = told(error)
            found = {"sentence": sentence, "exit_code": code}
        extra = {"py_callstack": trace, "timestamp": str(int(now))}
        message = {"message": str(error), "extraInfo": extra}
        content = {"message": message, "boxloop": {**found, "time": now}}
        with open(os.environ["TORCHELASTIC_ERROR_FILE"], "w", encoding="utf-8") as file:
            json.dump(content, file)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _end_with(parent: int) -> None:
    """End this process once its launcher is gone."""
    while os.getppid() == parent:
        time.sleep(0.3)
    os._exit(1)
