"""Open the App's database: the user's MongoDB or the campaign's mongod."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import platformdirs

from boxloop.errors import DatabaseError
from boxloop.files import make_folder
from boxloop.review.fiftyone.database_socket import socket_uri
from boxloop.review.fiftyone.file_lock import is_locked, open_lock, try_lock
from boxloop.review.fiftyone.mongod_keeper import DatabaseFiles, RunningMongod, mongod_environment

URI_VARIABLE = "FIFTYONE_DATABASE_URI"
MONGOD_VARIABLE = "BOXLOOP_MONGOD"
INSTALLED_VERSION = "6.0.27"

_OLDEST = (6, 0)  # fiftyone.constants.MONGODB_MIN_VERSION of FiftyOne 1.22
_VERSION = re.compile(r"db version v(\d+)\.(\d+)")
_SECONDS_TO_SAY_VERSION = 60.0
_SECONDS_TO_START = 120.0
_SECONDS_TO_ANSWER = 5.0
_SECONDS_OF_OURS_TO_ANSWER = 1.0
_POLL_SECONDS = 0.02
_BYTES_TO_START = 1 << 20


@contextmanager
def open_database(folder: Path) -> Iterator[str]:
    """Provide a MongoDB that answers, for as long as the session lasts.

    Where FIFTYONE_DATABASE_URI is set when this is called, that is the database. Otherwise it is a
    mongod on the files in ``folder``, on a unix socket that only its owner can open, started where
    none runs and shared by all sessions of the campaign; it stops by itself soon after the last of
    them ended or was killed.

    Args:
        folder: the campaign's ``.boxloop``; made where it is missing.

    Yields:
        The URI. That of a mongod of our own asks for every write to be in the journal before it
        counts as done, so that neither a kill nor a power cut takes it back.

    Raises:
        DatabaseError: no mongod is found, it does not start, or the user's MongoDB does not answer.
        UserError: its folder cannot be made.
    """
    users_own = os.environ.get(URI_VARIABLE)
    if users_own:
        _require_answer(users_own)
        yield users_own
        return
    binary = find_mongod()
    files = DatabaseFiles(folder)
    with ExitStack() as session:
        try:
            socket = _join(files, binary, session)
        except OSError as error:
            raise DatabaseError(
                f"the review's database cannot be used ({error.filename or files.folder}:"
                f" {error.strerror or error}): put that right, or move the campaign to a folder of"
                " your own on a disk of this machine"
            ) from None
        yield f"{socket_uri(socket)}/?journal=true"


def _join(files: DatabaseFiles, binary: Path, session: ExitStack) -> Path:
    """Register as a session, and return the socket of the campaign's mongod."""
    make_folder(files.folder)
    ignore = files.folder / ".gitignore"
    if not ignore.exists():
        # Campaigns from before there was a database have no line for it in their own.
        ignore.write_text("*\n", encoding="utf-8")
    lock = session.enter_context(open_lock(files.sessions_lock))
    if not try_lock(lock, shared=True, seconds=_SECONDS_TO_START):
        raise DatabaseError(
            f"the database in {files.folder} does not stop, nor start again: its log is {files.log}"
        )
    deadline = time.monotonic() + _SECONDS_TO_START
    keeper: subprocess.Popen[bytes] | None = None
    while time.monotonic() < deadline:
        if is_locked(files.keeper_lock):
            running = RunningMongod.read(files.record)
            # A keeper that has just begun removes the record of one that was killed, whose mongod
            # may still answer: what is still written down after the answer was not its.
            if (
                running is not None
                and _serves(Path(running.socket), files)
                and RunningMongod.read(files.record) == running
            ):
                return Path(running.socket)
        elif keeper is None or keeper.poll() == 0:
            keeper = _start_keeper(files, binary)
        elif keeper.returncode is not None:
            raise DatabaseError(_failure(files))
        time.sleep(_POLL_SECONDS)
    raise DatabaseError(
        f"the review's database did not start within {_SECONDS_TO_START:.0f} s: its log is"
        f" {files.log}"
    )


class DatabaseWatch:
    """Looks after the database of an open session: to be called every second or so.

    The keeper restarts mongod; what ends the keeper, as a kernel that is out of memory may, ends
    both, and nothing in the App would tell.
    """

    def __init__(self, folder: Path) -> None:
        """Start with a database that :func:`open_database` opened in this ``.boxloop``."""
        self._files = DatabaseFiles(folder)
        self._users_own = bool(os.environ.get(URI_VARIABLE))
        self._running = RunningMongod.read(self._files.record)
        self._keeper: subprocess.Popen[bytes] | None = None

    def __call__(self) -> None:
        """Start the keeper again where it is gone; mongod comes back on the same socket.

        Raises:
            DatabaseError: it does not come back; says why.
        """
        if self._users_own:
            return
        with suppress(OSError):  # the folder is gone, or the disk full: the next call may do
            if is_locked(self._files.keeper_lock):
                now, before = RunningMongod.read(self._files.record), self._running
                if now is not None and before is not None and now.socket != before.socket:
                    raise DatabaseError(
                        f"the review's database ended, and came back at {now.socket} instead of"
                        f" {before.socket}, where the App cannot reach it; what was saved is kept,"
                        " and the same command goes on from there"
                    )
                return
            ended = None if self._keeper is None else self._keeper.poll()
            if ended is not None and ended > 0:
                raise DatabaseError(_failure(self._files))
            if self._keeper is None or ended is not None:  # killed, or another was there first
                socket = None if self._running is None else self._running.socket
                self._keeper = _start_keeper(self._files, find_mongod(), socket)


