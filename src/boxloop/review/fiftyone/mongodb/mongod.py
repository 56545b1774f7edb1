"""One mongod on a campaign's own data: how it is started, what its log says, how it is stopped."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

PORT_IN_USE = 48
"""mongod's exit code where it cannot listen."""

_LISTENS = 23016  # id of "Waiting for connections"; MongoDB keeps the ids of its log messages
_SECONDS_TO_STOP = 30.0
_POLL_SECONDS = 0.02
_BYTES_OF_LOG = 5_000_000
_LONGEST = 400  # characters of one message
_PLACE_IN_CODE = re.compile(r"^_*\w+:\d+:")  # of WiredTiger: "__wt_turtle_read:609:..."
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
        self._offsets = {log: _log_size(log) for log in (place.log, place.keeper_log)}
        # The standard streams are the keeper's: what mongod says before it has a log is not lost.
        self.process = subprocess.Popen(
            [os.fspath(part) for part in _command(binary, place, port)],
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with(os.getpid()),
        )

    def port(self) -> int | None:
        """Where it listens; None as long as it does not."""
        for line in self._log_lines():
            if line.get("id") == _LISTENS:
                return int(line["attr"]["port"])
        return None

    def last_words(self) -> str:
        """Why it ended: the first fault in its log that says more than that there is one."""
        faults = [_said(line) for line in self._log_lines() if line.get("s") in ("E", "F")]
        telling = [said for said in faults if ": " in said and not said.startswith("BACKTRACE")]
        code = self.process.returncode
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        return next(iter(telling or faults), f"mongod ended with {ended}")[:_LONGEST]

    def _log_lines(self) -> Iterator[dict[str, Any]]:
        for log, offset in self._offsets.items():
            yield from _log_lines(log, offset)

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
        if not _ended(leftover, _SECONDS_TO_STOP):
            leftover.kill()
            _ended(leftover, _SECONDS_TO_STOP)
    except (OSError, ValueError, psutil.Error):
        return


def _ended(process: psutil.Process, seconds: float) -> bool:
    """Waits for another's child; in a container it may stay a zombie, with its files closed."""
    deadline = time.monotonic() + seconds
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


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
        # Journal files of 32 MB hold any document (16 MB at most); by default it is 300 MB at once.
        "--wiredTigerEngineConfigString": "log=(file_max=32MB,prealloc=false)",
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
    """A message in words; the storage engine's have theirs one level deeper."""
    attributes = line.get("attr") or {}
    details = [attributes.get("error"), attributes.get("message")]
    words = [line.get("msg")]
    for detail in details:
        if isinstance(detail, dict):
            words.append(detail.get("errmsg") or detail.get("msg"))
        elif isinstance(detail, str):
            words.append(detail)
    parts = [_PLACE_IN_CODE.sub("", str(word)).strip() for word in words if word]
    return ": ".join(parts)
