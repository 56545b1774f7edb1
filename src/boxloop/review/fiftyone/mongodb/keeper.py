"""The process that runs mongod for all sessions of one campaign, and outlives each of them.

    python -m boxloop.review.fiftyone.mongodb.keeper FOLDER MONGOD

A session that needs a database starts a keeper, which steps back where another is at work. It
starts mongod, says in ``mongod.json`` where it listens, starts it again on the same port where it
was killed, and stops it when no session holds ``sessions.lock`` any longer: when the last one
ended, or was killed. While mongod stops, the keeper holds that lock alone, so that a session that
comes just then waits, and starts afresh.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from boxloop.errors import DatabaseError
from boxloop.review.fiftyone.mongodb.locks import lock_file, try_lock
from boxloop.review.fiftyone.mongodb.mongod import (
    PORT_IN_USE,
    Mongod,
    Place,
    Running,
    end_leftover,
    rotate_log,
)

_POLL_SECONDS = 0.2
_POLL_SECONDS_AT_START = 0.02
_SECONDS_TO_COUNT_AS_RUNNING = 3.0
_DEATHS_AT_START = 3


def main() -> int:
    """Keeps a mongod; the last line on standard error says why where it cannot."""
    place, binary = Place(Path(sys.argv[1])), Path(sys.argv[2])
    with lock_file(place.keeper_lock) as own, lock_file(place.sessions_lock) as sessions:
        if not try_lock(own):
            return 0
        os.ftruncate(sys.stderr.fileno(), 0)
        os.chdir("/")  # The folder that it was started in can be deleted or unmounted.
        try:
            keep(place, binary, sessions)
        except (DatabaseError, OSError) as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def keep(place: Place, binary: Path, sessions: int) -> None:
    """Runs mongod until no session is left, or SIGTERM asks for an end.

    Args:
        place: the files of the database.
        binary: the mongod to run.
        sessions: the open file whose lock the sessions share.

    Raises:
        DatabaseError: mongod ends by itself, with its last words.
    """
    asked_to_end = _asked_to_end()
    place.record.unlink(missing_ok=True)
    end_leftover(place)
    rotate_log(place)
    mongod, started, deaths = Mongod(binary, place), time.monotonic(), 0
    running: Running | None = None
    port = 0
    try:
        while not asked_to_end and not try_lock(sessions):
            if mongod.process.poll() is not None:
                _withdraw(place, running)
                lived = time.monotonic() - started
                deaths = 0 if lived > _SECONDS_TO_COUNT_AS_RUNNING else deaths + 1
                taken = mongod.process.returncode == PORT_IN_USE and port
                failed = mongod.process.returncode > 0 and not taken
                if failed or deaths >= _DEATHS_AT_START:
                    raise DatabaseError(mongod.last_words())
                # Killed, or shut down from outside: on the same port the sessions do not notice.
                port = 0 if taken or running is None else running.port
                mongod, started, running = Mongod(binary, place, port), time.monotonic(), None
            elif running is None:
                listens = mongod.port()
                if listens is not None:
                    running = Running(mongod.process.pid, listens)
                    running.write(place.record)
            time.sleep(_POLL_SECONDS_AT_START if running is None else _POLL_SECONDS)
    finally:
        _withdraw(place, running)
        mongod.stop()


def _withdraw(place: Place, running: Running | None) -> None:
    # The folder may have been deleted and made anew: then the record is another keeper's.
    if running is not None and Running.read(place.record) == running:
        with contextlib.suppress(OSError):
            place.record.unlink()


def _asked_to_end() -> list[int]:
    """Fills with the signals that came: the system shuts down, or a person ends the keeper."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, note)
    return came


if __name__ == "__main__":
    sys.exit(main())
