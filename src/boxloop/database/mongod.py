"""One mongod on a campaign's own data: how it is started, what its log says, how it is stopped."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

PORT_IN_USE = 48
"""mongod's exit code where it cannot listen."""

_LISTENS = 23016  # id of "Waiting for connections"; MongoDB keeps the ids of its log messages
_SECONDS_TO_STOP = 30.0
_BYTES_OF_LOG = 5_000_000
_PR_SET_PDEATHSIG = 1  # prctl(2)


@dataclass(frozen=True)
class Place:
    """The files of one database.

    Attributes:
        folder: absolute; the campaign's ``.boxloop``.
    """

    folder: Path

    @property
    def data(self) -> Path:
        """What mongod stores."""
        return self.folder / "db"

    @property
    def log(self) -> Path:
        """What mongod says."""
        return self.folder / "mongod.log"

    @property
    def record(self) -> Path:
        """The mongod that runs."""
        return self.folder / "mongod.json"

    @property
    def keeper_log(self) -> Path:
        """What the keeper says, and mongod where it cannot write its log."""
        return self.folder / "keeper.log"

    @property
    def keeper_lock(self) -> Path:
        """Held by the one keeper."""
        return self.folder / "keeper.lock"

    @property
    def sessions_lock(self) -> Path:
        """Held by every session, shared."""
        return self.folder / "sessions.lock"


@dataclass(frozen=True)
class Running:
    """A mongod that listens.

    Attributes:
        pid: its process.
        port: where, on 127.0.0.1.
    """

    pid: int
    port: int

    def write(self, path: Path) -> None:
        """Announces it."""
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> Running | None:
        """The one that is announced, if any."""
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(found["pid"]), int(found["port"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


class Mongod:
    """A mongod process on one folder of data, as its keeper sees it.

    Args:
        binary: the program.
        place: its files.
        port: where to listen, 0 for any that is free.
    """

    def __init__(self, binary: Path, place: Place, port: int = 0) -> None:
        place.data.mkdir(exist_ok=True)
        self.place = place
        self._offset = _log_size(place.log)
        # The standard streams are the keeper's: what mongod says before it has a log is not lost.
        self.process = subprocess.Popen(
            [os.fspath(part) for part in _command(binary, place, port)],
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with(os.getpid()),
        )

    def port(self) -> int | None:
        """Where it listens; None as long as it does not."""
        for line in _log_lines(self.place.log, self._offset):
            if line.get("id") == _LISTENS:
                return int(line["attr"]["port"])
        return None

    def last_words(self) -> str:
        """The last line of its log that tells of a fault, or its exit code."""
        found = ""
        for line in _log_lines(self.place.log, self._offset):
            if line.get("s") in ("E", "F"):
                found = _said(line) or found
        return found or f"exit code {self.process.returncode}"

    def stop(self) -> None:
        """Lets it finish in order; a mongod that hangs is killed, which its journal outlasts."""
        self.process.terminate()
        try:
            self.process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def end_leftover(place: Place) -> None:
    """Ends a mongod whose keeper was killed, on systems that do not end it together with it."""
    try:
        leftover = psutil.Process(int((place.data / "mongod.lock").read_text()))
        if os.fspath(place.log) not in leftover.cmdline():
            return  # The id belongs to another process by now, or to a mongod of the user's own.
        leftover.terminate()
        try:
            leftover.wait(_SECONDS_TO_STOP)
        except psutil.TimeoutExpired:
            leftover.kill()
            leftover.wait()
    except (OSError, ValueError, psutil.Error):
        return


def rotate_log(place: Place) -> None:
    """Keeps the log and the one before from growing on and on."""
    if _log_size(place.log) > _BYTES_OF_LOG:
        place.log.replace(place.log.with_suffix(".log.1"))


def _command(binary: Path, place: Place, port: int) -> list[str | Path]:
    settings: dict[str, str | Path] = {
        "--dbpath": place.data,
        "--logpath": place.log,
        "--bind_ip": "127.0.0.1",
        "--port": str(port),
        "--wiredTigerCacheSizeGB": "0.5",
        # Statistics for MongoDB's support: up to 200 MB, and work every second.
        "--setParameter": "diagnosticDataCollectionEnabled=false",
    }
    options = [part for pair in settings.items() for part in pair]
    # A unix socket would lie in /tmp under the port's number, and paths of sockets are short.
    return [binary, "--quiet", "--logappend", "--nounixsocket", *options]


def _die_with(keeper: int) -> Callable[[], None] | None:
    """Run in the child before mongod: the keeper's death, however it comes, stops it as well."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != keeper:
            os._exit(1)  # It died before it could be watched.

    return prepare


def _log_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _log_lines(path: Path, offset: int) -> Iterator[dict[str, Any]]:
    """The messages after an offset in bytes; what is no JSON, as a line half-written, is left out.

    The form is MongoDB's, one object per line: t time, s severity, c component, id, msg, attr.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if isinstance(message, dict):
            yield message


def _said(line: dict[str, Any]) -> str:
    attributes = line.get("attr") or {}
    error = attributes.get("error") or attributes.get("message") or ""
    if isinstance(error, dict):
        error = error.get("errmsg") or json.dumps(error)
    message = str(line.get("msg", ""))
    return f"{message}: {error}" if error else message
