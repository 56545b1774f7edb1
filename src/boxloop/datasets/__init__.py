"""Datasets in many formats: read, checked and cleaned into a :class:`Dataset`."""

from __future__ import annotations

from pathlib import Path

from boxloop.datasets.cleaning import Dataset
from boxloop.datasets.faults import Fault, FaultKind
from boxloop.datasets.faults_report import faults_payload, faults_summary
from boxloop.datasets.file_listing import exists
from boxloop.datasets.format_protocol import Format
from boxloop.datasets.images import Progress
from boxloop.datasets.recognition import name_foreign, recognize
from boxloop.errors import DatasetError
from boxloop.params import DatasetParams
from boxloop.params.registry import FORMATS

__all__ = ["Dataset", "Fault", "FaultKind", "faults_payload", "faults_summary", "load"]


def load(params: DatasetParams, drawn: Path, progress: Progress | None = None) -> Dataset:
    """Read the dataset that ``params`` describe.

    The folder ``drawn`` is for images that boxloop draws itself: made, and empty but for the demo.

    Raises:
        DatasetError: the dataset cannot be used; one sentence with the way out.
    """
    format_: Format = FORMATS.get(params.format)
    for key in ("split", "annotations", "images"):
        if getattr(params, key) is not None and key not in format_.KEYS:
            raise DatasetError(
                f"dataset.{key} means nothing to format '{params.format}': remove it,"
                " or choose another format"
            )
    try:
        drawn.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(f"{drawn} cannot be made a folder: {error.strerror}") from None
    root = drawn if params.format == "demo" else Path(params.path)
    try:
        return format_.load(params, root, progress)
    except DatasetError as error:
        hint = _hint(params, root)
        raise DatasetError(f"{error}{hint}") from None


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
