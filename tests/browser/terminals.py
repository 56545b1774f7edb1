"""`boxloop review` as a person starts it in a terminal."""

import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager

import psutil
from campaigns import environment


class Terminal:
    """A running `boxloop review`."""

    def __init__(self, process, log):
        self.process = process
        self.log = log

    def said(self):
        return self.log.read_text()

    def url(self, seconds=90):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = re.search(r"http://127\.0\.0\.1:\d+/\S+", self.said())
            if found:
                return found[0]
            assert self.process.poll() is None, self.said()
            time.sleep(0.1)
        raise AssertionError(f"no address after {seconds} s:\n{self.said()}")

    def ends(self, seconds=30):
        """Waits for its own end; gives the exit code."""
        return self.process.wait(seconds)


@contextmanager
def review(folder, *arguments, command="review"):
    """Starts a session in a campaign's folder; ends it, if it has not ended by itself."""
    log = folder / "terminal.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            ["boxloop", command, "--no-browser", *arguments],
            cwd=folder,
            env=environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Terminal(process, log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def processes_of(folder):
    """Everything that works for a campaign: sessions, App servers, keepers, databases."""
    found = []
    for process in psutil.process_iter():
        try:
            place = f"{process.cwd()} {' '.join(process.cmdline())}"
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if str(folder) in place and process.pid != os.getpid():
            found.append(process)
    return found


def pull_the_plug(folder):
    """What a power cut does to the campaign's processes."""
    for process in processes_of(folder):
        process.kill()
