"""One pair of functions per artifact: write it, read it."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from boxloop.campaign.artifacts.schemas import (
    BatchFile,
    CorrectionsFile,
    FaultsFile,
    ImagesFile,
    LabeledFile,
    OrderFile,
    PrecisionFile,
    ProposalsBody,
    ProposalsFile,
    SimNetFile,
    TrainingFile,
    TruthFile,
    WorkloadFile,
    boxes_in,
    boxes_out,
    faults_of,
    parse,
)
from boxloop.core.edits import Ledger, diff
from boxloop.core.types import (
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
from boxloop.core.workload import BatchWorkload
from boxloop.errors import ArtifactError
from boxloop.files import atomic_path, create_json, require_writable, write_json
from boxloop.models.training_log import TrainingLog

if TYPE_CHECKING:
    from boxloop.models.training_log import SimNetLog


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
    file = parse(path, ImagesFile)
    with faults_of(path):
        return ImageSet(
            tuple(ImageRef(**row.model_dump()) for row in file.images), tuple(file.classes)
        )


def write_truth(path: Path, truth: BoxesByImage | None) -> None:
    """Writes ``truth.json``; None where the dataset has no annotations."""
    boxes = None if truth is None else boxes_out(truth)
    write_json(path, {"format": "boxloop/truth@1", "boxes": boxes})


def read_truth(path: Path) -> dict[str, Boxes] | None:
    """Reads ``truth.json``; None where the dataset has no annotations."""
    file = parse(path, TruthFile)
    return None if file.boxes is None else boxes_in(path, file.boxes)


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
    arrays = {}
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
            for name in ("image_ids", "vectors"):
                if name not in content:
                    raise ArtifactError(f"{path} has no array {name}")
                arrays[name] = content[name]
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist: run 'boxloop features' first") from None
    # A bare .npy file is an array, which is no context manager: a TypeError.
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        raise ArtifactError(f"{path} is not a readable .npz file") from None
    ids, vectors = arrays["image_ids"], arrays["vectors"]
    if ids.ndim != 1 or ids.dtype.kind != "U":
        raise ArtifactError(f"{path}: image_ids must be (N,) strings, got {ids.dtype}{ids.shape}")
    if vectors.dtype.kind not in "fiu":
        raise ArtifactError(f"{path}: vectors must be (N, D) numbers, got {vectors.dtype}")
    with faults_of(path), np.errstate(over="ignore"):
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
    file = parse(path, OrderFile)
    with faults_of(path):
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
    file = parse(path, BatchFile)
    with faults_of(path):
        return Batch(file.id, tuple(file.image_ids))


def write_batches(folder: Path, batches: Sequence[Batch]) -> None:
    """Writes ``batches/``: one file per batch, and none besides.

    Raises:
        ArtifactError: the folder holds JSON files that are no batches; nothing was written or
            deleted.
    """
    before = set(folder.glob("*.json"))
    for path in sorted(before):
        require_writable(path, "boxloop/batch")
    for batch in batches:
        write_batch(folder / f"{batch.id}.json", batch)
    for stale in before - {folder / f"{b.id}.json" for b in batches}:
        stale.unlink()


def _proposals_out(proposals: Proposals) -> dict[str, Any]:
    return {
        "batch": proposals.batch,
        "detector": proposals.detector,
        "checkpoint": proposals.checkpoint,
        "score_floor": proposals.score_floor,
        "boxes": boxes_out(proposals.boxes),
    }


def _proposals_in(path: Path, body: ProposalsBody) -> Proposals:
    boxes = boxes_in(path, body.boxes, scored=True)
    with faults_of(path):
        return Proposals(body.batch, body.detector, body.checkpoint, body.score_floor, boxes)


def write_proposals(path: Path, proposals: Proposals) -> None:
    """Writes one file of ``proposals/``."""
    write_json(path, {"format": "boxloop/proposals@1", **_proposals_out(proposals)})


def read_proposals(path: Path) -> Proposals:
    """Reads one file of ``proposals/``."""
    return _proposals_in(path, parse(path, ProposalsFile))


def write_corrections(path: Path, corrections: Corrections) -> None:
    """Writes one file of ``corrections/``."""
    write_json(path, _corrections_out(corrections), depth=3)


def create_corrections(path: Path, corrections: Corrections) -> None:
    """Writes corrections to a file that must not exist yet, and lasts once this returns.

    Raises:
        FileExistsError: it exists; nothing was changed.
    """
    create_json(path, _corrections_out(corrections), depth=3)


def _corrections_out(corrections: Corrections) -> dict[str, Any]:
    content: dict[str, Any] = {
        "format": "boxloop/corrections@1",
        "batch": corrections.batch,
        "annotator": corrections.annotator,
        "reviewer": corrections.reviewer,
        "finished": corrections.finished,
        "versions": dict(corrections.versions),
        "score_threshold": corrections.score_threshold,
        "boxes": boxes_out(corrections.boxes),
        "seconds": dict(corrections.seconds),
        "proposals": _proposals_out(corrections.proposals),
    }
    if corrections.by_person:
        shown = corrections.shown()
        edits = {k: asdict(diff(shown[k], boxes)) for k, boxes in corrections.boxes.items()}
        content |= {
            "submitted": dict(corrections.submitted),
            "revision": corrections.revision,
            "edits": edits,
        }
    return content


def read_corrections(path: Path) -> Corrections:
    """Reads one file of ``corrections/``."""
    file = parse(path, CorrectionsFile)
    if file.batch != file.proposals.batch:
        raise ArtifactError(
            f"{path} is of batch {file.batch}, but its proposals are of {file.proposals.batch}"
        )
    with faults_of(path):
        return Corrections(
            proposals=_proposals_in(path, file.proposals),
            score_threshold=file.score_threshold,
            annotator=file.annotator,
            boxes=boxes_in(path, file.boxes),
            reviewer=file.reviewer,
            seconds=file.seconds,
            finished=file.finished,
            versions=file.versions,
            submitted=file.submitted,
            revision=file.revision,
        )


def write_labeled(path: Path, labeled: LabeledSet) -> None:
    """Writes one file of ``labeled/``."""
    write_json(
        path,
        {
            "format": "boxloop/labeled@1",
            "classes": list(labeled.classes),
            "batches": list(labeled.batches),
            "boxes": boxes_out(labeled.boxes),
        },
    )


def read_labeled(path: Path) -> LabeledSet:
    """Reads one file of ``labeled/``."""
    file = parse(path, LabeledFile)
    with faults_of(path):
        return LabeledSet(tuple(file.classes), tuple(file.batches), boxes_in(path, file.boxes))


def write_workload(path: Path, workload: BatchWorkload) -> None:
    """Writes one file of ``workload/``."""
    ledgers = [
        {"score_threshold": score, "iou_threshold": iou, **asdict(ledger)}
        for (score, iou), ledger in workload.ledgers.items()
    ]
    content: dict[str, Any] = {
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
    }
    if workload.edits is not None:
        content |= {
            "timed_images": workload.timed_images,
            "edits": asdict(workload.edits),
            "reviewer": workload.reviewer,
            "revision": workload.revision,
        }
    write_json(path, content)


def read_workload(path: Path) -> BatchWorkload:
    """Reads one file of ``workload/``."""
    file = parse(path, WorkloadFile)
    ledgers = {}
    with faults_of(path):
        for row in file.ledgers:
            counts = row.model_dump(exclude={"score_threshold", "iou_threshold"})
            ledgers[(row.score_threshold, row.iou_threshold)] = Ledger(**counts)
        fields = file.model_dump(exclude={"format", "ledgers", "edits", "timed_images"})
        edits = None if file.edits is None else Ledger(**file.edits.model_dump())
        # Files of 0.1.0 do not say how many images were timed: all, where there are seconds.
        every = None if file.seconds is None else file.images
        timed = every if file.timed_images is None else file.timed_images
        return BatchWorkload(ledgers=ledgers, edits=edits, timed_images=timed, **fields)


def write_training_log(path: Path, log: TrainingLog) -> None:
    """Write one file of ``training/``."""
    write_json(path, {"format": "boxloop/training@1", **log.to_json()})


def read_training_log(path: Path) -> TrainingLog:
    """Read one file of ``training/``."""
    return TrainingLog.from_json(parse(path, TrainingFile).model_dump(exclude={"format"}))


def write_simnet_log(path: Path, log: SimNetLog | None) -> None:
    """Write ``simnet.json``; None where SimNet was not asked for."""
    content = {"steps": 0, "losses": []} if log is None else log.to_json()
    write_json(path, {"format": "boxloop/simnet@1", **content})


def read_simnet_log(path: Path) -> SimNetFile:
    """Read ``simnet.json``."""
    return parse(path, SimNetFile)


def write_faults(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``faults.json``, as :func:`boxloop.datasets.faults_payload` gives it."""
    write_json(path, {"format": "boxloop/faults@1", **content}, depth=3)


def read_faults(path: Path) -> FaultsFile:
    """Read ``faults.json``."""
    return parse(path, FaultsFile)


def write_tracked(path: Path, content: Mapping[str, Any]) -> None:
    """Write one file of ``tracked/``."""
    write_json(path, {"format": "boxloop/tracked@1", **content})


def write_precision(path: Path, content: Mapping[str, Any]) -> None:
    """Write how good a detector is on a study's held-out set."""
    write_json(path, {"format": "boxloop/precision@1", **content})


def read_precision(path: Path) -> PrecisionFile:
    """Read how good a detector is on a study's held-out set."""
    return parse(path, PrecisionFile)
