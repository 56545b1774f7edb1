"""Locks that the system gives back when their process dies, whatever it died of.

flock(2) rather than a file with a process id: nothing is left behind by a kill, and nothing has to
be guessed about ids that are used again.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.02

_open_files: set[int] = set()


def _close_in_child() -> None:
    """A forked child must not hold the locks of its parent."""
    for file in _open_files:
        os.close(file)
    _open_files.clear()


# A child that runs another program has them closed anyway: they are not inheritable (PEP 446).
os.register_at_fork(after_in_child=_close_in_child)


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """Opens a file to lock, and closes it, which gives the lock back.

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


def try_lock(file: int, *, shared: bool = False) -> bool:
    """Takes the lock unless another process has it.

    Raises:
        OSError: the file system knows no locks.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_shared(file: int, seconds: float) -> bool:
    """Waits for a shared lock; False where it was not to be had in time."""
    deadline = time.monotonic() + seconds
    while not try_lock(file, shared=True):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def is_locked(path: Path) -> bool:
    """Whether a process holds the file's lock exclusively."""
    with lock_file(path) as file:
        return not try_lock(file, shared=True)
