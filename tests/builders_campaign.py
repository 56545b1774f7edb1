"""A small campaign on disk, with edits that can be counted by hand.

Batches of two images; the objects and the edits, at IoU 0.5 and at IoU 0.7:

    batch   objects   kept      moved   relabeled   removed   added
    b00        5      -         -       -           -         5       labeled from scratch
    b01        6      4 / 3     0 / 1   1 / 1       1 / 1     1 / 1
    b02 ..     4      4 / 4     0 / 0   0 / 0       0 / 0     0 / 0

In b01 a seventh proposal, of score 0.3, lies on the object that is added: it is not shown at the
threshold of 0.5, and would have saved that addition at one of 0.3.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.thresholds import shown_from, with_batch, with_thresholds
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import (
    Batch,
    Boxes,
    Corrections,
    ImageRef,
    ImageSet,
    LabeledSet,
    Ordering,
    Proposals,
)
from boxloop.core.workload import account
from boxloop.files import file_digest
from boxloop.models.average_precision import average_precision
from boxloop.params import Params

CLASSES = ("cat", "dog")

Rows = list[tuple[tuple[float, float, float, float], str]]
ScoredRows = list[tuple[tuple[float, float, float, float], str, float]]

A, B, C = (2, 2, 12, 12), (20, 2, 30, 12), (40, 2, 50, 12)
A_60 = (2, 2, 12, 8)  # IoU with A: 60 / 100
FREE = (2, 30, 12, 40)  # touches no object


def _objects(batch: int) -> tuple[Rows, Rows]:
    if batch == 0:
        return [(A, "cat"), (B, "cat"), (C, "dog")], [(A, "dog"), (B, "cat")]
    if batch == 1:
        return [(A, "cat"), (B, "cat"), (C, "dog")], [(A, "dog"), (B, "cat"), (C, "cat")]
    return [(A, "cat"), (B, "dog")], [(A, "cat"), (B, "dog")]


def _proposals(batch: int) -> tuple[ScoredRows, ScoredRows]:
    if batch == 0:
        return [], []
    if batch == 1:
        return (
            [(A_60, "cat", 0.9), (B, "cat", 0.9), (C, "cat", 0.8), (FREE, "dog", 0.6)],
            [(A, "dog", 0.9), (B, "cat", 0.7), (C, "cat", 0.3)],
        )
    first, second = _objects(batch)
    return [(*row, 0.9) for row in first], [(*row, 0.9) for row in second]


def small_params(batches: int = 3, **sections: dict[str, object]) -> Params:
    """Params of a campaign of so many batches; sections may be overridden.

    Proposals are shown from 0.5, unless the section ``review`` says otherwise.
    """
    iterations, previous = {}, "empty"
    for i in range(batches):
        iterations[f"b{i:02d}"] = {"previous": previous}
        previous = f"b{i:02d}"
    content: dict[str, object] = {
        "batch": {"size": 2},
        "train": {"steps": 4, "weights": "none"},
        "iterations": iterations,
        **sections,
        "review": {"score_threshold": 0.5, **sections.get("review", {})},
    }
    return Params.model_validate(content)


def build_campaign(
    root: Path,
    params: Params,
    *,
    done: int | None = None,
    annotator: str = "simulated",
    through: str = "workload",
) -> CampaignPaths:
    """Writes a campaign's files into ``root``.

    Args:
        root: an empty folder.
        params: of :func:`small_params`.
        done: so many batches are labeled and accounted (all unless given).
        annotator: kind of annotator to write into the corrections.
        through: how far the batch after them got: "batch" (not begun), "detector", "proposals",
            "corrections", "labeled" or "workload"; "workload" says nothing about a next batch.
    """
    paths = CampaignPaths(root)
    keys = list(params.iterations)
    done = len(keys) if done is None else done
    refs = []
    for i in range(2 * len(keys)):
        path = root / "data" / "images" / f"img{i:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((48, 64, 3), 40 + 5 * i, dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        relative = path.relative_to(root).as_posix()
        refs.append(ImageRef(f"img{i:02d}", relative, 64, 48, file_digest(path)))
    ids = tuple(ref.id for ref in refs)
    artifacts.write_images(paths.images, ImageSet(tuple(refs), CLASSES))
    truth = {}
    for i, key in enumerate(keys):
        for image_id, rows in zip(ids[2 * i : 2 * i + 2], _objects(i), strict=True):
            truth[image_id] = Boxes.build([r[0] for r in rows], [r[1] for r in rows])
        artifacts.write_batch(paths.batch(key), Batch(key, ids[2 * i : 2 * i + 2]))
    artifacts.write_truth(paths.truth, truth)
    order = Ordering(ids, params.order.strategy, 0, 3, "single")
    artifacts.write_order(root / "data" / "order.json", order)
    artifacts.write_labeled(paths.labeled("empty"), LabeledSet(CLASSES, (), {}))
    artifacts.write_evidence(paths.evidence("empty"), ())
    steps = ["batch", "detector", "proposals", "corrections", "labeled", "workload"]
    for i in range(len(keys)):
        if i < done:
            _write_iteration(paths, params, i, annotator, len(steps))
        elif i == done and through != "workload":
            _write_iteration(paths, params, i, annotator, steps.index(through))
    return paths


def _write_iteration(
    paths: CampaignPaths, params: Params, i: int, annotator: str, upto: int
) -> None:
    keys = list(params.iterations)
    key, ids = keys[i], artifacts.read_batch(paths.batch(keys[i])).image_ids
    truth = artifacts.read_truth(paths.truth)
    assert truth is not None
    if upto >= 1:
        paths.detector(key).parent.mkdir(parents=True, exist_ok=True)
        paths.detector(key).write_bytes(f"checkpoint {key}".encode())
        artifacts.write_training(paths.training(key), training_log(i, params))
    proposals = Proposals(
        key,
        "empty" if i == 0 else params.train.detector,
        file_digest(paths.detector(key)) if upto >= 1 else "",
        params.propose.score_floor,
        {
            image_id: Boxes.build([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])
            for image_id, rows in zip(ids, _proposals(i), strict=True)
        },
    )
    final = {image_id: truth[image_id] for image_id in ids}
    known = artifacts.read_evidence(paths.evidence(keys[i - 1] if i else "empty"))
    proposals = with_thresholds(params, proposals, known)
    human = annotator != "simulated"
    corrections = Corrections(
        proposals,
        shown_from(params.review, proposals, paths.proposals(key)),
        annotator,
        final,
        reviewer="ada" if human else None,
        seconds=dict.fromkeys(ids, 10.0) if human else {},
        finished="2024-01-01T12:00:00+00:00" if human else None,
    )
    if upto >= 2:
        artifacts.write_proposals(paths.proposals(key), proposals)
    if upto >= 3:
        artifacts.write_corrections(paths.corrections(key), corrections)
    if upto >= 4:
        before = paths.labeled(keys[i - 1] if i else "empty")
        artifacts.write_labeled(paths.labeled(key), LabeledSet(CLASSES, (key,), final), before)
    if upto >= 5:
        workload = account(
            corrections,
            params.account.iou_thresholds,
            params.account.score_thresholds,
            average_precision(proposals.boxes, final),
        )
        artifacts.write_evidence(paths.evidence(key), with_batch(params, known, corrections))
        artifacts.write_workload(paths.workload(key), workload)


def training_log(i: int, params: Params) -> TrainingLog:
    """The training log of iteration ``i``; its losses halve from step to step."""
    if i == 0:
        return TrainingLog.of_nothing()
    steps = params.train.steps or 4
    losses = tuple(
        {
            "step": step,
            "total": 8.0 / 2**step,
            "classification": 6.0 / 2**step,
            "bbox_regression": 2.0 / 2**step,
            "learning_rate": 0.001,
            "time": float(step),
        }
        for step in range(1, steps + 1)
    )
    return TrainingLog(
        steps=steps,
        epochs=float(steps),
        images=2 * i,
        losses=losses,
        seconds=float(steps),
        images_per_second=16.0,
        wait_fraction=0.25,
        preparing_seconds=0.5,
        device="cpu",
        initial_weights="none",
        boxes=5 * i,
        batch_size=params.train.batch_size,
        parameters=1000,
    )


def swap_pixels(one: str, other: str | None) -> None:
    """Have two images of the campaign here change places, or one become another picture."""
    paths = CampaignPaths()
    images = artifacts.read_images(paths.images)
    digests = {image.id: image.digest for image in images.images}
    if other is None:
        digests[one] = "0" * 64
    else:
        digests[one], digests[other] = digests[other], digests[one]
    refs = tuple(replace(image, digest=digests[image.id]) for image in images.images)
    artifacts.write_images(paths.images, replace(images, images=refs))


def rename_image(old: str, new: str | None) -> None:
    """Give an image of the campaign here another name, or take it out of the dataset."""
    paths = CampaignPaths()
    names = {old: new}
    images, order = artifacts.read_images(paths.images), artifacts.read_order(paths.order)
    refs = {names.get(image.id, image.id): image for image in images.images}
    kept = tuple(replace(image, id=name) for name, image in refs.items() if name is not None)
    artifacts.write_images(paths.images, replace(images, images=kept))
    ids = [names.get(image_id, image_id) for image_id in order.image_ids]
    order = replace(order, image_ids=tuple(image_id for image_id in ids if image_id is not None))
    artifacts.write_order(paths.order, order)
