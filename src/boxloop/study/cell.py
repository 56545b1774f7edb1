"""One cell: a whole simulated campaign, turn by turn, in a folder laid out as any campaign's.

Its files are what the stages of dvc.yaml write, and a file that exists is not made again: all are
written at once, and the folder's name stands for everything that they depend on. So a cell that
was killed goes on at the very file that is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from boxloop import batching, detectors, storage
from boxloop.detectors.empty import EmptyDetector
from boxloop.errors import ArtifactError
from boxloop.evaluation import average_precision
from boxloop.layout import Layout
from boxloop.merging import merge
from boxloop.params import EMPTY, Params
from boxloop.reviewing import collect
from boxloop.study.files import LAST, Held
from boxloop.study.voc import voc_average_precision
from boxloop.types import LabeledSet, Proposals
from boxloop.workload import account

_COUNTED = "counted.json"

Say = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much is."""


def run(
    layout: Layout,
    params: Params,
    counted: Mapping[str, Any],
    order: Path,
    held: Held | None,
    *,
    checkpoints: bool,
    say: Say,
) -> None:
    """Runs a cell, or what is left of it.

    Args:
        layout: of its folder, which holds images and truth.
        params: of the campaign.
        counted: the parameters that its workload depends on, and its detectors do not.
        order: of its images.
        held: the test set that every detector is evaluated on, if any.
        checkpoints: whether its detectors are kept.
        say: told about progress.

    Raises:
        BoxloopError: it cannot go on; what was finished is kept.
    """
    _count_anew(layout, params, counted)
    ordering = storage.read_order(order)
    storage.write_order(layout.root / "data" / "order.json", ordering)
    keys = list(params.iterations)
    for batch in batching.plan(ordering.image_ids, params.batch, keys):
        storage.write_batch(layout.batch(batch.id), batch)
    _start(layout)
    previous = EMPTY
    for number, key in enumerate(keys):
        _train(layout, params, previous, key, say)
        _propose(layout, params, key, say)
        _count(layout, params, previous, key)
        if held is not None and number > 0:
            _evaluate(layout, params, held, key, previous, say)
        say("turn", number + 1, len(keys))
        previous = key
    if held is not None and not held.precision(layout, LAST).exists():
        _train(layout, params, previous, LAST, say)
        _evaluate(layout, params, held, LAST, previous, say)
    if not checkpoints and layout.detector(EMPTY).parent.exists():
        shutil.rmtree(layout.detector(EMPTY).parent)


def _count_anew(layout: Layout, params: Params, counted: Mapping[str, Any]) -> None:
    """Takes away what was counted by other thresholds; it takes seconds to count again."""
    mark = layout.root / _COUNTED
    if mark.exists() and storage.read_json(mark) == counted:
        return
    for key in params.iterations:
        for path in (layout.workload(key), layout.corrections(key)):
            path.unlink(missing_ok=True)
    storage.write_json(mark, counted)


def _start(layout: Layout) -> None:
    """What the first turn starts from, as ``boxloop start`` writes it."""
    labeled, detector = layout.labeled(EMPTY), layout.detector(EMPTY)
    classes = storage.read_images(layout.images).classes
    if not labeled.exists():
        storage.write_labeled(labeled, LabeledSet(classes, (), {}))
    if not detector.exists():
        EmptyDetector(classes).save(detector, labeled_digest=storage.file_digest(labeled))


def _train(layout: Layout, params: Params, previous: str, key: str, say: Say) -> None:
    out, log = layout.detector(key), layout.training(key)
    if log.exists() and (out.exists() or not _is_needed(layout, params, key)):
        return
    before = layout.detector(previous)
    if params.train.warm_start and not before.exists():
        raise ArtifactError(
            f"{before} is gone, and {key} goes on from it: delete the folder {layout.root}, and"
            " the cell is run anew"
        )
    path = layout.labeled(previous)
    labeled, images = storage.read_labeled(path), storage.read_images(layout.images)
    with storage.faults_of(path):
        refs = images.subset(list(labeled.boxes))
    detector, result = detectors.train(
        params.train,
        labeled,
        refs,
        previous=before if params.train.warm_start else None,
        progress=lambda step, steps, loss: say(f"training {key}", step, steps),
    )
    detector.save(out, labeled_digest=storage.file_digest(path))
    # The log comes last: where it is, the detector is whole.
    storage.write_json(log, {"format": "boxloop/training@1", **result.to_json()})


def _is_needed(layout: Layout, params: Params, key: str) -> bool:
    """Whether something is still to be made by the detector of a turn that has a log already."""
    if not layout.proposals(key).exists():
        return True
    keys = list(params.iterations)
    following = keys[keys.index(key) + 1 :]
    return params.train.warm_start and not all(layout.training(k).exists() for k in following[:1])


def _propose(layout: Layout, params: Params, key: str, say: Say) -> None:
    out = layout.proposals(key)
    if out.exists():
        return
    images = storage.read_images(layout.images)
    refs = images.subset(storage.read_batch(layout.batch(key)).image_ids)
    p, checkpoint = params.propose, layout.detector(key)
    model = detectors.load(checkpoint, p.device)
    boxes = model.propose(
        refs,
        score_floor=p.score_floor,
        batch_size=p.batch_size,
        progress=lambda done, of: say(f"proposing {key}", done, of),
    )
    digest = storage.file_digest(checkpoint)
    storage.write_proposals(out, Proposals(key, model.name, digest, p.score_floor, boxes))


def _count(layout: Layout, params: Params, previous: str, key: str) -> None:
    """The stages review, merge and account."""
    corrections, labeled, out = (
        layout.corrections(key),
        layout.labeled(key),
        layout.workload(key),
    )
    if not corrections.exists():
        collect(
            layout,
            params.review,
            layout.images,
            layout.proposals(key),
            layout.truth,
            corrections,
            say=lambda _: None,
        )
    if labeled.exists() and out.exists():
        return
    corrected = storage.read_corrections(corrections)
    if not labeled.exists():
        storage.write_labeled(
            labeled, merge(storage.read_labeled(layout.labeled(previous)), corrected)
        )
    p = params.account
    precision = average_precision(corrected.proposals.boxes, corrected.boxes)
    storage.write_workload(out, account(corrected, p.iou_thresholds, p.score_thresholds, precision))


def _evaluate(layout: Layout, params: Params, held: Held, key: str, labeled: str, say: Say) -> None:
    """Evaluates the detector of a turn on the test set."""
    out = held.precision(layout, key)
    if out.exists():
        return
    p, checkpoint = params.propose, layout.detector(key)
    if not checkpoint.exists():
        raise ArtifactError(
            f"{checkpoint} was not kept, and the test set is to be evaluated with it: delete the"
            f" folder {layout.root}, and the cell is run anew"
        )
    images = storage.read_images(held.layout.images)
    truth = storage.read_truth(held.layout.truth) or {}
    model = detectors.load(checkpoint, p.device)
    boxes = model.propose(
        images.images,
        score_floor=p.score_floor,
        batch_size=p.batch_size,
        progress=lambda done, of: say(f"testing {key}", done, of),
    )
    digest = storage.file_digest(checkpoint)
    found = Proposals("test", model.name, digest, p.score_floor, boxes)
    storage.write_proposals(held.proposals(layout, key), found)
    storage.write_json(
        out,
        {
            "format": "boxloop/precision@1",
            "trained_on_images": len(storage.read_labeled(layout.labeled(labeled))),
            **average_precision(boxes, truth),
            **voc_average_precision(boxes, truth),
        },
    )
