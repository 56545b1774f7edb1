"""List and read a dataset's files, in a stable order."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from boxloop.datasets.faults import FaultKind, FaultLog
from boxloop.datasets.images import SUFFIXES, read_bytes
from boxloop.datasets.picture_kinds import describe_ending, describe_misnamed, may_be_picture
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


def absolute(path: Path) -> Path:
    """Return an absolute path without ``..``; links stay, but where ``..`` comes after one."""
    plain = Path(os.path.abspath(path))
    try:
        same = os.path.samefile(path, plain)
    except (OSError, ValueError):  # one of them does not exist
        same = not exists(path)
    return plain if same else path.resolve()


def regular(path: Path) -> bool:
    """Return whether a path leads to a regular file: no folder, named pipe, device or socket."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def describe_irregular(path: Path) -> str:
    """Say what is wrong with a path that is not :func:`regular`."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return "is a link that leads nowhere" if os.path.islink(path) else "does not exist"
    return "is a folder, not a file" if stat.S_ISDIR(mode) else "is a pipe or a device, not a file"


def list_files(folder: Path, suffixes: Sequence[str]) -> list[PurePosixPath]:
    """List the files below a folder that have one of these suffixes.

    The suffixes are in lower case. The paths are relative to the folder and naturally sorted.

    Links are followed, also to folders (each folder once, so that links in a circle end). Names
    that begin with a dot are skipped: file managers leave such files beside the real ones.

    Raises:
        DatasetError: a folder cannot be listed.
    """
    endings = tuple(suffixes)
    found = [PurePosixPath(name) for name in walk(folder) if name.lower().endswith(endings)]
    return sorted(found, key=lambda path: (natural_key(path), path))


def walk(folder: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it, but for hidden ones.

    Raises:
        DatasetError: a folder cannot be listed.
    """
    return (path for path in walk_all(folder) if not path.rpartition("/")[2].startswith("."))


def walk_all(folder: Path) -> Iterator[str]:
    """Yield what :func:`walk` does, and hidden files."""
    seen = set()
    for where, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        identity = os.stat(where)
        if (identity.st_dev, identity.st_ino) in seen:
            folders.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = Path(where).relative_to(folder).as_posix()
        start = "" if inside == "." else f"{inside}/"
        for name in names:
            yield start + name


def _refuse(error: OSError) -> None:
    raise DatasetError(f"{error.filename} cannot be listed: {error.strerror}")


def list_images(folder: Path, log: FaultLog | None = None) -> list[PurePosixPath]:
    """List the image files below a folder, as :func:`list_files` does.

    Pictures that are not read for their format or their name are logged.
    """
    found = [PurePosixPath(name) for name in pick_images(folder, walk_all(folder), log)]
    return sorted(found, key=lambda path: (natural_key(path), path))


def pick_images(folder: Path, names: Iterable[str], log: FaultLog | None = None) -> list[str]:
    """Return the image files among paths below a folder; log the pictures that are not read."""
    found = []
    for path in names:
        name = path.rpartition("/")[2]
        if name.startswith("."):
            # Those of "._" are no pictures: they hold what macOS knows of the file beside them.
            if log is not None and name.lower().endswith(SUFFIXES) and not name.startswith("._"):
                log.left_out["pictures whose names begin with a dot"] += 1
        elif name.lower().endswith(SUFFIXES):
            found.append(path)
        elif log is not None and (why := _why_not_read(folder / path, name)):
            log.add(FaultKind.UNREADABLE_IMAGE, folder / path, why)
    return found


def _why_not_read(path: Path, name: str) -> str | None:
    """Say why a picture is not read; None of a file that is none."""
    if why := describe_ending(name):
        return why
    if not may_be_picture(name):
        return None
    if regular(path):
        return describe_misnamed(path)
    return describe_irregular(path) if os.path.islink(path) and not exists(path) else None


class Spellings:
    """Find files whose names differ from what a file says by how Unicode composes letters only.

    macOS hands out "u" and two dots where others write one letter.
    """

    def __init__(self) -> None:
        """Begin without having looked into any folder."""
        self._names: dict[Path, dict[str, str]] = {}

    def find(self, path: Path) -> Path:
        """Return the file that is meant by a path; the path itself where there is none."""
        if str(path).isascii() or exists(path):
            return path
        folder = self.find(path.parent)
        if folder not in self._names:
            try:
                self._names[folder] = {composed(name): name for name in os.listdir(folder)}
            except (OSError, ValueError):
                self._names[folder] = {}
        name = self._names[folder].get(composed(path.name))
        return path if name is None else folder / name


def composed(name: str) -> str:
    """Return a name with its letters composed (NFC), by which spellings are compared."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def index_texts(names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Index the ``.txt`` among files by their names, composed and with the ending in lower case.

    Returns:
        The files by name, and those that another file of the same name goes before.
    """
    found: dict[str, str] = {}
    others = []
    texts = (name for name in names if name.lower().endswith(".txt"))
    # What is spelled as usual goes first.
    for name in sorted(texts, key=lambda name: (not name.endswith(".txt"), name)):
        if found.setdefault(composed(name[:-4]) + ".txt", name) != name:
            others.append(name)
    return found, others


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
        DatasetError: it is missing, unreadable, no regular file or not UTF-8.
    """
    if not regular(path):
        raise DatasetError(f"{path} {describe_irregular(path)}")
    content = read_bytes(path)
    try:
        if b"\0" not in content[:2]:  # as in UTF-16 without a mark
            return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    raise DatasetError(f"{path} is not UTF-8 text: save it as UTF-8")
