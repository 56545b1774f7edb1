"""List and read a dataset's files, in a stable order."""

from __future__ import annotations

import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from boxloop.datasets.images import SUFFIXES, read_bytes
from boxloop.errors import DatasetError

_DIGITS = re.compile(r"([0-9]+)")


def natural_key(path: PurePosixPath | str) -> list[list[tuple[int, int, str]]]:
    """Return a key that sorts ``frame2`` before ``frame10``, whatever the case."""
    return [
        [
            (0, int(run), run) if run.isascii() and run.isdecimal() else (1, 0, run.casefold())
            for run in runs
        ]
        for runs in (
            [run for run in _DIGITS.split(part) if run] for part in PurePosixPath(path).parts
        )
    ]


def require_folder(path: Path, what: str = "dataset.path") -> Path:
    """Return ``path``, which must be a folder.

    Raises:
        DatasetError: it is missing, or is not a folder.
    """
    if not exists(path):
        raise DatasetError(f"{what} is '{path}', which does not exist")
    if not path.is_dir():
        raise DatasetError(f"{what} is '{path}', which is not a folder")
    return path


def exists(path: Path) -> bool:
    """Return whether a path exists; False for an invalid or inaccessible one."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long, a folder that may not be entered
        return False


def list_files(folder: Path, suffixes: Sequence[str]) -> list[PurePosixPath]:
    """List the files below a folder that have one of these suffixes.

    The suffixes are in lower case. The paths are relative to the folder and naturally sorted.

    Links are followed, also to folders (each folder once, so that links in a circle end). Names
    that begin with a dot are skipped: file managers leave such files beside the real ones.

    Raises:
        DatasetError: a folder cannot be listed.
    """
    found = [
        PurePosixPath(Path(where).relative_to(folder).as_posix()) / name
        for where, names in _walk(folder)
        for name in names
        if not name.startswith(".") and name.lower().endswith(tuple(suffixes))
    ]
    return sorted(found, key=lambda path: (natural_key(path), path))


def walk(folder: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it, but for hidden ones.

    Raises:
        DatasetError: a folder cannot be listed.
    """
    for where, names in _walk(folder):
        inside = Path(where).relative_to(folder).as_posix()
        start = "" if inside == "." else f"{inside}/"
        yield from (start + name for name in names if not name.startswith("."))


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    seen = set()
    for where, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        identity = os.stat(where)
        if (identity.st_dev, identity.st_ino) in seen:
            folders.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield where, names


def _refuse(error: OSError) -> None:
    raise DatasetError(f"{error.filename} cannot be listed: {error.strerror}")


def list_images(folder: Path) -> list[PurePosixPath]:
    """List the image files below a folder, as :func:`list_files` does."""
    return list_files(folder, SUFFIXES)


def ids_of(paths: Sequence[PurePosixPath]) -> list[str]:
    """Make ids of paths: without the suffix, unless two would be equal."""
    bare = [path.with_suffix("").as_posix() for path in paths]
    count = Counter(bare)
    return [
        name if count[name] == 1 else path.as_posix()
        for name, path in zip(bare, paths, strict=True)
    ]


def within(folder: Path, name: str) -> Path | None:
    """Resolve a file name below a folder; None where it leads outside.

    Decided on the text alone, with ``..`` resolved before any link is followed: links that the user
    put into the dataset's folder are the user's business and are followed later.
    """
    if not name or "\0" in name or PureWindowsPath(name).drive or name.startswith(("/", "\\")):
        return None
    plain = posixpath.normpath(name)
    if plain == ".." or plain.startswith("../") or "..\\" in plain:
        return None
    return folder / plain


def read_text(path: Path) -> str:
    """Read a UTF-8 text file that the dataset needs.

    Raises:
        DatasetError: it is missing, unreadable or not UTF-8.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{path} is not UTF-8 text") from None
