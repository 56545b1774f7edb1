"""`boxloop` in a terminal: real processes, what they say, and what is left of them."""

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil

from builders_database import SECONDS, kill_all, wait_until
from builders_sessions import AppClient

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/datasets/\S+(?=\s)")  # that it has written whole
SECONDS_TO_START = 240


def environment(**more):
    """That of a person: with `boxloop` on PATH, and no settings of FiftyOne's."""
    others = ("FIFTYONE", "DVC", "MLFLOW", "PYTHONUNBUFFERED")
    env = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return {**env, **more}


class Terminal:
    """One command that runs.

    Attributes:
        process: of the command.
    """

    def __init__(self, folder, *command, env=None, **options):
        self.log = folder / f"terminal-{time.monotonic_ns()}.log"
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(**(env or {})),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                **options,
            )

    def said(self):
        return self.log.read_text()

    def address(self, number=0):
        """The address that it prints first, second, ..."""

        def is_there():
            gone = self.process.poll() is not None
            assert not gone or len(ADDRESS.findall(self.said())) > number, self.said()
            return len(ADDRESS.findall(self.said())) > number

        wait_until(is_there, SECONDS_TO_START)
        return ADDRESS.findall(self.said())[number]

    def app(self, number=0):
        return AppClient(self.address(number))

    def ends(self, seconds=SECONDS):
        """Waits for its own end; gives the exit code."""
        return self.process.wait(seconds)


@contextmanager
def review(folder, *arguments, command="review", **options):
    """Starts `boxloop review` in a campaign's folder; what is left at the end is killed."""
    terminal = Terminal(folder, "boxloop", command, "--no-browser", *arguments, **options)
    try:
        yield terminal
    finally:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()


def processes(folder):
    """Everything that works for a campaign, by kind: "session", "server", "keeper", "mongod"."""
    found = {"session": [], "server": [], "keeper": [], "mongod": []}
    for process in psutil.process_iter():
        try:
            command, place = process.cmdline(), process.cwd()
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
        except psutil.Error:
            continue
        servers = {"boxloop.review.fiftyone.server", "boxloop.review.browse.server"}
        if servers & set(command) and place == str(folder):
            found["server"].append(process)
        elif (
            "boxloop.review.fiftyone.mongod_keeper" in command
            and str(folder / ".boxloop") in command
        ):
            found["keeper"].append(process)
        elif str(folder / ".boxloop" / "db") in command:
            found["mongod"].append(process)
        elif any(part.endswith("/boxloop") for part in command) and place == str(folder):
            found["session"].append(process)
    return found


def kill(folder, *kinds):
    """kill -9 of all processes of these kinds."""
    for kind, listed in processes(folder).items():
        kill_all(*(listed if kind in kinds else ()))


def nothing_runs(folder):
    return not any(processes(folder).values())
