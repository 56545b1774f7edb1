"""Find what a kill or a merge can leave unreadable in a campaign's folder, and mend it.

boxloop's own files are renamed into place, so they are whole or absent. DVC and MLflow write some
of theirs in place: DVC its locks and the list of its running commands, MLflow a new database.
None of them holds what cannot be made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from boxloop.campaign.delivered import STAGE
from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.files import (
    MOST_BYTES,
    find_conflict,
    open_regular,
    parse_json,
    read_bytes,
    read_text,
)
from boxloop.params.loading import read_long_yaml

COMMAND = "boxloop mend"

_CUT = "was cut short by a kill"

_BESIDE = ("-journal", "-wal", "-shm")  # what sqlite keeps beside a database

_OLDER = re.compile(
    r"\bboxloop (?:review --collect|dataset|features|order|batch|train|propose|merge|account) data/"
)
"""How stages were called before 0.2, which named each of their files in its place."""

_SETTLED_SECONDS = 0.3
"""After which a file that DVC was just writing is whole."""

_CLOCK_SECONDS = 60.0
"""By which the times of processes and of files may differ."""


@dataclass(frozen=True)
class Damage:
    """A file that was left unreadable.

    Attributes:
        path: of the file.
        what: what is wrong with it.
        after: what happens once it is out of the way.
    """

    path: Path
    what: str
    after: str


def find(paths: CampaignPaths) -> list[Damage]:
    """Return the files of DVC and MLflow that a kill or a merge left unreadable.

    What looks damaged is looked at again: a DVC that runs writes in place, too.
    """
    first = list(_find(paths))
    if first:
        time.sleep(_SETTLED_SECONDS)
        first = [damage for damage in _find(paths) if damage in first]
    return first


def glance(paths: CampaignPaths) -> str | None:
    """Say what is wrong with a dvc.lock, as far as it takes no time to see."""
    for lock, _ in _locks(paths):
        fault = _CUT if _is_cut(lock) else _conflict(lock)
        if fault and not dvc_is_writing(paths.root):
            return f"{lock} {fault}: run '{COMMAND}'"
    return None


def conflict(root: Path) -> str | None:
    """Say where a merge left a conflict in a campaign's dvc.yaml, which nothing moves aside."""
    fault = _conflict(root / "dvc.yaml")
    return fault and (
        f"dvc.yaml {fault}: keep one side of it, as 'git checkout --ours dvc.yaml' does"
    )


def mend(paths: CampaignPaths, say: Callable[[str], object]) -> int:
    """Move damaged files aside, and say what became of each; return how many there were."""
    damages = find(paths)
    for damage in damages:
        say(_move_aside(damage))
    return len(damages)


def mend_database(database: Path, say: Callable[[str], object]) -> None:
    """Move a database aside that MLflow was killed in making, and say so.

    Args:
        database: of the runs; it need not exist.
        say: called with a sentence. Whoever calls this holds the lock that MLflow makes it under.
    """
    if database.exists() and _is_without_tables(database):
        before = database.stat().st_mtime_ns
        time.sleep(_SETTLED_SECONDS)
        # An `mlflow ui` that makes it just now takes no lock, and writes all the time.
        if database.stat().st_mtime_ns == before and _is_without_tables(database):
            say(_move_aside(_half_made(database)))


def _move_aside(damage: Damage) -> str:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    aside = damage.path.with_name(f"{damage.path.name}.damaged-{moment}")
    damage.path.rename(aside)
    for suffix in _BESIDE:  # of another database, they would damage the one to come
        beside = damage.path.with_name(f"{damage.path.name}{suffix}")
        with contextlib.suppress(FileNotFoundError):
            beside.rename(f"{aside}{suffix}")
    return f"{damage.path} {damage.what}: it is {aside.name} now, and {damage.after}"


def older_pipeline(root: Path) -> str | None:
    """Say so where a campaign's dvc.yaml is of boxloop 0.1, whose commands there are no more."""
    try:
        text = read_text(root / "dvc.yaml")
    except (OSError, ValueError):
        return None
    if _OLDER.search(text) is None:
        return None
    return (
        f"dvc.yaml is of boxloop 0.1, whose stages this version does not have: '{COMMAND}' puts"
        " today's in its place, and 'dvc repro' then makes anew what is missing; labels are kept"
    )


def in_words(damage: Damage) -> str:
    """Return a sentence about a damaged file, with the way out."""
    return f"{damage.path} {damage.what}: '{COMMAND}' moves it aside, and {damage.after}"


def _find(paths: CampaignPaths) -> Iterator[Damage]:
    if not dvc_is_writing(paths.root):
        for lock, after in _locks(paths):
            if fault := _fault(lock):
                yield Damage(lock, fault, after)
        running = _running(paths.root)
        if not _is_json(running):
            yield Damage(running, _CUT, "DVC writes it anew")
        elif _is_left(paths.root):
            what = "names a process that has ended, whose number another one has now"
            yield Damage(running, what, "DVC writes it anew")
    database = workspace_of(paths.root) / "mlflow.db"
    if database.exists() and _is_half_made(database):
        yield _half_made(database)


def _locks(paths: CampaignPaths) -> list[tuple[Path, str]]:
    """Return the locks of the pipeline and of the stage that delivers, and what follows."""
    root, command = paths.root, f"dvc repro {STAGE.as_posix()}"
    return [
        (
            root / "dvc.lock",
            "'dvc repro' goes through all stages; labels and trained detectors are kept",
        ),
        (
            root / STAGE.with_suffix(".lock"),
            f"'{command}' delivers again; a model that is up to date is not trained anew",
        ),
    ]