def _start_keeper(
    files: DatabaseFiles, binary: Path, socket: str | None = None
) -> subprocess.Popen[bytes]:
    # -P: files of the campaign's folder are no modules.
    module = "boxloop.review.fiftyone.mongod_keeper"
    command = [sys.executable, "-P", "-m", module, os.fspath(files.folder), os.fspath(binary)]
    with files.keeper_log.open("ab") as log:
        keeper = subprocess.Popen(
            command if socket is None else [*command, socket],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in the terminal is for the session, which needs its database until it ended.
            start_new_session=True,
        )
    # It may end long before this process does, which has to collect its exit code then.
    threading.Thread(target=keeper.wait, daemon=True).start()
    return keeper


def _serves(socket: Path, files: DatabaseFiles) -> bool:
    """Return whether the mongod at a socket has this campaign's data."""
    import pymongo
    from pymongo.errors import PyMongoError

    milliseconds = _SECONDS_OF_OURS_TO_ANSWER * 1000
    if not socket.name.endswith(".sock"):  # a record that is nonsense
        return False
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(
        socket_uri(socket), serverSelectionTimeoutMS=milliseconds, socketTimeoutMS=milliseconds
    ) as client:
        try:
            settings = client.admin.command("getCmdLineOpts")["parsed"]
        except PyMongoError:
            return False
    return bool(settings.get("storage", {}).get("dbPath") == os.fspath(files.data))


def _failure(files: DatabaseFiles) -> str:
    lines = files.keeper_log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    reason = lines[-1] if lines else "it does not say why"
    if shutil.disk_usage(files.folder).free < _BYTES_TO_START:
        reason = f"there is no room left on the disk of {files.folder}"
    return (
        f"the review's database does not start ({reason}): its log is {files.log}, and if nothing"
        f" else helps, move {files.data} away: what was submitted does not depend on it"
    )


def _require_answer(uri: str) -> None:
    import pymongo
    from pymongo.errors import PyMongoError

    client: pymongo.MongoClient[dict[str, Any]]
    try:
        with pymongo.MongoClient(uri, serverSelectionTimeoutMS=_SECONDS_TO_ANSWER * 1000) as client:
            client.admin.command("ping")
    except (PyMongoError, ValueError) as error:
        # The URI itself may hold a password.
        reason = re.split(r" \(configured timeouts|, Timeout:", str(error))[0]
        raise DatabaseError(
            f"the MongoDB that {URI_VARIABLE} names cannot be used ({reason}): start it, or unset"
            " the variable and boxloop starts one of its own"
        ) from None


# --- which mongod ---------------------------------------------------------------------------------


def find_mongod() -> Path:
    """Find a mongod that runs on this machine.

    Tried in this order: the file that the environment variable BOXLOOP_MONGOD names, the one that
    came with FiftyOne, ``mongod`` on PATH, the one of ``boxloop install-mongod``.

    Raises:
        DatabaseError: none of them works, or BOXLOOP_MONGOD names one that does not.
    """
    named = os.environ.get(MONGOD_VARIABLE)
    if named:
        problem = check_mongod(Path(named))
        if problem is not None:
            raise DatabaseError(
                f"{MONGOD_VARIABLE} names {named}, {problem}: name a mongod that runs, or unset"
                " the variable"
            )
        return Path(named).absolute()
    problems = []
    for path in _candidates():
        if not path.exists():
            continue
        problem = check_mongod(path)
        if problem is None:
            return path.absolute()
        problems.append(f"{path}, {problem}")
    tried = f" ({'; '.join(problems)})" if problems else ""
    raise DatabaseError(
        f"no mongod that runs was found on this machine{tried}: type 'boxloop install-mongod', or"
        f" set {URI_VARIABLE} to a MongoDB of your own"
    )


def installed_mongod() -> Path:
    """Return where ``boxloop install-mongod`` puts it: a folder of the user's own."""
    return platformdirs.user_data_path("boxloop") / f"mongod-{INSTALLED_VERSION}" / "mongod"


def check_mongod(path: Path) -> str | None:
    """Run ``mongod --version``.

    Returns:
        None where it runs here and FiftyOne accepts its version; else why not, as a clause that
        begins with "which".
    """
    try:
        done = subprocess.run(
            # Absolute, as a name without a folder would be looked for on PATH.
            [os.fspath(path.absolute()), "--version"],
            env=mongod_environment(path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS_TO_SAY_VERSION,
        )
    except subprocess.TimeoutExpired:
        return "which does not answer"
    except OSError as error:
        return f"which cannot be run ({error.strerror or error})"
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines()
        return f"which does not start ({lines[-1] if lines else done.returncode})"
    version = _VERSION.search(done.stdout)
    if version is None:
        return "which is no mongod"
    if (int(version[1]), int(version[2])) < _OLDEST:
        return f"which is version {version[1]}.{version[2]}, and FiftyOne needs 6.0"
    return None


def _candidates() -> Iterator[Path]:
    # find_spec looks for the package's folder and imports nothing: FiftyOne takes seconds.
    fiftyone = importlib.util.find_spec("fiftyone")
    for folder in (fiftyone and fiftyone.submodule_search_locations) or ():
        yield Path(folder) / "db" / "bin" / "mongod"
    on_path = shutil.which("mongod")
    if on_path is not None:
        yield Path(on_path)
    yield installed_mongod()
