"""Open files: regular ones only, and none that is larger than is sane.

A named pipe waits for ever, and a device has no end. Every file that boxloop reads, whoever made
it, is opened here.
"""

from __future__ import annotations

import errno
import gc
import hashlib
import lzma
import os
import stat
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from boxloop.errors import ArtifactError

MOST_BYTES = 2**32
"""Of a file that is read as a whole, unless its reader says otherwise."""

MOST_TEXT = 2**20
"""Bytes of a file that people write by hand, such as params.yaml."""

BAD_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, KeyError),
    *(SyntaxError, tokenize.TokenError, AssertionError, AttributeError, IndexError),
    *(ValueError, TypeError, NotImplementedError, RuntimeError, OverflowError, MemoryError),
)
"""What Python's library raises where a zip archive is damaged, encrypted or exotic.

The header of an array in it is an expression of Python's, which fails as such.
"""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@contextmanager
def open_regular(path: Path, most: int | None = None) -> Iterator[BufferedReader]:
    """Open a regular file for reading bytes, at once: a pipe without a writer is no reason to wait.

    Args:
        path: the file; links are followed.
        most: bytes that it may have, if there is a limit.

    Raises:
        OSError: it cannot be opened, is no regular file, or is too large; ``strerror`` says so.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except ValueError:  # a zero byte, or half of a surrogate pair
        raise FileNotFoundError(errno.ENOENT, "no file can have this name", str(path)) from None
    found = os.fstat(handle)
    why = None
    if not stat.S_ISREG(found.st_mode):
        why = f"it is {_KINDS.get(stat.S_IFMT(found.st_mode), 'something else')}, not a file"
    elif most is not None and found.st_size > most:
        why = f"it has {found.st_size:,} bytes, more than the {most:,} that it may have"
    if why is not None:
        os.close(handle)
        raise OSError(errno.EINVAL, why, str(path))
    with os.fdopen(handle, "rb") as file:
        yield file


def require_regular(path: Path) -> None:
    """Refuse a file that a library, which opens it by its name, could wait for.

    Raises:
        OSError: as :func:`open_regular`.
    """
    with open_regular(path):
        pass


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """Read a whole regular file.

    Raises:
        OSError: as :func:`open_regular`.
    """
    with open_regular(path, most) as file:
        return file.read()


def read_text(path: Path, most: int = MOST_TEXT) -> str:
    """Read a regular file of UTF-8 text; every line end becomes a line feed.

    Raises:
        OSError: as :func:`open_regular`.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_bytes(path, most).decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError of reading one of boxloop's files into a sentence that names it.

    Raises:
        ArtifactError: the file is missing, or cannot be read.
    """
    try:
        yield
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: run the stage that makes it first") from None
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be read: {error.strerror or error}: put a file there that can, or move"
            " it away and run the stage that makes it"
        ) from None


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex.

    Raises:
        ArtifactError: it is missing, or cannot be read.
    """
    with explained(path), open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def collection_paused() -> Iterator[None]:
    """Keep Python from looking for circles while many objects are made that all stay.

    It looks through all of them again and again, which takes longer than to make them.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
