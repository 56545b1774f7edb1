"""Write and read the files between the stages; no other module does.

``docs/formats.md`` describes each format for other programs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from boxloop.campaign.box_rows import boxes_in, boxes_out
from boxloop.campaign.decided_rows import decided_in, decided_out
from boxloop.campaign.feature_files import read_features as read_features
from boxloop.campaign.feature_files import write_features as write_features
from boxloop.campaign.finding_schemas import FaultsFile, PrecisionFile
from boxloop.campaign.labeled_files import labeled_batches as labeled_batches
from boxloop.campaign.labeled_files import own_images as own_images
from boxloop.campaign.labeled_files import read_labeled as read_labeled
from boxloop.campaign.labeled_files import write_labeled as write_labeled
from boxloop.campaign.recheck_rows import rechecks_in, rechecks_out
from boxloop.campaign.schemas import (
    BatchFile,
    CorrectionsFile,
    EvidenceFile,
    ProposalsFile,
    TrainingFile,
    TruthFile,
    WorkloadFile,
    name_file,
    parse,
)
from boxloop.core.edits import Ledger, diff, kept_below
from boxloop.core.evidence import Evidence
from boxloop.core.names import require_classes, require_ids
from boxloop.core.rechecking import as_reviewed
from boxloop.core.training_log import Seen, SimNetLog, TrainingLog
from boxloop.core.types import (
    Batch,
    Boxes,
    BoxesByImage,
    Corrections,
    CropUse,
    ImageRef,
    ImageSet,
    NeighbourUse,
    Ordering,
    Proposals,
)
from boxloop.core.workload import BatchWorkload
from boxloop.errors import ArtifactError
from boxloop.files import collection_paused, require_writable, write_json
from boxloop.params import NAME
from boxloop.terminal import printable

_DEEP = ("corrections", "evidence", "faults")
"""Kinds of files with a line for each item of their inner lists and tables."""


def write(
    path: Path, kind: str, content: Mapping[str, Any], *, new: bool = False, version: int = 1
) -> None:
    """Write a file of the format ``boxloop/<kind>@<version>``.

    Raises:
        FileExistsError: it exists, and must be ``new``.
    """
    payload = {"format": f"boxloop/{kind}@{version}", **content}
    write_json(path, payload, depth=3 if kind in _DEEP else 2, new=new)


def write_images(path: Path, images: ImageSet) -> None:
    """Write ``images.json``."""
    rows = list(map(vars, images.images))
    known = {"changes": images.changes} if images.changes else {}
    write(path, "images", {"classes": images.classes, **known, "images": rows})


def read_images(path: Path) -> ImageSet:
    """Read ``images.json``."""
    images = parse(path, "images", ImageSet)
    with name_file(path):
        require_classes(images.classes)
        require_ids(images.changes)
        require_ids(image.id for image in images.images)
        require_ids(image.path for image in images.images)
        require_ids(image.digest for image in images.images)
    return images


def subset_of(images: ImageSet, image_ids: Sequence[str], source: Path) -> tuple[ImageRef, ...]:
    """Return the images that the file ``source`` lists.

    Raises:
        ArtifactError: an image is not among ``images``; names the file.
    """
    with name_file(source):
        return images.subset(image_ids)


def write_truth(path: Path, truth: BoxesByImage | None) -> None:
    """Write ``truth.json``; None where the dataset has no annotations."""
    write(path, "truth", {"boxes": None if truth is None else boxes_out(truth)})


def read_truth(path: Path) -> dict[str, Boxes] | None:
    """Read ``truth.json``; None where the dataset has no annotations."""
    with collection_paused():
        table = parse(path, "truth", TruthFile).boxes
        return None if table is None else boxes_in(path, table)


def write_order(path: Path, order: Ordering) -> None:
    """Write ``order.json``."""
    content = asdict(order)
    image_ids = content.pop("image_ids")
    write(path, "order", {**content, "image_ids": image_ids})


def read_order(path: Path) -> Ordering:
    """Read ``order.json``."""
    order = parse(path, "order", Ordering)
    with name_file(path):
        require_ids((*order.image_ids, order.strategy, order.linkage))
    return order


def write_batch(path: Path, batch: Batch) -> None:
    """Write one file of ``batches/``."""
    near = {image_id: vars(item) for image_id, item in batch.neighbours.items()}
    content = vars(batch) | {"labels": boxes_out(batch.labels), "neighbours": near}
    write(path, "batch", {k: v for k, v in content.items() if v is not None and len(v)})


def read_batch(path: Path) -> Batch:
    """Read one file of ``batches/``, which is named after the batch."""
    file = parse(path, "batch", BatchFile)
    labels = {} if file.labels is None else boxes_in(path, file.labels)
    with name_file(path):
        batch = Batch(file.id, file.image_ids, file.given, labels, file.neighbours)
        require_ids((batch.id, *batch.image_ids))
        require_ids(batch.neighbours)
        if not NAME.fullmatch(batch.id):
            raise ValueError(f"'{printable(batch.id)}' cannot name a batch")
    return batch


def read_batch_of(paths: Iterable[Path]) -> dict[str, str]:
    """Return the batch of each image, by those files of ``batches/`` that are there."""
    return {i: path.stem for path in paths if path.exists() for i in read_batch(path).image_ids}


def write_batches(folder: Path, batches: Sequence[Batch]) -> None:
    """Write ``batches/``: one file per batch, and none besides.

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


