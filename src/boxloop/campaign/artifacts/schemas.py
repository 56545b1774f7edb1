"""What each JSON file must hold: checked when it is read, place by place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from boxloop.core.types import Boxes, BoxesByImage, ImageRef, ImageSet
from boxloop.errors import ArtifactError
from boxloop.files import read_json


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Box(_Record):
    id: str
    label: str
    xyxy: tuple[float, float, float, float]
    score: Annotated[float, Field(ge=0, le=1)] | None = None


_BoxTable = dict[str, list[_Box]]


class _Image(_Record):
    id: str
    path: str
    width: int
    height: int
    digest: str


class ImagesFile(_Record):
    """``images.json``."""

    format: Literal["boxloop/images@1"]
    classes: list[str]
    images: list[_Image]


class TruthFile(_Record):
    """``truth.json``."""

    format: Literal["boxloop/truth@1"]
    boxes: _BoxTable | None


class OrderFile(_Record):
    """``order.json``."""

    format: Literal["boxloop/order@1"]
    strategy: str
    seed: int
    query_size: int
    linkage: str
    image_ids: list[str]


class BatchFile(_Record):
    """One file of ``batches/``."""

    format: Literal["boxloop/batch@1"]
    id: str
    image_ids: list[str]


class ProposalsBody(_Record):
    """Proposals, alone or inside corrections."""

    batch: str
    detector: str
    checkpoint: str
    score_floor: float
    boxes: _BoxTable


class ProposalsFile(ProposalsBody):
    """One file of ``proposals/``."""

    format: Literal["boxloop/proposals@1"]


class _Counts(_Record):
    kept: int
    moved: int
    relabeled: int
    removed: int
    added: int


class CorrectionsFile(_Record):
    """One file of ``corrections/``."""

    format: Literal["boxloop/corrections@1"]
    batch: str
    annotator: str
    reviewer: str | None
    finished: str | None
    versions: dict[str, str]
    score_threshold: float
    boxes: _BoxTable
    seconds: dict[str, float]
    proposals: ProposalsBody
    # Of people's corrections only; the edits are for other programs, and never read back.
    submitted: dict[str, str] = {}
    revision: int = 1
    edits: dict[str, _Counts] | None = None


class LabeledFile(_Record):
    """One file of ``labeled/``."""

    format: Literal["boxloop/labeled@1"]
    classes: list[str]
    batches: list[str]
    boxes: _BoxTable


class _Ledger(_Counts):
    score_threshold: float
    iou_threshold: float


class WorkloadFile(_Record):
    """One file of ``workload/``."""

    format: Literal["boxloop/workload@1"]
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


_LossRows = list[dict[str, float]]


class TrainingFile(_Record):
    """One file of ``training/``: a :class:`~boxloop.models.training_log.TrainingLog`."""

    format: Literal["boxloop/training@1"]
    steps: int
    epochs: float
    images: int
    boxes: int
    batch_size: int
    losses: _LossRows
    seconds: float
    images_per_second: float
    wait_fraction: float
    preparing_seconds: float
    parameters: int
    device: str
    initial_weights: str


class SimNetFile(_Record):
    """``simnet.json``: a SimNetLog; ``steps`` and ``losses`` alone where none was trained."""

    format: Literal["boxloop/simnet@1"]
    steps: int
    losses: _LossRows
    network: str | None = None
    initial_weights: str | None = None
    halves: str | None = None
    input_size: int | None = None
    images: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    images_per_second: float | None = None
    wait_fraction: float | None = None
    preparing_seconds: float | None = None
    device: str | None = None


class _Fault(_Record):
    kind: str
    file: str
    image: str | None
    detail: str


class FaultsFile(_Record):
    """``faults.json``: what was wrong with the dataset's files."""

    format: Literal["boxloop/faults@1"]
    images: int
    boxes: int
    left_out: dict[str, int]
    counts: dict[str, int]
    faults: list[_Fault]


class TrackedFile(_Record):
    """One file of ``tracked/``: what went to MLflow."""

    format: Literal["boxloop/tracked@1"]
    batch: str
    enabled: bool | None = None
    campaign: str | None = None
    content: str | None = None
    images_labeled: int | None = None


class PrecisionFile(_Record):
    """How good the detector of a study's turn is on the held-out set."""

    format: Literal["boxloop/precision@1"]
    trained_on_images: int
    map: float | None = None
    map_50: float | None = None
    map_75: float | None = None
    voc07_map: float | None = None
    voc_map: float | None = None


class ExportFile(_Record):
    """``.boxloop-export.json``: what an export wrote, by relative path."""

    format: Literal["boxloop/export@1"]
    files: dict[str, str]


_F = TypeVar("_F", bound=_Record)


def parse(path: Path, model: type[_F]) -> _F:
    """Reads a JSON file that must hold what ``model`` says.

    Raises:
        ArtifactError: it is of another format, or something in it is wrong; names the first place.
    """
    content = read_json(path)
    wanted = get_args(model.model_fields["format"].annotation)[0]
    present = content.get("format") if isinstance(content, dict) else None
    if present != wanted:
        what = f"a file of format {present}" if isinstance(present, str) else "another kind of file"
        raise ArtifactError(f"{path} is {what}, where one of format {wanted} is needed")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        more = error.error_count() - 1
        tail = f" (and {more} more)" if more else ""
        raise ArtifactError(f"{path}, at {place}: {first['msg']}{tail}") from None


@contextmanager
def faults_of(path: Path) -> Iterator[None]:
    """Turns a broken invariant of a type into an error that names the file."""
    try:
        yield
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}") from None


def subset_of(images: ImageSet, image_ids: Sequence[str], source: Path) -> tuple[ImageRef, ...]:
    """Return the images that the file ``source`` lists.

    Raises:
        ArtifactError: an image is not among ``images``; names the file.
    """
    with faults_of(source):
        return images.subset(image_ids)


def boxes_out(table: BoxesByImage) -> dict[str, list[dict[str, Any]]]:
    """Boxes as plain lists and numbers, ready for JSON."""
    return {image_id: _box_rows(boxes) for image_id, boxes in table.items()}


def _box_rows(boxes: Boxes) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for i in range(len(boxes)):
        row: dict[str, Any] = {
            "id": str(boxes.ids[i]),
            "label": str(boxes.labels[i]),
            "xyxy": boxes.xyxy[i].tolist(),
        }
        if boxes.scores is not None:
            row["score"] = float(boxes.scores[i])
        rows.append(row)
    return rows


def boxes_in(path: Path, table: _BoxTable, *, scored: bool = False) -> dict[str, Boxes]:
    """Boxes from the rows of a file.

    Args:
        path: the file, for errors.
        table: rows by image id.
        scored: whether every row must have a score, or none.

    Raises:
        ArtifactError: a score too many or too few, or a box that cannot be.
    """
    result = {}
    for image_id, rows in table.items():
        for row in rows:
            if (row.score is not None) != scored:
                word = "needs a" if scored else "must not carry a"
                raise ArtifactError(f"{path}, image {image_id}, box {row.id}: {word} score")
        try:
            result[image_id] = Boxes(
                np.array([row.xyxy for row in rows], dtype=np.float64).reshape(-1, 4),
                np.array([row.label for row in rows], dtype=np.str_),
                np.array([row.id for row in rows], dtype=np.str_),
                np.array([row.score for row in rows], dtype=np.float64) if scored else None,
            )
        except ValueError as error:
            raise ArtifactError(f"{path}, image {image_id}: {error}") from None
    return result
