"""Whole files: written atomically, read with one clear sentence where they cannot be.

A write goes to a temporary file in the same folder, is flushed to disk and then renamed, so a kill
at any moment leaves either the old file or the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boxloop.errors import ArtifactError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path`` to write to, then renames it into place.

    The folder is made where it is missing. After an exception the temporary file is gone and
    ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes private files; artifacts are as readable as any other file of the user's.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, payload: Mapping[str, Any], *, depth: int = 2) -> None:
    """Writes JSON atomically: containers down to ``depth`` on lines of their own, then compact."""
    write_text(path, _dump(payload, depth) + "\n")


def read_json(path: Path) -> Any:
    """Reads any JSON file.

    Raises:
        ArtifactError: the file is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: run the stage that makes it first") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except json.JSONDecodeError as error:
        raise ArtifactError(
            f"{path} is not valid JSON (line {error.lineno}, column {error.colno}): {error.msg}"
        ) from None
    except UnicodeDecodeError:
        raise ArtifactError(f"{path} is not UTF-8 text") from None


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None


def _dump(value: Any, depth: int, indent: int = 0) -> str:
    if depth > 0 and isinstance(value, Mapping) and value:
        pad = " " * (indent + 1)
        items = (
            f"{pad}{json.dumps(k, ensure_ascii=False)}: {_dump(v, depth - 1, indent + 1)}"
            for k, v in value.items()
        )
        return "{\n" + ",\n".join(items) + "\n" + " " * indent + "}"
    if depth > 0 and isinstance(value, list | tuple) and value:
        pad = " " * (indent + 1)
        items = (f"{pad}{_dump(v, depth - 1, indent + 1)}" for v in value)
        return "[\n" + ",\n".join(items) + "\n" + " " * indent + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
