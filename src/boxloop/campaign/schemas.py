"""Check what a file holds when it is read, place by place.

A file of boxes has a model here. Every other one holds the fields of its dataclass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from boxloop.campaign.box_rows import BoxTable
from boxloop.core.evidence import Evidence
from boxloop.core.types import FittedThreshold
from boxloop.errors import ArtifactError
from boxloop.files import collection_paused, read_json


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TruthFile(_Record):
    """``truth.json``."""

    boxes: BoxTable | None


class ProposalsFile(_Record):
    """One file of ``proposals/``; also a part of corrections."""

    batch: str
    detector: str
    checkpoint: str
    score_floor: float
    boxes: BoxTable
    # Only where the threshold was fitted.
    thresholds: tuple[FittedThreshold, ...] = ()


class TrainingFile(_Record):
    """One file of ``training/``."""

    steps: int
    epochs: float
    images: int
    losses: tuple[dict[str, float], ...]
    seconds: float
    images_per_second: float
    wait_fraction: float
    preparing_seconds: float
    device: str
    initial_weights: str
    boxes: int
    batch_size: int
    parameters: int
    # Only where images were held out, to fit a threshold by.
    held_out: ProposalsFile | None = None
    # Not in files of 0.1.0.
    made_of: dict[str, str] = {}


class _Counts(_Record):
    kept: int
    moved: int
    relabeled: int
    removed: int
    added: int


class CorrectionsFile(_Record):
    """One file of ``corrections/``."""

    batch: str
    annotator: str
    reviewer: str | None
    finished: str | None
    versions: dict[str, str]
    score_threshold: float
    boxes: BoxTable
    seconds: dict[str, float]
    proposals: ProposalsFile
    # Of people's corrections only; the edits are for other programs, and never read back.
    submitted: dict[str, str] = {}
    revision: int = 1
    edits: dict[str, _Counts] | None = None
    # Not in files of 0.1.0.
    digests: dict[str, str] = {}
    classes: tuple[str, ...] = ()


class LabeledFile(_Record):
    """The metadata of one file of ``labeled/``: what it holds, and the file before it."""

    classes: tuple[str, ...]
    batches: tuple[str, ...]
    previous: str | None = None
    previous_sha256: str | None = None


class _Ledger(_Counts):
    score_threshold: float
    iou_threshold: float


class WorkloadFile(_Record):
    """One file of ``workload/``."""

    batch: str
    annotator: str
    detector: str
    images: int
    objects: int
    score_threshold: float
    average_precision: dict[str, float]
    seconds: float | None
    ledgers: list[_Ledger]
    timed_images: int | None = None
    edits: _Counts | None = None
    reviewer: str | None = None
    revision: int = 1
    thresholds: tuple[FittedThreshold, ...] = ()


class EvidenceFile(_Record):
    """One file of ``evidence/``: of all batches up to its own, the oldest first."""

    batches: tuple[Evidence, ...]


class _Fault(_Record):
    kind: str
    file: str
    image: str | None
    detail: str


class FaultsFile(_Record):
    """``faults.json``."""

    images: int
    boxes: int
    left_out: dict[str, int]
    counts: dict[str, int]
    faults: list[_Fault]


class PrecisionFile(_Record):
    """How good the detector of a study's turn is on the held-out set."""

    trained_on_images: int
    map: float | None = None
    map_50: float | None = None
    map_75: float | None = None
    voc07_map: float | None = None
    voc_map: float | None = None


_T = TypeVar("_T")


class _Content(_Record, Generic[_T]):
    """Anything to be checked: a dataclass, too, is checked by the rules of its record."""

    content: _T


@cache
def _model_of(type_: type) -> Any:
    return _Content[type_]  # type: ignore[valid-type]


def parse(path: Path, kind: str, type_: type[_T]) -> _T:
    """Read a JSON file of the format ``boxloop/<kind>@1`` into a model or a dataclass.

    Raises:
        ArtifactError: it is of another format, or something in it is wrong; names the first place.
    """
    with collection_paused():
        return _check(path, _read_content(path, kind), type_)


def _read_content(path: Path, kind: str) -> dict[str, Any]:
    """Read a JSON file of the format ``boxloop/<kind>@1``, whatever else it holds.

    Raises:
        ArtifactError: it is of another format.
    """
    content: Any = read_json(path)
    wanted = f"boxloop/{kind}@1"
    present = content.pop("format", None) if isinstance(content, dict) else None
    if isinstance(present, str) and re.fullmatch(rf"boxloop/{kind}@[2-9][0-9]{{0,5}}", present):
        raise ArtifactError(
            f"{path} is of format {present}, which a newer boxloop wrote: install that version"
        )
    if present != wanted:
        what = f"a file of format {present}" if isinstance(present, str) else "another kind of file"
        raise ArtifactError(f"{path} is {what}, where one of format {wanted} is needed")
    return dict(content)


def _check(path: Path, content: dict[str, Any], type_: type[_T]) -> _T:
    """Make a model or a dataclass of a file's content.

    Raises:
        ArtifactError: something in it is wrong; names the first place.
    """
    try:
        model: type[_Content[_T]] = _model_of(type_)  # type: ignore[arg-type]
        return model.model_validate({"content": content}).content
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "value_error":  # an invariant of a dataclass
            raise ArtifactError(f"{path}: {first['ctx']['error']}") from None
        place = ".".join(str(part) for part in first["loc"][1:])
        odd = first["type"] == "unexpected_keyword_argument"
        message = "Extra inputs are not permitted" if odd else first["msg"]
        more = error.error_count() - 1
        tail = f" (and {more} more)" if more else ""
        raise ArtifactError(f"{path}, at {place}: {message}{tail}") from None


@contextmanager
def name_file(path: Path) -> Iterator[None]:
    """Turn a broken invariant of a type into an error that names the file."""
    try:
        yield
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}") from None
