"""Write an export's folder atomically; replace nothing but an earlier export."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from boxloop.datasets.format_protocol import ExportContent
from boxloop.datasets.images import Progress, read_bytes
from boxloop.errors import ArtifactError, DatasetError, UserError
from boxloop.files import file_digest, read_json

MODES = ("link", "copy", "none")
"""What an export can do with the images."""

MARKER = ".boxloop-export.json"
"""The list of exported files; only these may be replaced later."""

_DISPOSABLE = ("labels.cache",)
"""What readers leave in a folder and make again: here, Ultralytics."""


@contextmanager
def export_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``out``, which then takes the place of ``out``.

    After an exception ``out`` is as it was.

    Raises:
        UserError: ``out`` is a file, cannot be made, or holds what no export made.
    """
    target = Path(os.path.realpath(out))
    _require_replaceable(out, target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from None
    try:
        content = temporary / "content"
        content.mkdir()
        yield content
        made = {name: _digest(content / name) for name in _files(content)}
        marker = json.dumps({"format": "boxloop/export@1", "files": made}, indent=1)
        (content / MARKER).write_text(marker, encoding="utf-8")
        # What another program wrote meanwhile is not to be lost either.
        _require_replaceable(out, target)
        if target.exists():
            target.rename(temporary / "replaced")
        content.rename(target)
    except OSError as error:
        raise UserError(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def put_images(
    folder: Path, content: ExportContent, root: Path, mode: str, progress: Progress | None
) -> None:
    """Link or copy the images of ``content`` into ``folder``, or leave it empty.

    ``mode`` is one of :data:`MODES`; ``root`` is where relative paths of images start.

    Raises:
        DatasetError: an image is missing, or its bytes are not those that were labeled.
    """
    if mode == "none":
        return
    for done, image in enumerate(content.images, start=1):
        source, place = Path(os.path.abspath(root / image.path)), folder / content.names[image.id]
        place.parent.mkdir(parents=True, exist_ok=True)
        if mode == "copy":
            place.write_bytes(read_bytes(source, image.digest))
        elif not source.is_file():
            raise DatasetError(f"{source} does not exist, but image {image.id} is labeled")
        else:
            place.symlink_to(source)
        if progress is not None:
            progress(done, len(content.images))


# --- what may be replaced -------------------------------------------------------------------------


def _require_replaceable(out: Path, target: Path) -> None:
    """Refuse a folder with files of others, or exported ones that were changed."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{out} is a file: name a new folder for the export")
    present = _files(target)
    if not present and not any(target.iterdir()):
        return
    if MARKER not in present:
        raise UserError(
            f"{out} is not empty, and no export made what is in it: name a new folder, or empty it"
        )
    try:
        made = read_json(target / MARKER)["files"]
        foreign = sorted(set(present) - set(made) - {MARKER, *_DISPOSABLE})
        changed = sorted(
            name for name in set(present) & set(made) if made[name] != _digest(target / name)
        )
    except (ArtifactError, KeyError, TypeError):
        raise UserError(f"{out / MARKER} is damaged: name a new folder for the export") from None
    for names, what in ((foreign, "is not of the last export"), (changed, "was changed since")):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise UserError(
                f"{out / names[0]} {what}{more}, and would be lost: move it away, or name a new"
                " folder"
            )


def _files(folder: Path) -> list[str]:
    """List files and links below ``folder``, relative to it; links are not followed."""
    found = []
    for where, folders, names in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(where, name))]
        found += [Path(where, name).relative_to(folder).as_posix() for name in names + links]
    return sorted(found)


def _digest(path: Path) -> str:
    """Return the digest of a file's bytes, or the target of a link."""
    return os.readlink(path) if path.is_symlink() else file_digest(path)
