"""The files between the stages: the only module that reads and writes them.

Every write is atomic (a temporary file in the same folder, flushed to disk, then renamed), so a
kill at any moment leaves either the old file or the new one. Every read is checked, and a fault is
one :class:`~boxloop.errors.ArtifactError` that names the file and the place in it.
``docs/formats.md`` describes each format for other programs.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from boxloop.errors import ArtifactError
from boxloop.types import (
    Batch,
    Boxes,
    BoxesByImage,
    Corrections,
    FeatureTable,
    ImageRef,
    ImageSet,
    LabeledSet,
    Ordering,
    Proposals,
)
from boxloop.workload import BatchWorkload, Ledger

# --- atomic files ---------------------------------------------------------------------------------


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


# --- what each file must hold ---------------------------------------------------------------------


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_Coordinate = Annotated[float, Field(allow_inf_nan=False)]


class _Box(_Record):
    id: str
    label: str
    xyxy: tuple[_Coordinate, _Coordinate, _Coordinate, _Coordinate]
    score: Annotated[float, Field(ge=0, le=1)] | None = None


_BoxTable = dict[str, list[_Box]]


class _Image(_Record):
    id: str
    path: str
    width: int
    height: int
    digest: str


class _ImagesFile(_Record):
    format: Literal["boxloop/images@1"]
    classes: list[str]
    images: list[_Image]


class _TruthFile(_Record):
    format: Literal["boxloop/truth@1"]
    boxes: _BoxTable | None


class _OrderFile(_Record):
    format: Literal["boxloop/order@1"]
    strategy: str
    seed: int
    query_size: int
    linkage: str
    image_ids: list[str]


class _BatchFile(_Record):
    format: Literal["boxloop/batch@1"]
    id: str
    image_ids: list[str]


class _ProposalsBody(_Record):
    batch: str
    detector: str
    checkpoint: str
    score_floor: float
    boxes: _BoxTable


class _ProposalsFile(_ProposalsBody):
    format: Literal["boxloop/proposals@1"]


class _CorrectionsFile(_Record):
    format: Literal["boxloop/corrections@1"]
    batch: str
    annotator: str
    reviewer: str | None
    finished: str | None
    versions: dict[str, str]
    score_threshold: float
    boxes: _BoxTable
    seconds: dict[str, float]
    proposals: _ProposalsBody


class _LabeledFile(_Record):
    format: Literal["boxloop/labeled@1"]
    classes: list[str]
    batches: list[str]
    boxes: _BoxTable


class _Ledger(_Record):
    score_threshold: float
    iou_threshold: float
    kept: int
    moved: int
    relabeled: int
    removed: int
    added: int


class _WorkloadFile(_Record):
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


_F = TypeVar("_F", bound=_Record)


def _parse(path: Path, model: type[_F]) -> _F:
    content = read_json(path)
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the top level"
        more = error.error_count() - 1
        tail = f" (and {more} more)" if more else ""
        raise ArtifactError(f"{path}, at {place}: {first['msg']}{tail}") from None


@contextmanager
def _faults_of(path: Path) -> Iterator[None]:
    """Turns a broken invariant of a type into an error that names the file."""
    try:
        yield
    except ValueError as error:
        raise ArtifactError(f"{path}: {error}") from None


# --- boxes ----------------------------------------------------------------------------------------


def _boxes_out(table: BoxesByImage) -> dict[str, list[dict[str, Any]]]:
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


def _boxes_in(path: Path, table: _BoxTable, *, scored: bool = False) -> dict[str, Boxes]:
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


# --- one pair of functions per artifact -----------------------------------------------------------


def write_images(path: Path, images: ImageSet) -> None:
    """Writes ``images.json``."""
    rows = [
        {"id": i.id, "path": i.path, "width": i.width, "height": i.height, "digest": i.digest}
        for i in images.images
    ]
    write_json(
        path, {"format": "boxloop/images@1", "classes": list(images.classes), "images": rows}
    )


def read_images(path: Path) -> ImageSet:
    """Reads ``images.json``."""
    file = _parse(path, _ImagesFile)
    with _faults_of(path):
        return ImageSet(
            tuple(ImageRef(**row.model_dump()) for row in file.images), tuple(file.classes)
        )


def write_truth(path: Path, truth: BoxesByImage | None) -> None:
    """Writes ``truth.json``; None where the dataset has no annotations."""
    boxes = None if truth is None else _boxes_out(truth)
    write_json(path, {"format": "boxloop/truth@1", "boxes": boxes})


def read_truth(path: Path) -> dict[str, Boxes] | None:
    """Reads ``truth.json``; None where the dataset has no annotations."""
    file = _parse(path, _TruthFile)
    return None if file.boxes is None else _boxes_in(path, file.boxes)


def write_features(path: Path, features: FeatureTable) -> None:
    """Writes ``features.npz``: ``image_ids`` (N,) strings and ``vectors`` (N, D) float32."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            image_ids=np.asarray(features.image_ids, dtype=np.str_),
            vectors=np.ascontiguousarray(features.vectors, dtype=np.float32),
        )


def read_features(path: Path) -> FeatureTable:
    """Reads ``features.npz``."""
    try:
        with np.load(path, allow_pickle=False) as content:
            ids, vectors = content["image_ids"], content["vectors"]
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: run 'boxloop features' first") from None
    except KeyError as error:
        raise ArtifactError(f"{path} has no array {error.args[0]}") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise ArtifactError(f"{path} is not a readable .npz file") from None
    if ids.ndim != 1 or ids.dtype.kind != "U":
        raise ArtifactError(f"{path}: image_ids must be (N,) strings, got {ids.dtype}{ids.shape}")
    if vectors.dtype.kind not in "fiu":
        raise ArtifactError(f"{path}: vectors must be (N, D) numbers, got {vectors.dtype}")
    with _faults_of(path):
        return FeatureTable(tuple(ids.tolist()), vectors.astype(np.float32))


