"""Temporary files: where the system's place for them takes none, that is what is told."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boxloop.errors import UserError, why
from boxloop.files.writing import is_elsewhere

_SPARE = 2**20  # bytes, for what is written beside a file that is copied


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder, which is gone at the end; see :func:`writing_temporary`.

    Raises:
        UserError: none can be made.
    """
    with writing_temporary():
        folder = tempfile.TemporaryDirectory(prefix="boxloop-")
    with folder as name:
        yield Path(name)


@contextmanager
def writing_temporary() -> Iterator[None]:
    """Tell what the system says of temporary files, which all that is written in here are.

    Raises:
        UserError: their place is full, or takes no file for another reason.
    """
    try:
        yield
    except OSError as error:
        place = _place()
        if is_elsewhere(error, place):
            raise
        raise _full(f"{place}, where temporary files go, cannot be written: {why(error)}") from None


def require_temporary_room(size: int) -> None:
    """Refuse before another program copies so many bytes to a temporary file.

    Raises:
        UserError: there is no room for them.
    """
    place = _place()
    with writing_temporary():
        free = shutil.disk_usage(place).free
    if free < size + _SPARE:
        raise _full(
            f"{place}, where temporary files go, has {free:,} bytes free of the {size + _SPARE:,}"
            " that are needed: free some, then try again"
        )


def _place() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # no place takes a file
        return Path(os.environ.get("TMPDIR") or "/tmp")


def _full(said: str) -> UserError:
    return UserError(f"{said}; or set TMPDIR to a folder with more room")