def _proposals_out(proposals: Proposals, *, shown: bool = False) -> dict[str, Any]:
    content = vars(proposals) | {"boxes": boxes_out(proposals.boxes)}
    fitted = [asdict(threshold) for threshold in content.pop("thresholds")]
    used, crops = content.pop("neighbours"), content.pop("crops")
    if proposals.changes is None:
        del content["changes"]
    if fitted:
        content["thresholds"] = fitted
    if used is not None:
        near = {image_id: vars(item) for image_id, item in used.images.items()}
        content["neighbours"] = vars(used) | {"images": near, "own": boxes_out(used.own)}
    if crops is not None and not shown:
        content["crops"] = vars(crops) | {"other": boxes_out(crops.other)}
    return content


def _proposals_in(path: Path, file: ProposalsFile) -> Proposals:
    boxes = boxes_in(path, file.boxes, scored=True)
    if not boxes:
        raise ArtifactError(f"{path} has proposals for no image: 'dvc repro' makes it anew")
    used = file.neighbours
    own = {} if used is None else boxes_in(path, used.own, scored=True)
    crops = file.crops
    other = {} if crops is None else boxes_in(path, crops.other, scored=True)
    with name_file(path):
        use = None if used is None else NeighbourUse(**{**vars(used), "own": own})
        if not own.keys() <= boxes.keys():
            raise ValueError("neighbours changed images that are not of the batch")
        if not other.keys() <= boxes.keys():
            raise ValueError("crops were looked at on images that are not of the batch")
        by = None if crops is None else CropUse(**{**vars(crops), "other": other})
        fields = {k: v for k, v in vars(file).items() if k != "digests"}
        return Proposals(**{**fields, "boxes": boxes, "neighbours": use, "crops": by})


def write_proposals(
    path: Path, proposals: Proposals, digests: Mapping[str, str] | None = None
) -> None:
    """Write one file of ``proposals/``, with the ``digests`` of its images where they are known."""
    content = _proposals_out(proposals)
    write(path, "proposals", content if digests is None else {**content, "digests": digests})


def read_proposals(path: Path) -> Proposals:
    """Read one file of ``proposals/``."""
    return read_dated_proposals(path)[0]


def read_dated_proposals(path: Path) -> tuple[Proposals, dict[str, str] | None]:
    """Read one file of ``proposals/``, and its images' digests, which older ones do not have."""
    file = parse(path, "proposals", ProposalsFile)
    return _proposals_in(path, file), file.digests


def write_corrections(
    path: Path, corrections: Corrections, *, new: bool = False, look: bool = False
) -> None:
    """Write one file of ``corrections/``, or of the journal, which lasts once this returns.

    A second ``look`` is none of labels, and no older version reads it, nor what was decided.

    Raises:
        FileExistsError: it exists, and must be ``new``; nothing was changed.
    """
    own = CorrectionsFile.model_fields.keys() - {"edits", "look", "decided"}
    content = {k: getattr(corrections, k) for k in CorrectionsFile.model_fields if k in own}
    content["boxes"] = boxes_out(corrections.boxes)
    content["proposals"] = _proposals_out(corrections.proposals, shown=True)
    planted = corrections.planted.items()
    content["planted"] = {k: [asdict(error) for error in errors] for k, errors in planted}
    if corrections.by_person:
        first = as_reviewed(corrections)
        offered = first.counted()
        edits = {k: asdict(diff(offered[k], boxes)) for k, boxes in first.boxes.items()}
        helped = (k for k in first.boxes if k not in {*first.given, *first.blind})
        for k in helped:
            every = first.proposals.boxes[k]
            if taken := kept_below(every, first.score_threshold, first.boxes[k]):
                edits[k]["kept_below"] = taken
        content["edits"] = edits
    else:
        del content["submitted"], content["revision"]
    content["rechecked"] = rechecks_out(corrections.rechecked)
    if content["changes"] == 0:  # that they follow none is worth saying
        del content["changes"]
    optional = ("digests", "classes", "offered", "given", "blind", "planted")
    for name in (*optional, "rechecked"):
        if not content[name]:
            del content[name]
    if look:
        content["look"] = "second"
    if corrections.decided:
        content["decided"] = decided_out(corrections.decided)
    version = 2 if look or corrections.decided else 1
    write(path, "corrections", content, new=new, version=version)


