"""Jobs for workers, and a scheduler with workers that are started as on a cluster."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

from boxloop.errors import ArtifactError

# --- what workers do ------------------------------------------------------------------------------


def write(content, tell):
    """Writes a file, and gives its process and environment."""
    tell("writing", 1, 1)
    Path(content["out"]).write_text(str(os.getpid()))
    return os.getpid(), dict(os.environ)


def look(content, tell):
    """Tells the files that are there before it writes its own."""
    there = {path.name for path in Path(content["out"]).parent.iterdir()}
    Path(content["out"]).touch()
    return there


def lack(content, tell):
    raise ArtifactError(f"{content['out']} does not exist")


def blunder(content, tell):
    return content["out"] + 1


def hold(content, tell):
    """Goes on until there is a file; its own tells who is at work."""
    out = Path(content["out"])
    with out.open("a") as file:
        file.write(f"{os.getpid()}\n")
    while not Path(content["until"]).exists():
        time.sleep(0.05)
        tell("holding", 0, 1)
    return os.getpid()


def die(content, tell):
    with Path(content["out"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
    os.kill(os.getpid(), signal.SIGKILL)


def spawned(process=None):
    """The worker processes of one, of this one unless another is given."""
    found = []
    for child in psutil.Process(process and process.pid).children():
        with contextlib.suppress(psutil.Error):  # one that just ended has no command line
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def wait_for(condition, seconds=600):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def free_port():
    """A port of this machine that no connection is given by chance until somebody listens on it.

    Linux gives out those from 32768 on.
    """
    while True:
        port = random.randrange(20_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


# --- a cluster ------------------------------------------------------------------------------------


@contextlib.contextmanager
def scheduler(folder, workers=2, **environment):
    """A scheduler and workers, each a command of its own; yields its file and their processes.

    The workers come first, the scheduler last.
    """
    file = folder / "scheduler.json"
    started = []

    def dask(*words, **more):
        command = [sys.executable, "-c", "from dask.__main__ import main; main()", *words]
        with (folder / f"{words[0]}-{len(started)}.log").open("w") as log:
            # They load what they are given to do from here.
            tests = {"PYTHONPATH": str(Path(__file__).parent)}
            env = {**os.environ, **tests, **environment, **more}
            process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        started.append(process)
        return process

    where = ("--scheduler-file", str(file))
    try:
        first = dask("scheduler", *where, "--host", "127.0.0.1", "--port", "0", "--no-dashboard")

        def is_written():  # it makes the file first
            assert first.poll() is None, (folder / "scheduler-0.log").read_text()
            return file.exists() and file.read_text().endswith("}")

        wait_for(is_written)
        options = ("--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--no-nanny")
        yield file, [*(dask("worker", *where, *options) for _ in range(workers)), first]
    finally:
        for process in reversed(started):
            process.kill()
            process.wait()
