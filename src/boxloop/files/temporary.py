"""Temporary files: where the system's place for them takes none, that is what is told."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boxloop.errors import SET_TMPDIR, UserError, temporary_place, temporary_refused, written
from boxloop.files.writing import is_elsewhere

_SPARE = 2**20  # bytes, for what is written beside a file that is copied


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a new folder, which is gone at the end; see :func:`writing_temporary`.

    Raises:
        UserError: none can be made, or a file of it that is named cannot be written.
    """
    with writing_temporary():
        folder = tempfile.TemporaryDirectory(prefix="boxloop-")
    with folder as name:
        try:
            yield Path(name)
        except OSError as error:
            if written(error) is None or is_elsewhere(error, Path(name)):
                raise
            raise temporary_refused(error) from None
        except UserError as error:
            # That of a file of it, from who does not know that it is temporary.
            if type(error) is not UserError or not str(error).startswith(f"{name}{os.sep}"):
                raise
            raise UserError(f"{error}; {SET_TMPDIR}") from None


@contextmanager
def writing_temporary() -> Iterator[None]:
    """Tell what the system says of temporary files, which all that is written in here are.

    Raises:
        UserError: their place is full, or takes no file for another reason.
    """
    try:
        yield
    except OSError as error:
        if is_elsewhere(error, Path(temporary_place())):
            raise
        raise temporary_refused(error) from None


def require_temporary_room(size: int) -> None:
    """Refuse before another program copies so many bytes to a temporary file.

    Raises:
        UserError: there is no room for them.
    """
    place = temporary_place()
    with writing_temporary():
        free = shutil.disk_usage(place).free
    if free < size + _SPARE:
        raise UserError(
            f"{place}, where temporary files go, has {free:,} bytes free of the {size + _SPARE:,}"
            f" that are needed: free some, then try again; {SET_TMPDIR}"
        )