def read_corrections(path: Path, *, look: bool = False) -> Corrections:
    """Read one file of ``corrections/``, or a second ``look`` of the journal."""
    file = parse(path, "corrections", CorrectionsFile)
    if (file.look is not None) is not look:
        raise ArtifactError(
            f"{path} {'is no' if look else 'is a'} second look, which its name does not say: name"
            " it as it was"
        )
    if file.batch != file.proposals.batch:
        raise ArtifactError(
            f"{path} is of batch {file.batch}, but its proposals are of {file.proposals.batch}"
        )
    fields = {k: v for k, v in vars(file).items() if k not in ("batch", "edits", "look")}
    fields["decided"] = {} if file.decided is None else decided_in(path, file.decided)
    fields["proposals"] = _proposals_in(path, file.proposals)
    fields["boxes"] = boxes_in(path, file.boxes)
    fields["rechecked"] = rechecks_in(path, file.rechecked)
    with name_file(path):
        return Corrections(**fields)


def write_workload(path: Path, workload: BatchWorkload) -> None:
    """Write one file of ``workload/``."""
    content = asdict(workload)
    ledgers = content.pop("ledgers")
    of_people = {k: content.pop(k) for k in ("timed_images", "edits", "reviewer", "revision")}
    fitted = content.pop("thresholds")
    if fitted:
        content["thresholds"] = fitted
    if not workload.given_images:
        del content["given_images"], content["given_objects"]
    content["ledgers"] = [
        {"score_threshold": score, "iou_threshold": iou, **ledger}
        for (score, iou), ledger in ledgers.items()
    ]
    if workload.edits is not None:
        content |= of_people
    write(path, "workload", content)


def read_workload(path: Path) -> BatchWorkload:
    """Read one file of ``workload/``."""
    file = parse(path, "workload", WorkloadFile)
    fields = file.model_dump() | {"thresholds": file.thresholds}
    with name_file(path):
        rows = fields["ledgers"]
        fields["ledgers"] = {
            (row.pop("score_threshold"), row.pop("iou_threshold")): Ledger(**row) for row in rows
        }
        if len(fields["ledgers"]) < len(rows):
            raise ValueError("a pair of thresholds has two ledgers")
        if file.edits is not None:
            fields["edits"] = Ledger(**fields["edits"])
        if file.timed_images is None and file.seconds is not None:
            # Files of 0.1.0 do not say how many images were timed: all, where there are seconds.
            fields["timed_images"] = file.images
        return BatchWorkload(**fields)


def write_training(path: Path, log: TrainingLog) -> None:
    """Write one file of ``training/``."""
    content = dict(vars(log))
    if log.held_out is None:
        del content["held_out"]
    else:
        content["held_out"] = _proposals_out(log.held_out)
    if log.zoom == 1:
        del content["zoom"]
    if log.seen is None:
        del content["seen"]
    else:
        content["seen"] = vars(log.seen)
    write(path, "training", content)


def read_training(path: Path) -> TrainingLog:
    """Read one file of ``training/``."""
    file = parse(path, "training", TrainingFile)
    held_out = None if file.held_out is None else _proposals_in(path, file.held_out)
    with name_file(path):
        seen = None if file.seen is None else Seen(**vars(file.seen))
        return TrainingLog(**{**vars(file), "held_out": held_out, "seen": seen})


def write_evidence(path: Path, batches: Sequence[Evidence]) -> None:
    """Write one file of ``evidence/``: of the batches so far, the oldest first."""
    rows = []
    for item in batches:
        row = vars(item) | {"edits": [vars(edits) for edits in item.edits]}
        near = [asdict(edits) for edits in row.pop("neighbours")]
        row |= {"neighbours": near} if near else {}
        crops = [vars(edits) for edits in row.pop("crops")]
        rows.append(row | {"crops": crops} if crops else row)
    write(path, "evidence", {"batches": rows})


def read_evidence(path: Path) -> tuple[Evidence, ...]:
    """Read one file of ``evidence/``."""
    return parse(path, "evidence", EvidenceFile).batches


def write_simnet(path: Path, log: SimNetLog | None) -> None:
    """Write ``simnet.json``; None where SimNet was not asked for."""
    write(path, "simnet", {"steps": 0, "losses": []} if log is None else asdict(log))


def read_simnet(path: Path) -> SimNetLog:
    """Read ``simnet.json`` of a SimNet that was trained."""
    return parse(path, "simnet", SimNetLog)


def read_faults(path: Path) -> FaultsFile:
    """Read ``faults.json``."""
    return parse(path, "faults", FaultsFile)


def read_precision(path: Path) -> PrecisionFile:
    """Read how good a detector is on a study's held-out set."""
    return parse(path, "precision", PrecisionFile)