def running_dvc(root: Path) -> list[tuple[int, str]]:
    """Return the processes of DVC that run a stage in a campaign's folder, with their commands."""
    return [(pid, command) for pid, command, left in _listed(root) if not left]


def _is_left(root: Path) -> bool:
    """Tell whether DVC's list names none but ended processes, and takes one for a living one.

    After a loss of power numbers are given anew, and DVC would wait for whatever has one of them.
    """
    found = _listed(root)
    return bool(found) and all(left for _, _, left in found)


def _listed(root: Path) -> list[tuple[int, str, bool]]:
    """Return the entries of DVC's list whose number the system has given to a process.

    Each with its command, and whether no DVC works there any more: the process is another one,
    which began after the list was written last and is no DVC, or it was killed, and what started it
    has not collected it.
    """
    path = _running(root)
    try:
        content: Any = parse_json(read_bytes(path))
        written = path.stat().st_mtime
        entries = [*content.get("write", {}).values()]
        entries += [entry for readers in content.get("read", {}).values() for entry in readers]
        listed = {int(entry["pid"]): str(entry["cmd"]) for entry in entries}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        return []
    found = []
    for pid, command in listed.items():
        with contextlib.suppress(psutil.Error, OverflowError, ValueError):
            process = psutil.Process(pid)
            later = process.create_time() > written + _CLOCK_SECONDS
            ended = process.status() == psutil.STATUS_ZOMBIE
            ended = ended or (later and "dvc" not in " ".join(process.cmdline()))
            found.append((pid, command, ended))
    return found


def _running(root: Path) -> Path:
    """Return DVC's list of running commands."""
    return root / ".dvc" / "tmp" / "rwlock"


def dvc_is_writing(root: Path) -> bool:
    """Tell whether a DVC that runs has locked the folder; it does not while a stage runs."""
    try:
        with open_regular(root / ".dvc" / "tmp" / "lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_cut(path: Path) -> bool:
    """Tell whether a file of lines is empty, or ends inside a line."""
    try:
        with open_regular(path) as file:
            size = file.seek(0, 2)
            file.seek(max(size - 1, 0))
            return file.read() != b"\n"
    except OSError:
        return False


def read_lock(root: Path) -> Any:
    """Return the content of a campaign's dvc.lock; None where there is none that can be read."""
    try:
        return read_long_yaml(read_text(root / "dvc.lock", MOST_BYTES))
    except (OSError, ValueError):
        return None


def has_outputs(root: Path) -> bool:
    """Return whether a campaign's dvc.lock lists what stages made, here or elsewhere."""
    lock = read_lock(root)
    stages = lock.get("stages") if _is_lock(lock) else None
    return any(stage.get("outs") for stage in (stages or {}).values())


def _conflict(path: Path) -> str | None:
    try:
        found = find_conflict(read_text(path, MOST_BYTES))
    except (OSError, ValueError):
        return None
    return found and f"cannot be read, as {found}"


def _fault(lock: Path) -> str | None:
    """Say what is wrong with a dvc.lock; None where there is none, or none that can be read."""
    if fault := _conflict(lock):
        return fault
    try:
        content = read_long_yaml(read_text(lock, MOST_BYTES))
    except (FileNotFoundError, PermissionError):
        return None
    except (OSError, ValueError) as error:
        if "duplicate key" in str(error):
            return "has a key twice, as where both sides of a merge were kept"
        return _CUT
    return _CUT if _is_cut(lock) or not _is_lock(content) else None


def _is_lock(content: Any) -> bool:
    """Tell whether the content of a dvc.lock is what DVC writes."""
    if not isinstance(content, dict) or "schema" not in content:
        return False
    stages = content.get("stages", {})
    return isinstance(stages, dict) and all(map(_is_entry, stages.values()))


def _is_entry(stage: Any) -> bool:
    if not isinstance(stage, dict) or not isinstance(stage.get("cmd"), str):
        return False
    deps, outs = stage.get("deps", []), stage.get("outs", [])
    if not isinstance(deps, list) or not isinstance(outs, list):
        return False
    params = stage.get("params", {})
    if not isinstance(params, dict) or not all(isinstance(v, dict) for v in params.values()):
        return False
    files = [*deps, *outs]
    return all(isinstance(file, dict) and "path" in file and len(file) > 1 for file in files)


def _is_json(path: Path) -> bool:
    try:
        parse_json(read_bytes(path))
    except (FileNotFoundError, PermissionError):
        return True
    except (OSError, ValueError):
        return False
    return True


def _half_made(database: Path) -> Damage:
    after = "MLflow makes it anew; no run was in it yet"
    return Damage(database, "was not made to its end", after)


def _is_half_made(database: Path) -> bool:
    """Tell whether MLflow was killed while it made its tables, so that there is no run in them."""
    try:
        with FileLock(database.with_name("mlflow.db.lock"), timeout=0):
            return _is_without_tables(database)
    except (Timeout, OSError):
        return False  # it is being made just now, or something else is the matter


def _is_without_tables(database: Path) -> bool:
    try:
        if database.stat().st_size == 0:
            return True
        # Not read-only: sqlite first takes back what was cut short within a transaction.
        connection = sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True)
        with contextlib.closing(connection):
            names = {row[0] for row in connection.execute("select name from sqlite_master")}
            if "experiments" not in names:
                return True
            [(experiments,)] = connection.execute("select count(*) from experiments")
            return not experiments
    except (OSError, sqlite3.Error):
        return False  # something else is the matter
