"""Have DVC watch everything that a dataset is read from.

dvc.yaml names ``dataset.path``. Where that is a file, where annotations or images lie elsewhere, or
where a folder of it is a link (which DVC does not follow), DVC would not see a change: so these
places are written into dvc.yaml, too, beside ``dataset.path``. DVC itself cannot take a list of
dependencies from params.yaml.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from boxloop.files import write_text
from boxloop.params import DatasetParams

_DEPS = re.compile(r'^(    deps: \["\$\{dataset\.path\}")(.*)\]$', re.MULTILINE)
"""The line of the stage ``dataset`` in dvc.yaml."""

_DESCRIPTIONS = (".yaml", ".yml", ".data")
"""Endings of files that describe the folder they lie in."""

_USUAL = ("images", "labels", "train", "valid", "val", "test", "obj_train_data")


def watch(root: Path, params: DatasetParams) -> list[str]:
    """Write the places into a campaign's dvc.yaml that it does not name yet; return them.

    Nothing is done where there is no dvc.yaml, or where it has no such line any more.

    Raises:
        UserError: dvc.yaml cannot be written.
    """
    file = root / "dvc.yaml"
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return []
    line = _DEPS.search(text)
    if line is None:
        return []
    new = [place for place in find_unwatched(root, params) if _quoted(place) not in line[2]]
    if new:
        more = "".join(f", {_quoted(place)}" for place in new)
        write_text(file, f"{text[: line.end() - 1]}{more}]{text[line.end() :]}")
    return new


def _quoted(place: str) -> str:
    """Return a place as YAML, which is JSON but for characters beyond the basic plane."""
    parts = (f"\\U{ord(c):08x}" if c > "\uffff" else json.dumps(c)[1:-1] for c in place)
    return f'"{"".join(parts)}"'


def find_unwatched(root: Path, params: DatasetParams) -> list[str]:
    """Return the files and folders of a dataset that DVC does not find below ``dataset.path``.

    Args:
        root: the campaign's folder, which relative paths start from.
        params: the dataset's.
    """
    if params.format == "demo":
        return []
    path = Path(os.path.normpath(params.path))
    found: list[Path] = []
    if (root / path).is_file() and path.suffix.lower() in _DESCRIPTIONS:
        path = path.parent
        found += _around(root, path)
    named = params.annotations or ()
    for name in ((named,) if isinstance(named, str) else named) + (params.images or "",):
        if name:
            place = Path(os.path.normpath(path / name))
            if not place.is_relative_to(path) and (root / place).exists():
                found.append(place)
    for folder in [path, *found]:
        found += _linked(root / folder, root.resolve())
    # DVC takes "${" for the beginning of a parameter.
    return [text for place in dict.fromkeys(found) if "${" not in (text := place.as_posix())]


def _around(root: Path, folder: Path) -> list[Path]:
    """Return a folder; of one that holds the campaign itself, what usually holds a dataset."""
    if not root.resolve().is_relative_to(os.path.realpath(root / folder)):
        return [folder]
    return [folder / name for name in _USUAL if (root / folder / name).is_dir()]


def _linked(folder: Path, own: Path) -> Iterator[Path]:
    """Yield where links to folders lead, below a folder and below what they lead to.

    A folder that holds the campaign itself, ``own``, cannot be what its first stage depends on.
    """
    seen = {os.path.realpath(folder)}
    left = [folder]
    while left:
        for where, folders, _ in os.walk(left.pop()):
            for name in folders:
                link = Path(where) / name
                if not link.is_symlink():
                    continue
                real = os.path.realpath(link)
                if own.is_relative_to(real):
                    continue
                if not any(Path(real).is_relative_to(known) for known in seen):
                    seen.add(real)
                    left.append(Path(real))
                    yield Path(real)