def write_order(path: Path, order: Ordering) -> None:
    """Writes ``order.json``."""
    write_json(
        path,
        {
            "format": "boxloop/order@1",
            "strategy": order.strategy,
            "seed": order.seed,
            "query_size": order.query_size,
            "linkage": order.linkage,
            "image_ids": list(order.image_ids),
        },
    )


def read_order(path: Path) -> Ordering:
    """Reads ``order.json``."""
    file = _parse(path, _OrderFile)
    with _faults_of(path):
        return Ordering(
            tuple(file.image_ids), file.strategy, file.seed, file.query_size, file.linkage
        )


def write_batch(path: Path, batch: Batch) -> None:
    """Writes one file of ``batches/``."""
    write_json(
        path, {"format": "boxloop/batch@1", "id": batch.id, "image_ids": list(batch.image_ids)}
    )


def read_batch(path: Path) -> Batch:
    """Reads one file of ``batches/``."""
    file = _parse(path, _BatchFile)
    with _faults_of(path):
        return Batch(file.id, tuple(file.image_ids))


def write_batches(folder: Path, batches: Sequence[Batch]) -> None:
    """Writes ``batches/``: one file per batch, and none besides."""
    for batch in batches:
        write_batch(folder / f"{batch.id}.json", batch)
    for stale in set(folder.glob("*.json")) - {folder / f"{b.id}.json" for b in batches}:
        stale.unlink()


def _proposals_out(proposals: Proposals) -> dict[str, Any]:
    return {
        "batch": proposals.batch,
        "detector": proposals.detector,
        "checkpoint": proposals.checkpoint,
        "score_floor": proposals.score_floor,
        "boxes": _boxes_out(proposals.boxes),
    }


def _proposals_in(path: Path, body: _ProposalsBody) -> Proposals:
    boxes = _boxes_in(path, body.boxes, scored=True)
    with _faults_of(path):
        return Proposals(body.batch, body.detector, body.checkpoint, body.score_floor, boxes)


def write_proposals(path: Path, proposals: Proposals) -> None:
    """Writes one file of ``proposals/``."""
    write_json(path, {"format": "boxloop/proposals@1", **_proposals_out(proposals)})


def read_proposals(path: Path) -> Proposals:
    """Reads one file of ``proposals/``."""
    return _proposals_in(path, _parse(path, _ProposalsFile))


def write_corrections(path: Path, corrections: Corrections) -> None:
    """Writes one file of ``corrections/``."""
    write_json(
        path,
        {
            "format": "boxloop/corrections@1",
            "batch": corrections.batch,
            "annotator": corrections.annotator,
            "reviewer": corrections.reviewer,
            "finished": corrections.finished,
            "versions": dict(corrections.versions),
            "score_threshold": corrections.score_threshold,
            "boxes": _boxes_out(corrections.boxes),
            "seconds": dict(corrections.seconds),
            "proposals": _proposals_out(corrections.proposals),
        },
        depth=3,
    )


def read_corrections(path: Path) -> Corrections:
    """Reads one file of ``corrections/``."""
    file = _parse(path, _CorrectionsFile)
    if file.batch != file.proposals.batch:
        raise ArtifactError(
            f"{path} is of batch {file.batch}, but its proposals are of {file.proposals.batch}"
        )
    with _faults_of(path):
        return Corrections(
            proposals=_proposals_in(path, file.proposals),
            score_threshold=file.score_threshold,
            annotator=file.annotator,
            boxes=_boxes_in(path, file.boxes),
            reviewer=file.reviewer,
            seconds=file.seconds,
            finished=file.finished,
            versions=file.versions,
        )


def write_labeled(path: Path, labeled: LabeledSet) -> None:
    """Writes one file of ``labeled/``."""
    write_json(
        path,
        {
            "format": "boxloop/labeled@1",
            "classes": list(labeled.classes),
            "batches": list(labeled.batches),
            "boxes": _boxes_out(labeled.boxes),
        },
    )


def read_labeled(path: Path) -> LabeledSet:
    """Reads one file of ``labeled/``."""
    file = _parse(path, _LabeledFile)
    with _faults_of(path):
        return LabeledSet(tuple(file.classes), tuple(file.batches), _boxes_in(path, file.boxes))


def write_workload(path: Path, workload: BatchWorkload) -> None:
    """Writes one file of ``workload/``."""
    ledgers = [
        {"score_threshold": score, "iou_threshold": iou, **asdict(ledger)}
        for (score, iou), ledger in workload.ledgers.items()
    ]
    write_json(
        path,
        {
            "format": "boxloop/workload@1",
            "batch": workload.batch,
            "annotator": workload.annotator,
            "detector": workload.detector,
            "images": workload.images,
            "objects": workload.objects,
            "score_threshold": workload.score_threshold,
            "average_precision": dict(workload.average_precision),
            "seconds": workload.seconds,
            "ledgers": ledgers,
        },
    )


def read_workload(path: Path) -> BatchWorkload:
    """Reads one file of ``workload/``."""
    file = _parse(path, _WorkloadFile)
    ledgers = {}
    with _faults_of(path):
        for row in file.ledgers:
            counts = row.model_dump(exclude={"score_threshold", "iou_threshold"})
            ledgers[(row.score_threshold, row.iou_threshold)] = Ledger(**counts)
        fields = file.model_dump(exclude={"format", "ledgers"})
        return BatchWorkload(ledgers=ledgers, **fields)
