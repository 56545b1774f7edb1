"""Let a delivered model find boxes on any images; go on after a kill."""

from __future__ import annotations

import fcntl
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from boxloop import __version__
from boxloop.campaign.export.folder import (
    PREDICTION,
    export_folder,
    require_replaceable,
    require_room,
)
from boxloop.core.names import has_control
from boxloop.datasets.file_listing import list_images
from boxloop.datasets.formats.predictions import (
    FORMATS,
    Prediction,
    is_as_written,
    write_coco,
    write_voc,
    write_yolo,
)
from boxloop.errors import ArtifactError, DatasetError, ParamsError, UserError, why
from boxloop.files import atomic_path, make_folder, open_regular, require_writable
from boxloop.terminal import Report, silent

if TYPE_CHECKING:
    from boxloop.models.detectors.delivered import Model

_FORMAT = "boxloop/predicting@1"
_HEAD = f'{{"format": "{_FORMAT}"'.encode()
"""How a journal begins; a full disk may have cut it short."""

_KIND = b'"description": "found by boxloop'
"""By which a file of predictions is told from those of others."""

_FOREIGN = "was not made by 'boxloop predict'"


@dataclass(frozen=True)
class Predicted:
    """What came of a prediction.

    Attributes:
        out: the file or folder.
        images: number of images with boxes or without.
        boxes: number of boxes.
        skipped: what was wrong with each image that could not be read.
        resumed: number of images that an earlier, killed command had done.
    """

    out: Path
    images: int
    boxes: int
    skipped: tuple[str, ...]
    resumed: int


def predict(
    images: Sequence[Path],
    model: Model,
    out: Path,
    *,
    format_: str = "coco",
    threshold: str | float = "f1",
    batch_size: int = 16,
    report: Report = silent,
) -> Predicted:
    """Find boxes on images and folders of images, and write them to ``out``.

    What is done is kept in a journal beside ``out``, which the same command goes on from; ``out``
    itself is written at the end, whole. Images that cannot be read are counted and named.

    Args:
        images: files and folders.
        model: a delivered model.
        out: a JSON file (coco) or a folder (yolo, voc).
        format_: one of :data:`boxloop.datasets.formats.predictions.FORMATS`.
        threshold: see :meth:`boxloop.models.detectors.delivered.Model.predict`.
        batch_size: images that the detector sees at once.
        report: called after each image.

    Raises:
        ParamsError: there is no such format or threshold.
        DatasetError: there is no image.
        UserError: ``out`` holds something else, cannot be written, or is being written by another
            process.
    """
    if format_ not in FORMATS:
        raise ParamsError(f"--format must be one of {', '.join(FORMATS)}, got {format_!r}")
    model.about.scores(threshold)
    _require_own(out, format_)
    root, listed = find_images(images)
    # No format has a place for such a name, and the journal has a line for each.
    names = [name for name in listed if not has_control(name)]
    skipped = [
        f"{name!a} has a line break in its name, or no text" for name in listed if has_control(name)
    ]
    if not names:
        raise DatasetError(f"no image can be used: {skipped[0]}: rename it")
    head: dict[str, Any] = {
        "format": _FORMAT,
        "checkpoint": model.about.checkpoint,
        "thresholds": model.about.scores(threshold),
        "batch": model.at_once(batch_size),
        "root": os.path.abspath(root),
    }
    if model.about.crops is not None:
        head["crops"] = model.about.crops
    journal = _Journal(out.with_name(f".{out.name}.journal"), json.dumps(head), head["batch"])
    with journal.alone():
        resumed = journal.begin(names, root)
        states: deque[tuple[int, ...]] = deque()

        def paths() -> Iterator[Path]:
            for name in names[resumed:]:
                # Before it is read: what takes its place meanwhile is told from it, too.
                states.append(_state(root / name))
                yield root / name

        with journal.open() as file:
            done = resumed
            for path, found in model.find(paths(), threshold=threshold, batch_size=batch_size):
                name, state = names[done], states.popleft()
                if isinstance(found, DatasetError):
                    fault = str(found).removeprefix(f"{path} ")
                    item = Prediction(name, fault=fault, file=state)
                else:
                    probe, boxes = found
                    item = Prediction(name, probe.width, probe.height, boxes, file=state)
                journal.add(file, item)
                done += 1
                report(done, len(names))
        about = (
            f"found by boxloop {__version__}, {model.about.detector} of the campaign"
            f" {model.about.campaign} (checkpoint {model.about.checkpoint[:12]}), from the"
            f" threshold {threshold} on, not checked by anyone"
        )
        if format_ == "coco":
            with atomic_path(out) as temporary:
                write_coco(temporary, journal.read, model.classes, about)
        else:
            with export_folder(out, PREDICTION) as folder:
                write = write_yolo if format_ == "yolo" else write_voc
                write(folder, journal.read, model.classes, about)
        boxes_found = faults = 0
        for item in journal.read():
            boxes_found += len(item.boxes)
            if item.fault is not None:
                skipped.append(f"{item.name} {item.fault}")
                faults += 1
        journal.path.unlink()
    return Predicted(out, len(names) - faults, boxes_found, tuple(skipped), resumed)


