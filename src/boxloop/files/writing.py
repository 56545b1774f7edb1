"""Write files atomically, and never over a file of another kind.

A write goes to a temporary file in the same folder, is flushed to disk and then renamed, so a kill
at any moment leaves either the old file or the new one. No write replaces an artifact of another
kind: with the arguments of a stage in the wrong order, labels would be lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import re
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boxloop.errors import ArtifactError, UserError, why, written
from boxloop.files.reading import BAD_ARCHIVE, open_regular

_LEFTOVER_SECONDS = 3600

_YOUNG = 1.0
"""Seconds that a temporary file may exist without its lock."""

DETECTOR, SIMNET, FEATURES = "boxloop/detector", "boxloop/simnet", "boxloop/features"
"""Kinds of the files that are not JSON."""

EMPTY_DETECTOR = b'{"architecture": "empty"'
"""How the checkpoint of the empty detector begins."""

_IN_THE_WAY = {
    True: "is a file, not a folder: move it away, or use another place",
    False: "is a link to no folder: remove it, or make what it names",
}
"""What is said of something where a folder belongs, by whether it is there."""

_KIND = re.compile(rb'\s*\{\s*"format":\s*"(boxloop/[a-z]+)@')
_NAMED = re.compile(rb"(boxloop/[a-z]+)@")
_LONGEST_HEADER = 2**24
_PARQUET = b"PAR1"


@contextmanager
def atomic_path(path: Path, kind: str | None = None, *, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path, and rename it to ``path`` at the end.

    A missing folder is made. After an exception the temporary file is gone and
    ``path`` is as it was.

    Args:
        path: the file to write or replace.
        kind: what the file will be, such as "boxloop/order", where artifacts of
            that kind name it.
        new: whether ``path`` must not exist, also not at the moment of the renaming.

    Raises:
        UserError: the file cannot be written.
        ArtifactError: ``path`` holds something else, see :func:`require_writable`.
        FileExistsError: ``path`` exists, and must not.
    """
    path = Path(path)  # a program that saves a detector may give a text
    if new and path.exists():
        raise FileExistsError(f"{path} exists")
    require_writable(path, kind)
    name = glob.escape(path.name)
    remove_leftovers(path.parent, f".{name}", glob.escape(path.suffix), unlocked=True)
    try:
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent
        )
    except OSError as error:
        raise _unwritable(path, error) from None
    temporary = Path(name)
    try:
        _lock(handle)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes private files; artifacts are as readable as any other file of the user's.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        if new:
            _rename_to_new(temporary, path)
        else:
            temporary.replace(path)
        _fsync_directory(path.parent)
    except FileExistsError:
        raise
    except OSError as error:
        if is_elsewhere(error, temporary) and is_elsewhere(error, path):
            raise
        raise _unwritable(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)


def is_elsewhere(error: OSError, folder: Path) -> bool:
    """Tell whether an error is of another file than ``folder``, and of none in it."""
    place = written(error)
    inside = place is None or Path(os.path.abspath(place)).is_relative_to(os.path.abspath(folder))
    return not inside


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename a file to a name that must not exist.

    A hard link fails where the name is taken, which a rename does not.

    Raises:
        FileExistsError: it exists.
    """
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # Some network and USB file systems have no hard links: reserve the name by an empty file.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        temporary.replace(path)


def _fsync_directory(folder: Path) -> None:
    """Fsync a directory, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_leftovers(folder: Path, name: str, suffix: str, *, unlocked: bool = False) -> None:
    """Remove temporary files of killed writers: those of an hour, which no live one takes.

    Args:
        folder: where they lie.
        name: a pattern of what their names begin with.
        suffix: a pattern of what their names end with, after the eight characters of ``mkstemp``.
        unlocked: whether those that no process holds are removed at once, too.
    """
    for leftover in folder.glob(f"{name}.????????{suffix}"):
        with contextlib.suppress(OSError):
            age = time.time() - leftover.stat().st_mtime
            if age > _LEFTOVER_SECONDS or (unlocked and age > _YOUNG and not _is_held(leftover)):
                leftover.unlink()


