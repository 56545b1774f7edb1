"""A package of an older release, fetched from the mirrors this machine already uses.

apt works in a folder of its own: no root, and nothing on the machine changes.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from boxloop.errors import DatabaseError

Stanza = dict[str, str]
"""The fields of one source as sources.list(5) names them, keys in title case."""

_SECONDS = 600.0
_OPTION = re.compile(r"([\w-]+)\+?=(\S+)")
# apt's one-line options, and the fields they are in the longer form: sources.list(5).
_FIELDS = {"signed-by": "Signed-By", "trusted": "Trusted", "arch": "Architectures"}
_ROLLING = frozenset({"stable", "oldstable", "testing", "unstable", "sid"})


def fetch(package: str, releases: dict[str, str], folder: Path, etc: Path | None = None) -> Path:
    """Downloads one package of an older release and unpacks it, without root.

    Args:
        package: its name, with architecture, such as "libssl1.1:amd64".
        releases: the release that has it, by distribution (``ID`` of os-release(5)).
        folder: an empty folder to work in.
        etc: apt's settings, ``/etc/apt`` unless told otherwise.

    Returns:
        The folder that the package was unpacked into.

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
    # Security updates first: a small list, and the newest version.
    said = "its sources name none that it could come from"
    for security in (True, False):
        sources = "\n\n".join(older(stanzas, codename, release, security=security))
        if sources:
            work = folder / ("security" if security else "main")
            work.mkdir(parents=True)
            deb, said = _download(package, sources, work)
            if deb is not None:
                return _unpack(deb, work / "unpacked")
    raise DatabaseError(f"apt cannot fetch {package} of {release}: {said}")


def read_sources(etc: Path) -> Iterator[Stanza]:
    """Reads apt's sources, in the one-line form (``.list``) and in stanzas (``.sources``)."""
    parts = etc / "sources.list.d"
    lists = [etc / "sources.list", *sorted(parts.glob("*.list"))]
    for path in lists:
        for line in _text(path).splitlines():
            stanza = _from_line(line)
            if stanza is not None:
                yield stanza
    for path in sorted(parts.glob("*.sources")):
        yield from _stanzas(_text(path))


def older(stanzas: list[Stanza], codename: str, release: str, *, security: bool) -> Iterator[str]:
    """Turns the distribution's own sources into those of an older release.

    Args:
        stanzas: the sources of this machine.
        codename: its release, such as "bookworm"; suites of other names are not the distribution's.
        release: the older one.
        security: take the sources of security updates, or else the main ones.

    Yields:
        Stanzas for a ``.sources`` file.
    """
    seen = set()
    for stanza in stanzas:
        if "deb" not in stanza.get("Types", "").split():
            continue
        if stanza.get("Enabled", "yes").lower() in ("no", "false", "0"):
            continue
        if "main" not in stanza.get("Components", "").split():
            continue
        uris = [u for u in stanza.get("Uris", "").split() if not u.startswith("cdrom:")]
        suites = set()
        for suite in stanza.get("Suites", "").split():
            # Debian before bullseye wrote "buster/updates".
            name, _, pocket = suite.replace("/updates", "-security").partition("-")
            if name not in {codename, *_ROLLING}:
                continue
            if security and pocket == "security":
                suites.add(f"{release}-security")
            elif not security and not pocket:
                suites.add(release)
        if not uris or not suites:
            continue
        kept = {k: v for k, v in stanza.items() if k in ("Signed-By", "Trusted")}
        fields = {
            "Types": "deb",
            "URIs": " ".join(uris),
            "Suites": " ".join(sorted(suites)),
            "Components": "main",
            **kept,
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


def _from_line(line: str) -> Stanza | None:
    """``deb [options] uri suite component...``."""
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


def _stanzas(text: str) -> Iterator[Stanza]:
    """deb822(5); a value keeps its further lines as they are, for keys that stand in it."""
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
    """The package's file, or None and what apt said."""
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
    # Without a list apt-get cannot download: what the update says is worth repeating only then.
    updated = _apt(["update", *options], work)
    done = _apt(["download", *options, package], work)
    found = sorted(work.glob("*.deb"))
    if done.returncode == 0 and found:
        return found[-1], ""
    lines = [*updated.stderr.splitlines(), *done.stderr.splitlines()]
    telling = [line for line in lines if line.startswith("E:")]
    return None, telling[0] if telling else f"exit code {done.returncode}"


def _apt(arguments: list[str], work: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["apt-get", "-q", *arguments],
        cwd=work,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_SECONDS,
    )


def _unpack(deb: Path, target: Path) -> Path:
    done = subprocess.run(
        ["dpkg", "-x", deb, target], capture_output=True, text=True, errors="replace"
    )
    if done.returncode != 0:
        raise DatabaseError(f"{deb.name} cannot be unpacked: {done.stderr.strip()}")
    return target
