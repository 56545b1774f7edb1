"""One cell: a whole simulated campaign, turn by turn, in a folder laid out as any campaign's.

Its files are what the stages of dvc.yaml write, and a file that exists is not made again: all are
written at once, and the folder's name stands for everything that they depend on. So a cell that
was killed goes on at the very file that is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from boxloop import pipeline
from boxloop.campaign import artifacts
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.types import Proposals
from boxloop.errors import ArtifactError
from boxloop.files import file_digest, read_json, write_json
from boxloop.models import detectors
from boxloop.models.average_precision import average_precision, voc_average_precision
from boxloop.params import EMPTY, Params
from boxloop.study.cell_files import LAST, Held
from boxloop.terminal import Report

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
    artifacts.write_order(paths.order, artifacts.read_order(order))
    pipeline.batch(_campaign(paths, params, say))
    if not (paths.labeled(EMPTY).exists() and paths.detector(EMPTY).exists()):
        pipeline.start(_campaign(paths, params, say))
    keys, previous = list(params.iterations), EMPTY
    for number, key in enumerate(keys):
        _train(paths, params, previous, key, say)
        _propose(paths, params, key, say)
        _count(paths, params, key, say)
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
    files = {"labeled": paths.labeled(previous), "previous": before}
    pipeline.train(_campaign(paths, params, say, files), key)


def _is_needed(paths: CampaignPaths, params: Params, key: str) -> bool:
    """Whether something is still to be made by the detector of a turn that has a log already."""
    if not paths.proposals(key).exists():
        return True
    keys = list(params.iterations)
    following = keys[keys.index(key) + 1 :]
    return params.train.warm_start and not all(paths.training(k).exists() for k in following[:1])


def _propose(paths: CampaignPaths, params: Params, key: str, say: Say) -> None:
    if not paths.proposals(key).exists():
        pipeline.propose(_campaign(paths, params, say), key)


def _count(paths: CampaignPaths, params: Params, key: str, say: Say) -> None:
    campaign = _campaign(paths, params, say)
    if not paths.corrections(key).exists():
        pipeline.review(campaign, key)
    if not paths.labeled(key).exists():
        pipeline.merge(campaign, key)
    if not paths.workload(key).exists():
        pipeline.account(campaign, key)


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
    artifacts.write(
        out,
        "precision",
        {
            "trained_on_images": len(artifacts.read_labeled(paths.labeled(labeled))),
            **average_precision(boxes, truth),
            **voc_average_precision(boxes, truth),
        },
    )


def _campaign(
    paths: CampaignPaths, params: Params, say: Say, files: Mapping[str, Path] | None = None
) -> Campaign:
    return Campaign(paths, params, files or {}, reporting=reporting_to(say), say=lambda _: None)


def reporting_to(say: Say) -> Callable[[str], AbstractContextManager[Report]]:
    """Return a display of progress that tells ``say``."""

    @contextmanager
    def reporting(job: str) -> Iterator[Report]:
        yield lambda done, total, **_: say(job, done, total)

    return reporting