def find_images(given: Sequence[Path]) -> tuple[Path, list[str]]:
    """List images, and the images in folders, in any depth.

    Returns:
        The folder that all lie in, and their names below it, each once, in the order given and,
        within a folder, in natural order.

    Raises:
        DatasetError: a path does not exist, or there is no image.
    """
    # Texts, not paths, of which a million would take a gigabyte.
    found: list[tuple[Path, list[str]]] = []
    for path in given:
        if path.is_dir():
            found.append((path, [str(name) for name in list_images(path)]))
        elif path.exists():
            found.append((path.parent, [path.name]))
        else:
            raise DatasetError(f"{path} does not exist: name images, or folders of images")
    tops = [top for top, _ in found]
    if not any(names for _, names in found):
        raise DatasetError(f"there is no image in {', '.join(map(str, given))}")
    root = tops[0]
    if len(set(tops)) > 1:
        root = Path(os.path.commonpath([os.path.abspath(top) for top in tops]))
    below = os.path.abspath(root)
    result: dict[str, None] = {}
    for top, names in found:
        folder = Path(os.path.relpath(os.path.abspath(top), below)).as_posix()
        start = "" if folder == "." else f"{folder}/"
        result.update(dict.fromkeys(f"{start}{name}" for name in names))
    return root, list(result)


def _require_own(out: Path, format_: str) -> None:
    """Refuse to write over what no prediction made.

    Raises:
        ArtifactError: the file is of something else, or somebody changed it.
        UserError: the folder is.
    """
    if format_ != "coco":
        require_replaceable(out, PREDICTION)
        require_room(out)
        return
    require_writable(out)
    if out.exists() and out.stat().st_size:
        with out.open("rb") as file:
            made = _KIND in file.read(100)
        if not made or not is_as_written(out):
            was = "was changed since 'boxloop predict' made it" if made else _FOREIGN
            raise ArtifactError(
                f"{out} {was}, and was not replaced: name another file to write, or move that away"
            )


class _Journal:
    """A line for each finished image, beside the file that is written at the end."""

    def __init__(self, path: Path, head: str, at_once: int) -> None:
        """Keep it at ``path``; ``head`` tells what was asked, images are done ``at_once``."""
        self.path, self._head, self._at_once = path, head, at_once

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes out, which would add lines of theirs.

        Raises:
            UserError: one is at work, or the journal cannot be read or written.
        """
        while True:
            file = self._to_lock()
            try:
                if self._lock(file):
                    yield
                    return
            finally:
                os.close(file)

    def _to_lock(self) -> int:
        """Open it, and make it where it is missing."""
        with self._reading() as file:
            if file is not None:
                return os.dup(file.fileno())
        try:
            make_folder(self.path.parent, self.path)
            return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {why(error)}") from None

    def _lock(self, file: int) -> bool:
        """Lock it until it is closed; tell whether it is still the journal."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{self.path} is being written by another 'boxloop predict' with the same --out:"
                " wait until it has ended, or name another --out"
            ) from None
        except OSError:  # some file systems know no locks
            return True
        try:
            return os.path.samestat(os.fstat(file), os.stat(self.path))
        except FileNotFoundError:  # the other one has just ended, and removed it
            return False

    def begin(self, names: Sequence[str], root: Path) -> int:
        """Return how many of the images are done, or begin anew where something else was asked.

        A number of whole steps: which images a detector sees together is then as without a kill.
        From an image on whose file is another one by now, all are done again.

        Raises:
            UserError: it is another program's file, or cannot be read or written.
        """
        done = kept = size = 0
        with self._reading() as file:
            first = file.readline() if file is not None else b""
            if not (first.startswith(_HEAD) or _HEAD.startswith(first)):
                raise UserError(
                    f"{self.path} was not made by 'boxloop predict', which keeps there what is"
                    " done: move it away, or name another --out"
                )
            if file is not None and first == f"{self._head}\n".encode():
                place = size = file.tell()
                for line in file:
                    if line[-1:] != b"\n" or not _is_of(line, names, done, root):
                        break
                    done, place = done + 1, place + len(line)
                    if done % self._at_once == 0 or done == len(names):
                        kept, size = done, place
        try:
            if size:
                os.truncate(self.path, size)
            else:
                self.path.write_text(f"{self._head}\n", encoding="utf-8")
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {why(error)}") from None
        return kept

    @contextmanager
    def _reading(self) -> Iterator[BinaryIO | None]:
        """Open it, if it is there."""
        if not os.path.lexists(self.path):
            yield None
            return
        try:
            with open_regular(self.path) as file:
                yield file
        except OSError as error:
            raise UserError(
                f"{self.path} cannot be read: {error.strerror}: move it away, or name another --out"
            ) from None

    def open(self) -> FileIO:
        """Open it to add lines, each of which lasts once it is written."""
        # Without a buffer: closing the file would write again what was refused, and fail, too.
        return self.path.open("ab", buffering=0)

    def add(self, file: FileIO, item: Prediction) -> None:
        """Add a line.

        Raises:
            UserError: the disk is full; what was done before is kept.
        """
        try:
            left = f"{item.to_line()}\n".encode()
            while left:
                left = left[file.write(left) :]
        except OSError as error:
            raise UserError(f"{self.path} cannot be written: {why(error)}") from None

    def read(self) -> Iterator[Prediction]:
        """Read it from its beginning."""
        with self.path.open(encoding="utf-8") as file:
            next(file)
            for line in file:
                yield Prediction.of_line(line)


def _is_of(line: bytes, names: Sequence[str], place: int, root: Path) -> bool:
    """Return whether a line is of the image at a place, and of the file that is there now."""
    try:
        item = Prediction.of_line(line.decode("utf-8"))
    except ValueError:
        return False
    if place >= len(names) or item.name != names[place]:
        return False
    return item.file is None or item.file == _state(root / item.name)  # older versions kept none


def _state(path: Path) -> tuple[int, ...]:
    """Return the bytes of a file and when they were written (ns); nothing where there is none.

    A digest would have a resumed command read every image that is done once more.
    """
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_size, found.st_mtime_ns
