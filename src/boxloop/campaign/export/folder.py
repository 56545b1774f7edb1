"""Write a folder atomically; replace nothing but an earlier one of its kind, such as an export."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from boxloop.datasets.format_protocol import ExportContent
from boxloop.datasets.images import Progress, read_bytes
from boxloop.errors import ArtifactError, BoxloopError, DatasetError, UserError, why
from boxloop.files import file_digest, is_elsewhere, make_folder, read_json

MODES = ("link", "copy", "none")
"""What an export can do with the images."""

MARKER = ".boxloop-export.json"
"""The list of exported files; only these may be replaced later."""

DELIVERY, PREDICTION = "delivery", "prediction"
"""What else is written as such a folder, each with a list of its own."""

_LEFTOVER_SECONDS = 3600
_CONTENT, _LOCK = "content", "lock"
_TRIED = 2**16  # bytes, of which every such folder holds more

_DISPOSABLE = ("labels.cache",)
"""What readers leave in a folder and make again: here, Ultralytics."""


@contextmanager
def export_folder(out: Path, what: str = "export") -> Iterator[Path]:
    """Yield an empty folder beside ``out``, which then takes the place of ``out``.

    After an exception ``out`` is as it was.

    Args:
        out: a folder, new or empty or of an earlier write of the same kind.
        what: "export", :data:`DELIVERY` or :data:`PREDICTION`; none replaces another.

    Raises:
        UserError: ``out`` is a file, cannot be made, or holds what no such write made.
    """
    target, marker_name = Path(os.path.realpath(out)), _marker(what)
    require_replaceable(out, what)
    try:
        make_folder(target.parent, out)
        _remove_leftovers(target)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise UserError(f"{out} cannot be written: {why(error)}") from None
    lock = FileLock(temporary / _LOCK)
    try:
        with contextlib.suppress(NotImplementedError):  # some file systems know no locks
            lock.acquire()
        content = temporary / _CONTENT
        content.mkdir()
        yield content
        made = {name: _digest(content / name) for name in _files(content)}
        marker = json.dumps({"format": f"boxloop/{what}@1", "files": made}, indent=1)
        (content / marker_name).write_text(marker, encoding="utf-8")
        # What another program wrote meanwhile is not to be lost either.
        require_replaceable(out, what)
        _replace(target, content, temporary / "replaced")
    except OSError as error:
        if is_elsewhere(error, temporary) and is_elsewhere(error, target):
            raise
        raise UserError(f"{out} cannot be written: {why(error)}") from None
    except BoxloopError as error:
        # What is written there is named as it would be in the end.
        said = str(error).replace(str(temporary / _CONTENT), str(out))
        if said == str(error):
            raise
        raise type(error)(said) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        lock.release()


def _replace(target: Path, content: Path, aside: Path) -> None:
    """Put a folder in the place of another one, which is back where that fails."""
    if target.exists():
        target.rename(aside)
    try:
        content.rename(target)
    except OSError:
        if aside.exists():
            with contextlib.suppress(OSError):  # another process has put its own there
                aside.rename(target)
        raise


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
        if mode == "link" and not source.is_file():
            raise DatasetError(f"{source} does not exist, but image {image.id} is labeled")
        pixels = read_bytes(source, image.digest)
        if mode == "copy":
            place.write_bytes(pixels)
        else:
            place.symlink_to(source)
        if progress is not None:
            progress(done, len(content.images))


# --- what may be replaced -------------------------------------------------------------------------


def require_replaceable(out: Path, what: str = "export") -> None:
    """Refuse a folder with files of others, or written ones that were changed.

    Raises:
        UserError: it is a file, or holds what no earlier write of the kind ``what`` made.
    """
    target, marker = Path(os.path.realpath(out)), _marker(what)
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{out} is a file: name a new folder for the {what}")
    present = _files(target)
    if not present and not any(target.iterdir()):
        return
    if marker not in present:
        raise UserError(
            f"{out} is not empty, and no {what} made what is in it: name a new folder, or empty it"
        )
    try:
        made = read_json(target / marker)["files"]
        foreign = sorted(set(present) - set(made) - {marker, *_DISPOSABLE})
        changed = sorted(
            name for name in set(present) & set(made) if not _is(target / name, made[name])
        )
    except (ArtifactError, KeyError, TypeError):
        raise UserError(f"{out / marker} is damaged: name a new folder for the {what}") from None
    for names, fault in ((foreign, f"is not of the last {what}"), (changed, "was changed since")):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise UserError(
                f"{out / names[0]} {fault}{more}, and would be lost: move it away, or name a new"
                " folder"
            )


def require_room(out: Path) -> None:
    """Refuse a folder that cannot be written, before minutes of work for it.

    Raises:
        UserError: nothing can be made beside it: the place is read-only, or full.
    """
    place = Path(os.path.realpath(out)).parent
    try:
        make_folder(place, out)
        # Some full disks still take an empty file or folder.
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(_TRIED))
    except OSError as error:
        raise UserError(f"{out} cannot be written: {why(error)}") from None


def _marker(what: str) -> str:
    return MARKER.replace("export", what)


def _remove_leftovers(target: Path) -> None:
    """Remove what killed writers left beside a folder."""
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.????????"):
        with contextlib.suppress(OSError):
            own = {path.name for path in leftover.iterdir()} <= {_CONTENT, "replaced", _LOCK}
            old = time.time() - leftover.stat().st_mtime > _LEFTOVER_SECONDS
            if own and old and not _is_being_written(leftover):
                shutil.rmtree(leftover, ignore_errors=True)


def _is_being_written(folder: Path) -> bool:
    """Tell whether a live process holds a folder's lock; older versions made none."""
    lock = folder / _LOCK
    if lock.exists():
        try:
            with contextlib.suppress(NotImplementedError), FileLock(lock, timeout=0):
                pass
        except Timeout:
            return True
    return False


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


def _is(path: Path, digest: str) -> bool:
    """Tell whether a file is what was written; DVC may have put a link to its cache there."""
    return digest in (_digest(path), file_digest(path) if path.is_file() else None)
