"""Run one mongod for all sessions of a campaign, in its own process.

    python -m boxloop.review.fiftyone.mongod_keeper FOLDER MONGOD [SOCKET]

A session that needs a database starts a keeper; of several keepers the first stays. It writes to
``mongod.json`` where mongod listens, restarts it on the same socket if it is killed, and stops it
when no session holds ``sessions.lock`` any longer: when the last one ended, or was killed. While
mongod stops, the keeper holds that lock alone, so that a session that comes just then waits. A
session that goes on while its keeper was killed names the socket that its App is connected to.
"""

from __future__ import annotations

import contextlib
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

from boxloop.errors import DatabaseError
from boxloop.review.fiftyone.database_socket import (
    make_socket_folder,
    remove_leftover,
    remove_socket_folder,
)
from boxloop.review.fiftyone.file_lock import open_lock, try_lock

_LISTENS = 23016  # id of "Waiting for connections"; MongoDB keeps the ids of its log messages
_SECONDS_TO_STOP = 30.0
_POLL_SECONDS = 0.2
_POLL_SECONDS_AT_START = 0.02
_SECONDS_TO_COUNT_AS_RUNNING = 3.0
_DEATHS_AT_START = 3
_BYTES_OF_LOG = 5_000_000
_CHARACTERS_OF_MESSAGE = 400
_PLACE_IN_CODE = re.compile(r"^_*\w+:\d+:")  # of WiredTiger: "__wt_turtle_read:609:..."
_PR_SET_PDEATHSIG = 1  # prctl(2)


class DatabaseFiles:
    """The files of one campaign's database, in the campaign's ``.boxloop``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "db"
        self.log = self.folder / "mongod.log"
        self.record = self.folder / "mongod.json"  # where the running mongod listens
        self.keeper_log = self.folder / "keeper.log"  # and mongod's where it cannot write its own
        self.keeper_lock = self.folder / "keeper.lock"  # held by the keeper
        self.sessions_lock = self.folder / "sessions.lock"  # held shared by every session


@dataclass(frozen=True)
class RunningMongod:
    """A mongod that listens on a unix socket."""

    pid: int
    socket: str

    def write(self, path: Path) -> None:
        """Write it to a record."""
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(asdict(self)), encoding="utf-8")
        temporary.replace(path)

    @classmethod
    def read(cls, path: Path) -> RunningMongod | None:
        """Read a record; None where there is none that makes sense."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(int(content["pid"]), str(content["socket"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


# --- the keeper -----------------------------------------------------------------------------------


def main() -> int:
    """Keep a mongod; the last line on standard error is the error."""
    files, binary = DatabaseFiles(Path(sys.argv[1])), Path(sys.argv[2])
    wanted = Path(sys.argv[3]) if len(sys.argv) > 3 else None
    with open_lock(files.keeper_lock) as own, open_lock(files.sessions_lock) as sessions:
        if not try_lock(own):
            return 0
        os.ftruncate(sys.stderr.fileno(), 0)
        os.chdir("/")  # The folder that it was started in can be deleted or unmounted.
        try:
            keep(files, binary, sessions, wanted)
        except (DatabaseError, OSError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def keep(files: DatabaseFiles, binary: Path, sessions: int, wanted: Path | None) -> None:
    """Run mongod until the last session ends, or a signal comes.

    ``sessions`` is the open file whose lock the sessions share; ``wanted`` the socket that one of
    them is connected to, if any.

    Raises:
        DatabaseError: mongod ends by itself; says why.
    """
    signals = _collect_signals()
    before = RunningMongod.read(files.record)
    files.record.unlink(missing_ok=True)
    end_leftover(files)
    if before is not None and Path(before.socket) != wanted:  # its keeper was killed
        remove_leftover(Path(before.socket))
    if _size(files.log) > _BYTES_OF_LOG:
        files.log.replace(files.log.with_suffix(".log.1"))
    socket = make_socket_folder(files.folder, wanted)
    mongod, started, deaths = Mongod(binary, files, socket), time.monotonic(), 0
    running: RunningMongod | None = None
    try:
        while not signals and not try_lock(sessions):
            code = mongod.process.poll()
            if code is not None:
                _remove_record(files, running)
                lived = time.monotonic() - started
                deaths = 0 if lived > _SECONDS_TO_COUNT_AS_RUNNING else deaths + 1
                if code > 0 or deaths >= _DEATHS_AT_START:
                    raise DatabaseError(mongod.failure())
                # Killed, or shut down from outside: on the same socket the sessions do not notice.
                mongod, started, running = Mongod(binary, files, socket), time.monotonic(), None
            elif running is None and mongod.listens():
                running = RunningMongod(mongod.process.pid, os.fspath(socket))
                running.write(files.record)
            time.sleep(_POLL_SECONDS_AT_START if running is None else _POLL_SECONDS)
    finally:
        _remove_record(files, running)
        mongod.stop()
        remove_socket_folder(socket)


def _remove_record(files: DatabaseFiles, running: RunningMongod | None) -> None:
    # The folder may have been deleted and made anew: then the record is another keeper's.
    if running is not None and RunningMongod.read(files.record) == running:
        with contextlib.suppress(OSError):
            files.record.unlink()


def _collect_signals() -> list[int]:
    """Return a list that fills with the signals that ask for an end."""
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, frame: received.append(number))
    return received


