"""Say what a folder holds and which settings read it, before there is any campaign."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from boxloop.datasets import Dataset, load
from boxloop.datasets.faults import UNLABELED, UNLISTED, FaultKind
from boxloop.datasets.faults_report import faults_summary, labels_summary
from boxloop.datasets.file_listing import absolute
from boxloop.datasets.images import Progress
from boxloop.datasets.obstacles import find_obstacle
from boxloop.datasets.recognition import Recognized, recognize
from boxloop.errors import DatasetError, ParamsError
from boxloop.files import temporary_folder
from boxloop.params import Params, apply_override, check, read_yaml

_PLAIN = re.compile(r"[\w./+@-][\w./+@ -]*")
_HOW_TO_USE = (
    ": where people label the rest, --set dataset.labels=trusted has the first detector learn from"
    " them, and proposed has people check them first"
)
_SOME_CLASS = "object"
"""Stands for the classes of pictures without labels, which only people can tell."""


def find_settings(path: Path, overrides: Sequence[str]) -> tuple[Recognized, dict[str, Any]]:
    """Return what a path is taken for, and the section ``dataset`` that reads it.

    Args:
        path: a folder, or a file that describes a set.
        overrides: ``dataset.key=value``, which go before what was recognized.

    Raises:
        DatasetError: nothing that boxloop reads is there.
        ParamsError: an override is none.
    """
    given: dict[str, Any] = {}
    for override in overrides:
        apply_override(given, override)
    wanted = given.get("dataset") or {}
    format_ = wanted.get("format") if isinstance(wanted, dict) else None
    if format_ is None:
        found = recognize(path)
    else:
        # The user says how to read it: what it looks like decides no more.
        try:
            found = recognize(path)
        except DatasetError:
            found = Recognized(format_, absolute(path), f"format {format_}")
        if found.format != format_:
            found = Recognized(format_, absolute(path), f"format {format_}")
    section = {"format": found.format, "path": str(found.path), **found.settings}
    return found, {**section, **(wanted if isinstance(wanted, dict) else {})}


def as_overrides(section: dict[str, Any]) -> list[str]:
    """Return a section ``dataset`` as values of ``--set``."""
    return [f"dataset.{key}={_to_yaml(value)}" for key, value in section.items()]


def check_path(path: Path, overrides: Sequence[str], progress: Progress | None = None) -> str:
    """Read what a path holds, and return it in words: format, counts, faults and what to run next.

    Raises:
        DatasetError: it cannot be used.
        ParamsError: an override is none, or of another section.
    """
    for override in overrides:
        if not override.startswith("dataset."):
            raise ParamsError(f"--set {override}: a check takes keys of 'dataset' only")
    found, section = find_settings(path, overrides)
    read = dict(section)
    nameless = found.format == "folder" and not read.get("classes")
    if nameless:
        read["classes"] = [_SOME_CLASS]
    # Keys that mean something only where people label are answered for such a campaign.
    people = {"review": {"annotator": "fiftyone"}} if "labels" in read else {}
    params = check(Params, {"dataset": read, **people}, "--set").dataset
    try:
        with temporary_folder() as folder:
            dataset = load(params, folder, progress)
    except DatasetError as error:
        raise DatasetError(f"{path} is taken for {found.what}, but {error}") from None
    summary = faults_summary(dataset)
    if nameless:
        summary = summary.replace(f"; classes: {_SOME_CLASS}", "", 1)
    lines = [f"{path}: {found.what}", summary]
    lines += [f"not read: {what}" for what in found.also]
    labels = labels_summary(dataset) or ""
    if " of " in labels:
        lines.append(labels + ("" if params.takes_unlabeled else _HOW_TO_USE))
    elif not params.takes_unlabeled and _leaves_unlabeled(dataset):
        lines.append(
            "images without labels are left out: where people label them, --set"
            " dataset.labels=trusted takes them in and has the first detector learn from the"
            " others, and proposed has people check those first"
        )
    stopped = find_obstacle(Path(section["path"]))
    if stopped is not None:
        lines += ["", f"First: {stopped}"]
    if nameless:
        section["classes"] = ["cat", "dog"]
    sets = " ".join(f"--set {shlex.quote(text)}" for text in as_overrides(section))
    lines += [
        "",
        "Next, with the names of your own classes:" if nameless else "Next:",
        f"  boxloop init CAMPAIGN {sets}",
    ]
    return "\n".join(lines)


def _leaves_unlabeled(dataset: Dataset) -> bool:
    """Whether images were left out that nobody has labeled."""
    missing = any(fault.kind is FaultKind.MISSING_ANNOTATION for fault in dataset.faults)
    return missing or not dataset.left_out.keys().isdisjoint((UNLABELED, UNLISTED))


def _to_yaml(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_to_yaml, value))}]"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value == value.strip() and read_yaml(value) == value
        return value if plain else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False)
