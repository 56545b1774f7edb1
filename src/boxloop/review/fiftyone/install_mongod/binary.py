"""Which mongod to run: the first of a few places that holds one that works here."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from boxloop.errors import DatabaseError

MONGOD_VARIABLE = "BOXLOOP_MONGOD"
INSTALLED_VERSION = "6.0.27"

_OLDEST = (6, 0)  # fiftyone.constants.MONGODB_MIN_VERSION of FiftyOne 1.22
_VERSION = re.compile(r"db version v(\d+)\.(\d+)")
_SECONDS_TO_ANSWER = 60.0


@dataclass(frozen=True)
class Trial:
    """What came of trying to run a mongod.

    Attributes:
        works: it runs here, and FiftyOne accepts its version.
        reason: in a few words why not; empty where it works.
    """

    works: bool
    reason: str = ""


def installed_mongod() -> Path:
    """Where ``boxloop install-mongod`` puts it: a folder of the user's own."""
    return platformdirs.user_data_path("boxloop") / f"mongod-{INSTALLED_VERSION}" / "mongod"


def find_mongod() -> Path:
    """Finds a mongod that runs on this machine.

    Tried in this order: the file that the environment variable BOXLOOP_MONGOD names, the one that
    came with FiftyOne, ``mongod`` on PATH, the one of ``boxloop install-mongod``.

    Raises:
        DatabaseError: none of them works, or BOXLOOP_MONGOD names one that does not.
    """
    named = os.environ.get(MONGOD_VARIABLE)
    if named:
        trial = try_mongod(Path(named))
        if not trial.works:
            raise DatabaseError(
                f"{MONGOD_VARIABLE} names {named}, {trial.reason}: name a mongod that runs, or"
                " unset the variable"
            )
        return Path(named).absolute()
    failures = []
    for path in _candidates():
        if not path.exists():
            continue
        trial = try_mongod(path)
        if trial.works:
            return path.absolute()
        failures.append(f"{path}, {trial.reason}")
    tried = f" ({'; '.join(failures)})" if failures else ""
    raise DatabaseError(
        f"no mongod that runs was found on this machine{tried}: type 'boxloop install-mongod', or"
        " set FIFTYONE_DATABASE_URI to a MongoDB of your own"
    )


def try_mongod(path: Path) -> Trial:
    """Runs ``mongod --version``."""
    try:
        done = subprocess.run(
            # Absolute, as a name without a folder would be looked for on PATH.
            [os.fspath(path.absolute()), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS_TO_ANSWER,
        )
    except subprocess.TimeoutExpired:
        return Trial(False, "which does not answer")
    except OSError as error:
        return Trial(False, f"which cannot be run ({error.strerror or error})")
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        return Trial(False, f"which does not start ({said[-1] if said else done.returncode})")
    version = _VERSION.search(done.stdout)
    if version is None:
        return Trial(False, "which is no mongod")
    if (int(version[1]), int(version[2])) < _OLDEST:
        return Trial(False, f"which is version {version[1]}.{version[2]}, and FiftyOne needs 6.0")
    return Trial(True)


def _candidates() -> Iterator[Path]:
    # find_spec looks for the package's folder and imports nothing: FiftyOne takes seconds.
    fiftyone = importlib.util.find_spec("fiftyone")
    for folder in (fiftyone and fiftyone.submodule_search_locations) or ():
        yield Path(folder) / "db" / "bin" / "mongod"
    on_path = shutil.which("mongod")
    if on_path is not None:
        yield Path(on_path)
    yield installed_mongod()