def end_leftover(files: DatabaseFiles) -> None:
    """End a mongod whose keeper was killed."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        leftover = psutil.Process(int((files.data / "mongod.lock").read_text()))
        if os.fspath(files.log) not in leftover.cmdline():
            return  # The id belongs to another process by now, or to a mongod of the user's own.
        leftover.terminate()
        if not _wait_for_end(leftover):
            leftover.kill()
            _wait_for_end(leftover)


def _wait_for_end(process: psutil.Process) -> bool:
    """Wait until another process's child ends; a zombie has ended, with its files closed."""
    deadline = time.monotonic() + _SECONDS_TO_STOP
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS_AT_START)
    return True


# --- mongod ---------------------------------------------------------------------------------------


class Mongod:
    """A mongod process on a campaign's data."""

    def __init__(self, binary: Path, files: DatabaseFiles, socket: Path) -> None:
        """Start it on a socket that it makes."""
        files.data.mkdir(exist_ok=True)
        self._log_starts = {log: _size(log) for log in (files.log, files.keeper_log)}
        # The standard streams are the keeper's: what mongod says before it has a log is not lost.
        self.process = subprocess.Popen(
            _command(binary, files, socket),
            env=mongod_environment(binary),
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with(os.getpid()),
        )

    def listens(self) -> bool:
        """Return whether it says that it can be connected to."""
        return any(message.get("id") == _LISTENS for message in self._messages())

    def failure(self) -> str:
        """Return why it ended: the first error in its log that has details."""
        errors = [_message_text(m) for m in self._messages() if m.get("s") in ("E", "F")]
        detailed = [text for text in errors if ": " in text and not text.startswith("BACKTRACE")]
        code = self.process.returncode
        ended = f"signal {-code}" if code < 0 else f"exit code {code}"
        default = f"mongod ended with {ended}"
        return next(iter(detailed or errors), default)[:_CHARACTERS_OF_MESSAGE]

    def stop(self) -> None:
        """Shut it down; a mongod that hangs is killed, which its journal outlasts."""
        self.process.terminate()
        try:
            self.process.wait(_SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _messages(self) -> Iterator[dict[str, Any]]:
        """Read its log messages: objects with s (severity), id, msg and attr."""
        for log, start in self._log_starts.items():
            try:
                with log.open("rb") as file:
                    file.seek(start)
                    lines = file.read().splitlines()
            except OSError:
                continue
            for line in lines:
                with contextlib.suppress(ValueError):  # as of a line half-written
                    message = json.loads(line)
                    if isinstance(message, dict):
                        yield message


def mongod_environment(binary: Path) -> dict[str, str] | None:
    """Return the environment in which mongod finds libraries beside it; None if there are none."""
    folder = binary.resolve().parent
    if not any(folder.glob("libssl.so.*")):
        return None
    folders = [os.fspath(folder), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    return {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(folders)}


def _command(binary: Path, files: DatabaseFiles, socket: Path) -> list[str | Path]:
    settings: dict[str, str | Path] = {
        "--dbpath": files.data,
        "--logpath": files.log,
        "--bind_ip": socket,
        "--port": "0",
        "--wiredTigerCacheSizeGB": "0.5",
        # Journal files of 32 MB hold any document (16 MB at most); by default it is 300 MB at once.
        "--wiredTigerEngineConfigString": "log=(file_max=32MB,prealloc=false)",
        # Statistics for MongoDB's support: up to 200 MB, and work every second.
        "--setParameter": "diagnosticDataCollectionEnabled=false",
    }
    options = [part for pair in settings.items() for part in pair]
    # No second socket in /tmp, and no JavaScript, which queries could bring along.
    return [binary, "--quiet", "--logappend", "--nounixsocket", "--noscripting", *options]


def _die_with(keeper: int) -> Callable[[], None] | None:
    """Return a ``preexec_fn`` that makes mongod end with its keeper."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != keeper:
            os._exit(1)  # It died before it could be watched.

    return prepare


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _message_text(message: dict[str, Any]) -> str:
    """Return a log message's text, with that of the storage engine."""
    attributes = message.get("attr") or {}
    words = [message.get("msg")]
    for detail in (attributes.get("error"), attributes.get("message")):
        if isinstance(detail, dict):
            words.append(detail.get("errmsg") or detail.get("msg"))
        elif isinstance(detail, str):
            words.append(detail)
    return ": ".join(_PLACE_IN_CODE.sub("", str(word)).strip() for word in words if word)


if __name__ == "__main__":
    sys.exit(main())
