"""Lock files with flock, which the system releases when a process ends."""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.02

_open_files: set[int] = set()


def _close_in_child() -> None:
    """Close the files in a forked child, which would keep the locks."""
    for file in _open_files:
        os.close(file)
    _open_files.clear()


# A child that runs another program has them closed anyway: they are not inheritable (PEP 446).
os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def open_lock(path: Path) -> Iterator[int]:
    """Open a file to lock; closing it at the end releases the lock.

    Raises:
        OSError: it cannot be opened or made.
    """
    # Open for writing: NFS allows an exclusive lock only then.
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _open_files.add(file)
    try:
        yield file
    finally:
        if file in _open_files:
            _open_files.discard(file)
            os.close(file)


def try_lock(file: int, *, shared: bool = False, seconds: float = 0.0) -> bool:
    """Take the lock; return False where another process held it for all these seconds.

    Raises:
        OSError: the file system knows no locks.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
        time.sleep(_POLL_SECONDS)


@contextmanager
def lock(path: Path, seconds: float = math.inf) -> Iterator[None]:
    """Hold a file's lock alone.

    Raises:
        TimeoutError: another process held it for so long.
    """
    with open_lock(path) as file:
        if not try_lock(file, seconds=seconds):
            raise TimeoutError(f"{path} is locked by another process")
        yield


def is_locked(path: Path) -> bool:
    """Return whether a process holds the file's lock alone."""
    with open_lock(path) as file:
        return not try_lock(file, shared=True)