def _lock(handle: int) -> None:
    """Hold a temporary file, until the process closes it or is killed."""
    with contextlib.suppress(OSError):  # some file systems know no locks: then its age tells
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _is_held(path: Path) -> bool:
    """Return whether a process writes the file, or it cannot be told."""
    try:
        with open_regular(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def require_writable(path: Path, kind: str | None = None) -> None:
    """Make the folder of ``path``; refuse to write a file of this ``kind`` over another.

    Raises:
        UserError: it is a folder, or lies in none that can be written to.
        ArtifactError: it exists, is not empty, and is of another kind, or not of boxloop's; a file
            without a kind may replace what is not of boxloop's.
    """
    try:
        make_folder(path.parent, path)
    except ValueError:
        raise UserError(f"{str(path)!a} cannot be written: no file can have this name") from None
    if path.is_dir():
        raise UserError(f"{path} cannot be written: it is a folder")
    if not os.access(path.parent, os.W_OK):
        raise UserError(
            f"{path} cannot be written: the folder {path.parent} is read-only: make it writable, or"
            " use another place"
        )
    try:
        empty, present = _kind_of(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(
            f"{path} was not replaced: {error.strerror or error}: name another file to write, or"
            " move that away"
        ) from None
    if not empty and present != kind:
        what = f"a file of format {present}" if present else "not one of boxloop's files"
        raise ArtifactError(
            f"{path} is {what} and was not replaced: name another file to write, or move that away"
        )


def make_folder(folder: Path, file: Path | None = None) -> None:
    """Make a folder, and those above it, where they are missing.

    Args:
        folder: to make.
        file: what is to be written there, which is named where that cannot be; else the folder.

    Raises:
        UserError: it cannot be made; names what is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = why(error)
        for place in (folder, *folder.parents):
            if os.path.lexists(place) and not place.is_dir():
                reason = f"{place} {_IN_THE_WAY[place.exists()]}"
        raise UserError(f"{file or folder} cannot be written: {reason}") from None


def _kind_of(path: Path) -> tuple[bool, str | None]:
    """Tell whether a file is empty, and its kind, where it is one of boxloop's.

    JSON names its kind at its beginning, safetensors in a JSON header after eight bytes of its
    length, Parquet in the metadata at its end, of a length that is told by the eight bytes after
    them. Files of torch and of numpy are zip archives.
    """
    with open_regular(path) as file:
        start = file.read(200)
        match = _KIND.match(start)
        if start[:4] == _PARQUET:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 8, 0))
            length = int.from_bytes(file.read(4), "little")
            file.seek(max(size - 8 - length, 0))
            match = _KIND.search(file.read(length))
        elif start[8:9] == b"{":
            file.seek(8)
            length = int.from_bytes(start[:8], "little")
            match = _NAMED.search(file.read(min(length, _LONGEST_HEADER)))
        elif start[:2] == b"PK":
            return False, _kind_of_archive(path)
    if start.startswith(EMPTY_DETECTOR):
        return False, DETECTOR
    return not start, match[1].decode() if match else None


def _kind_of_archive(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if sorted(names) == ["image_ids.npy", "vectors.npy"]:
                return FEATURES
            for name in names:
                if name.endswith("/data.pkl"):
                    with archive.open(name) as content:
                        match = _NAMED.search(content.read(_LONGEST_HEADER))
                    return match[1].decode() if match else None
    except (OSError, *BAD_ARCHIVE):
        return None
    return None


def _unwritable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be written: {why(error)}")


def write_text(path: Path, text: str, kind: str | None = None, *, new: bool = False) -> None:
    """Write UTF-8 text atomically; the arguments are those of :func:`atomic_path`."""
    with atomic_path(path, kind, new=new) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(
    path: Path, payload: Mapping[str, Any], *, depth: int = 2, new: bool = False
) -> None:
    """Write JSON atomically: one line per container down to ``depth``.

    Raises:
        UserError: the file cannot be written.
        ArtifactError: it exists and its ``format`` is not that of ``payload``.
        FileExistsError: it exists, and must be ``new``.
    """
    kind = payload["format"].partition("@")[0] if "format" in payload else None
    with (
        atomic_path(path, kind, new=new) as temporary,
        temporary.open("w", encoding="utf-8") as file,
    ):
        file.writelines(_dump(payload, depth))
        file.write("\n")


# What json does not know are mappings that make their items as they are asked for.
_to_line = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=dict).encode


def _dump(value: Any, depth: int, indent: int = 0) -> Iterator[str]:
    """Yield the pieces of the text, so that a large file is never in memory as a whole."""
    if depth == 0 or not isinstance(value, Mapping | list | tuple) or not value:
        yield _to_line(value)
        return
    pad = " " * (indent + 1)
    rows: Iterator[tuple[str, Any]]
    if isinstance(value, Mapping):
        start, end = "{}"
        rows = ((f"{pad}{_to_line(key)}: ", item) for key, item in value.items())
    else:
        start, end = "[]"
        rows = ((pad, item) for item in value)
    for number, (head, item) in enumerate(rows):
        yield f"{',' if number else start}\n{head}"
        yield from _dump(item, depth - 1, indent + 1)
    yield f"\n{' ' * indent}{end}"
