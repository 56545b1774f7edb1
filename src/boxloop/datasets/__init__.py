"""Datasets in many formats: read, checked and cleaned into a :class:`Dataset`."""

from __future__ import annotations

from pathlib import Path

from boxloop.datasets.cleaning import Dataset
from boxloop.datasets.drawn_folder import find_foreign
from boxloop.datasets.faults import Fault, FaultKind, printable
from boxloop.datasets.faults_report import faults_payload, faults_summary, labels_summary
from boxloop.datasets.file_listing import exists
from boxloop.datasets.format_protocol import Format
from boxloop.datasets.images import Progress
from boxloop.datasets.recognition import name_foreign, recognize
from boxloop.errors import DatasetError, why
from boxloop.params import DatasetParams
from boxloop.params.registry import FORMATS

__all__ = [
    "Dataset",
    "Fault",
    "FaultKind",
    "faults_payload",
    "faults_summary",
    "labels_summary",
    "load",
]

_LONGEST_SENTENCE = 2000  # characters


def load(params: DatasetParams, drawn: Path, progress: Progress | None = None) -> Dataset:
    """Read the dataset that ``params`` describe.

    The folder ``drawn`` is for images that boxloop draws itself: made, and empty but for the demo.

    Raises:
        DatasetError: the dataset cannot be used, or ``drawn`` holds what boxloop did not draw; one
            sentence with the way out.
    """
    format_: Format = FORMATS.get(params.format)
    for key in ("split", "annotations", "images"):
        if getattr(params, key) is not None and key not in format_.KEYS:
            raise DatasetError(
                f"dataset.{key} means nothing to format '{params.format}': remove it,"
                " or choose another format"
            )
    if params.exif is not None and params.format in ("demo", "folder"):
        raise DatasetError(
            f"dataset.exif means nothing to format '{params.format}', which has no boxes to turn:"
            " remove it"
        )
    try:
        drawn.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{drawn} cannot be made a folder: {why(error)}") from None
    foreign = find_foreign(drawn)
    if foreign is not None:
        raise DatasetError(
            f"{drawn} holds {foreign}, which boxloop did not draw, and that folder is for DVC to"
            " replace: move your files elsewhere, and name that folder in dataset.path if they are"
            " the images to be labeled"
        )
    root = drawn if params.format == "demo" else Path(params.path)
    try:
        return format_.load(params, root, progress)
    except DatasetError as error:
        # It tells what files say, and they may say anything.
        text = f"{error}{_hint(params, root)}"
        raise DatasetError(printable(text, _LONGEST_SENTENCE)) from None


def _hint(params: DatasetParams, root: Path) -> str:
    """Return what else the set may be, where it is not what ``dataset.format`` says."""
    if params.format == "demo" or params.annotations or not exists(root):
        return ""
    try:
        found = recognize(root)
    except DatasetError:
        other = name_foreign(root)
        return "" if other is None else f"; {other}"
    if found.format in (params.format, "folder"):
        return ""
    return f"; it looks like {found.what}: 'boxloop check {root}' tells the settings"
