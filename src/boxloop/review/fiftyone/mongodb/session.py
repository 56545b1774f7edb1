"""A session's way to its database: the user's own MongoDB, or the campaign's mongod."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from boxloop.errors import DatabaseError
from boxloop.review.fiftyone.install_mongod.binary import find_mongod
from boxloop.review.fiftyone.mongodb.locks import is_locked, lock_file, wait_shared
from boxloop.review.fiftyone.mongodb.mongod import Place, Running

URI_VARIABLE = "FIFTYONE_DATABASE_URI"

_POLL_SECONDS = 0.02
_SECONDS_TO_START = 120.0
_SECONDS_TO_ANSWER = 5.0
_SECONDS_OF_OURS_TO_ANSWER = 1.0
_BYTES_TO_START = 1 << 20


@contextmanager
def open_database(folder: Path) -> Iterator[str]:
    """Gives a MongoDB that answers, for as long as the session lasts.

    Where FIFTYONE_DATABASE_URI is set when this is called, that is the database. Otherwise it is a
    mongod on the files in ``folder``, on 127.0.0.1, started where none runs and shared by all
    sessions of the campaign; it stops by itself soon after the last of them ended or was killed.

    Args:
        folder: the campaign's ``.boxloop``; made where it is missing.

    Yields:
        The URI. That of a mongod of our own asks for every write to be in the journal before it
        counts as done, so that neither a kill nor a power cut takes it back.

    Raises:
        DatabaseError: no mongod is found, it does not start, or the user's MongoDB does not answer.
    """
    theirs = os.environ.get(URI_VARIABLE)
    if theirs:
        _require_answer(theirs)
        yield theirs
        return
    binary = find_mongod()
    place = Place(folder.resolve())
    with ExitStack() as session:
        try:
            port = _join(place, binary, session)
        except OSError as error:
            raise DatabaseError(
                f"the review's database cannot be used ({error.filename or place.folder}:"
                f" {error.strerror or error}): put that right, or move the campaign to a folder of"
                " your own on a disk of this machine"
            ) from None
        yield f"mongodb://127.0.0.1:{port}/?journal=true"


def _join(place: Place, binary: Path, session: ExitStack) -> int:
    """Counts as a session from now on, and returns the port of the campaign's mongod."""
    place.folder.mkdir(parents=True, exist_ok=True)
    ignore = place.folder / ".gitignore"
    if not ignore.exists():
        # Campaigns from before there was a database have no line for it in their own.
        ignore.write_text("*\n", encoding="utf-8")
    lock = session.enter_context(lock_file(place.sessions_lock))
    if not wait_shared(lock, _SECONDS_TO_START):
        raise DatabaseError(
            f"the database in {place.folder} does not stop, nor start again: its log is {place.log}"
        )
    deadline = time.monotonic() + _SECONDS_TO_START
    keeper: subprocess.Popen[bytes] | None = None
    while time.monotonic() < deadline:
        if is_locked(place.keeper_lock):
            running = Running.read(place.record)
            if running is not None and _is_ours(running.port, place):
                return running.port
        elif keeper is None or keeper.poll() == 0:
            keeper = _start_keeper(place, binary)
        elif keeper.returncode is not None:
            raise DatabaseError(_failure(place))
        time.sleep(_POLL_SECONDS)
    raise DatabaseError(
        f"the review's database did not start within {_SECONDS_TO_START:.0f} s: its log is"
        f" {place.log}"
    )


def _start_keeper(place: Place, binary: Path) -> subprocess.Popen[bytes]:
    with place.keeper_log.open("ab") as log:
        keeper = subprocess.Popen(
            # -P: files of the campaign's folder are no modules.
            [
                sys.executable,
                "-P",
                "-m",
                "boxloop.review.fiftyone.mongodb.keeper",
                place.folder,
                binary,
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Ctrl-C in the terminal is for the session, which needs its database until it ended.
            start_new_session=True,
        )
    # It may end long before this process does, which is then to take note of it.
    threading.Thread(target=keeper.wait, daemon=True).start()
    return keeper


def _is_ours(port: int, place: Place) -> bool:
    """Whether the mongod at that port has this campaign's data: the record may be out of date."""
    import pymongo
    from pymongo.errors import PyMongoError

    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(
        "127.0.0.1",
        port,
        serverSelectionTimeoutMS=_SECONDS_OF_OURS_TO_ANSWER * 1000,
        socketTimeoutMS=_SECONDS_OF_OURS_TO_ANSWER * 1000,
    ) as client:
        try:
            settings = client.admin.command("getCmdLineOpts")["parsed"]
        except PyMongoError:
            return False
    return bool(settings.get("storage", {}).get("dbPath") == os.fspath(place.data))


def _failure(place: Place) -> str:
    said = place.keeper_log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    reason = said[-1] if said else "it does not say why"
    if shutil.disk_usage(place.folder).free < _BYTES_TO_START:
        reason = f"there is no room left on the disk of {place.folder}"
    return (
        f"the review's database does not start ({reason}): its log is {place.log}, and if nothing"
        f" else helps, move {place.data} away: what was submitted does not depend on it"
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
