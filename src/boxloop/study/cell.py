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

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.core import batching
from boxloop.core.labeled_set import merge
from boxloop.core.types import LabeledSet, Proposals
from boxloop.core.workload import account
from boxloop.errors import ArtifactError
from boxloop.files import file_digest, read_json, write_json
from boxloop.models import detectors
from boxloop.models.average_precision import average_precision, voc_average_precision
from boxloop.models.detectors.empty import EmptyDetector
from boxloop.params import EMPTY, Params
from boxloop.review.collect import collect
from boxloop.study.cell_files import LAST, Held

_COUNTED = "counted.json"

Say = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much is."""


def run(
    paths: CampaignPaths,
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
        paths: of its folder, which holds images and truth.
        params: of the campaign.
        counted: the parameters that its workload depends on, and its detectors do not.
        order: of its images.
        held: the test set that every detector is evaluated on, if any.
        checkpoints: whether its detectors are kept.
        say: told about progress.

    Raises:
        BoxloopError: it cannot go on; what was finished is kept.
    """
    _count_anew(paths, params, counted)
    ordering = artifacts.read_order(order)
    artifacts.write_order(paths.root / "data" / "order.json", ordering)
    keys = list(params.iterations)
    for batch in batching.plan(ordering.image_ids, params.batch, keys):
        artifacts.write_batch(paths.batch(batch.id), batch)
    _start(paths)
    previous = EMPTY
    for number, key in enumerate(keys):
        _train(paths, params, previous, key, say)
        _propose(paths, params, key, say)
        _count(paths, params, previous, key)
        if held is not None and number > 0:
            _evaluate(paths, params, held, key, previous, say)
        say("turn", number + 1, len(keys))
        previous = key
    if held is not None and not held.precision(paths, LAST).exists():
        _train(paths, params, previous, LAST, say)
        _evaluate(paths, params, held, LAST, previous, say)
    if not checkpoints and paths.detector(EMPTY).parent.exists():
        shutil.rmtree(paths.detector(EMPTY).parent)


def _count_anew(paths: CampaignPaths, params: Params, counted: Mapping[str, Any]) -> None:
    """Takes away what was counted by other thresholds; it takes seconds to count again."""
    mark = paths.root / _COUNTED
    if mark.exists() and read_json(mark) == counted:
        return
    for key in params.iterations:
        for path in (paths.workload(key), paths.corrections(key)):
            path.unlink(missing_ok=True)
    write_json(mark, counted)


def _start(paths: CampaignPaths) -> None:
    """What the first turn starts from, as ``boxloop start`` writes it."""
    labeled, detector = paths.labeled(EMPTY), paths.detector(EMPTY)
    classes = artifacts.read_images(paths.images).classes
    if not labeled.exists():
        artifacts.write_labeled(labeled, LabeledSet(classes, (), {}))
    if not detector.exists():
        EmptyDetector(classes).save(detector, labeled_digest=file_digest(labeled))


def _train(paths: CampaignPaths, params: Params, previous: str, key: str, say: Say) -> None:
    out, log = paths.detector(key), paths.training(key)
    if log.exists() and (out.exists() or not _is_needed(paths, params, key)):
        return
    before = paths.detector(previous)
    if params.train.warm_start and not before.exists():
        raise ArtifactError(
            f"{before} is gone, and {key} goes on from it: delete the folder {paths.root}, and"
            " the cell is run anew"
        )
    path = paths.labeled(previous)
    labeled, images = artifacts.read_labeled(path), artifacts.read_images(paths.images)
    with artifacts.faults_of(path):
        refs = images.subset(list(labeled.boxes))
    detector, result = detectors.train(
        params.train,
        labeled,
        refs,
        previous=before if params.train.warm_start else None,
        progress=lambda step, steps, loss: say(f"training {key}", step, steps),
    )
    detector.save(out, labeled_digest=file_digest(path))
    # The log comes last: where it is, the detector is whole.
    write_json(log, {"format": "boxloop/training@1", **result.to_json()})


def _is_needed(paths: CampaignPaths, params: Params, key: str) -> bool:
    """Whether something is still to be made by the detector of a turn that has a log already."""
    if not paths.proposals(key).exists():
        return True
    keys = list(params.iterations)
    following = keys[keys.index(key) + 1 :]
    return params.train.warm_start and not all(paths.training(k).exists() for k in following[:1])


def _propose(paths: CampaignPaths, params: Params, key: str, say: Say) -> None:
    out = paths.proposals(key)
    if out.exists():
        return
    images = artifacts.read_images(paths.images)
    refs = images.subset(artifacts.read_batch(paths.batch(key)).image_ids)
    p, checkpoint = params.propose, paths.detector(key)
    model = detectors.load(checkpoint, p.device)
    boxes = model.propose(
        refs,
        score_floor=p.score_floor,
        batch_size=p.batch_size,
        progress=lambda done, of: say(f"proposing {key}", done, of),
    )
    digest = file_digest(checkpoint)
    artifacts.write_proposals(out, Proposals(key, model.name, digest, p.score_floor, boxes))


def _count(paths: CampaignPaths, params: Params, previous: str, key: str) -> None:
    """The stages review, merge and account."""
    corrections, labeled, out = (
        paths.corrections(key),
        paths.labeled(key),
        paths.workload(key),
    )
    if not corrections.exists():
        collect(
            paths,
            params.review,
            paths.images,
            paths.proposals(key),
            paths.truth,
            corrections,
            say=lambda _: None,
        )
    if labeled.exists() and out.exists():
        return
    corrected = artifacts.read_corrections(corrections)
    if not labeled.exists():
        artifacts.write_labeled(
            labeled, merge(artifacts.read_labeled(paths.labeled(previous)), corrected)
        )
    p = params.account
    precision = average_precision(corrected.proposals.boxes, corrected.boxes)
    artifacts.write_workload(
        out, account(corrected, p.iou_thresholds, p.score_thresholds, precision)
    )


def _evaluate(
    paths: CampaignPaths, params: Params, held: Held, key: str, labeled: str, say: Say
) -> None:
    """Evaluates the detector of a turn on the test set."""
    out = held.precision(paths, key)
    if out.exists():
        return
    p, checkpoint = params.propose, paths.detector(key)
    if not checkpoint.exists():
        raise ArtifactError(
            f"{checkpoint} was not kept, and the test set is to be evaluated with it: delete the"
            f" folder {paths.root}, and the cell is run anew"
        )
    images = artifacts.read_images(held.paths.images)
    truth = artifacts.read_truth(held.paths.truth) or {}
    model = detectors.load(checkpoint, p.device)
    boxes = model.propose(
        images.images,
        score_floor=p.score_floor,
        batch_size=p.batch_size,
        progress=lambda done, of: say(f"testing {key}", done, of),
    )
    digest = file_digest(checkpoint)
    found = Proposals("test", model.name, digest, p.score_floor, boxes)
    artifacts.write_proposals(held.proposals(paths, key), found)
    write_json(
        out,
        {
            "format": "boxloop/precision@1",
            "trained_on_images": len(artifacts.read_labeled(paths.labeled(labeled))),
            **average_precision(boxes, truth),
            **voc_average_precision(boxes, truth),
        },
    )
