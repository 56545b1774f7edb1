"""One cell: a whole simulated campaign, turn by turn, in a folder laid out as any campaign's.

Its files are what the stages of dvc.yaml write, and a file that exists is not made again: all are
written at once, and the folder's name stands for everything that they depend on. So a cell that
was killed goes on at the very file that is missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from boxloop import pipeline
from boxloop.campaign import artifacts
from boxloop.campaign.ahead import following
from boxloop.campaign.campaign import Campaign
from boxloop.core.types import Proposals
from boxloop.errors import ArtifactError
from boxloop.files import file_digest, read_json, write_json
from boxloop.models import detectors
from boxloop.models.average_precision import average_precision, voc_average_precision
from boxloop.models.detectors import promises
from boxloop.params import EMPTY
from boxloop.pipeline.detecting import refit
from boxloop.study.cell_files import LAST, Held


def run(
    campaign: Campaign,
    counted: Mapping[str, Any],
    order: Path,
    held: Held | None,
    *,
    checkpoints: bool,
) -> None:
    """Run a cell, or what is left of it.

    Args:
        campaign: whose folder holds images and truth.
        counted: the parameters that its workload depends on, and its detectors do not.
        order: of its images.
        held: the test set that every detector is evaluated on, if any.
        checkpoints: whether its detectors are kept.

    Raises:
        BoxloopError: it cannot go on; what was finished is kept.
    """
    paths, keys, previous = campaign.paths, list(campaign.params.iterations), EMPTY
    _count_anew(campaign, counted)
    artifacts.write_order(paths.order, artifacts.read_order(order))
    pipeline.batch(campaign)
    begun = (paths.labeled(EMPTY), paths.detector(EMPTY), paths.evidence(EMPTY))
    if not all(path.exists() for path in begun):
        pipeline.start(campaign)
    with campaign.reporting("turn") as report:
        for number, key in enumerate(keys):
            _forget_others(campaign, held, previous, key)
            _train(campaign, previous, key)
            if paths.proposals(key).exists() and not paths.corrections(key).exists():
                # Counted anew, perhaps: the proposals stay, what is shown of them may not.
                refit(campaign, key)
            for stage, out in (
                (pipeline.propose, paths.proposals(key)),
                (pipeline.review, paths.corrections(key)),
                (pipeline.merge, paths.labeled(key)),
                (pipeline.account, paths.workload(key)),
            ):
                if not out.exists():
                    stage(campaign, key)
            if held is not None and number > 0:
                _evaluate(campaign, held, key, previous)
            report(number + 1, len(keys))
            previous = key
    if held is not None:
        _forget_others(campaign, held, previous, LAST)
        if not held.precision(paths, LAST).exists():
            _train(campaign, previous, LAST)
            _evaluate(campaign, held, LAST, previous)
    if not checkpoints and paths.detector(EMPTY).parent.exists():
        shutil.rmtree(paths.detector(EMPTY).parent)


def _count_anew(campaign: Campaign, counted: Mapping[str, Any]) -> None:
    """Remove what was counted by other thresholds; it takes seconds to count again."""
    paths, mark = campaign.paths, campaign.paths.root / "counted.json"
    if mark.exists() and read_json(mark) == counted:
        return
    # Of all turns, also of those that a shorter campaign does not have and a longer one had.
    for place in (paths.workload, paths.evidence, paths.corrections):
        begun = place(EMPTY)
        for path in begun.parent.glob("*.json"):
            if path != begun:
                path.unlink()
    write_json(mark, counted)


def _forget_others(campaign: Campaign, held: Held | None, previous: str, key: str) -> None:
    """Remove what was made under a turn's name from other labels than those before it.

    What was trained after the last turn comes from others in a campaign of more turns, or fewer;
    and an older boxloop called turns as params.yaml did, where the third one may be ``b01``.
    """
    paths = campaign.paths
    if not paths.training(key).exists():
        return
    log, labeled = artifacts.read_training(paths.training(key)), paths.labeled(previous)
    if made_of := log.made_of.get("labeled"):
        same = made_of == file_digest(labeled)
    else:
        unseen = 0 if log.seen is None else log.seen.of - len(log.seen.images)
        same = log.images + unseen == len(artifacts.read_labeled(labeled))
    if same:
        return
    made = [paths.workload, paths.evidence, paths.labeled, paths.corrections, paths.proposals]
    places = [place(key) for place in (*made, paths.detector)]
    if held is not None:
        places += [held.precision(paths, key), held.proposals(paths, key)]
    for path in (*places, paths.training(key)):  # the log last, so that a kill leaves no rest
        path.unlink(missing_ok=True)


def _train(campaign: Campaign, previous: str, key: str) -> None:
    paths, before = campaign.paths, campaign.paths.detector(previous)
    if paths.training(key).exists() and (
        paths.detector(key).exists() or not _is_needed(campaign, key)
    ):
        return
    if campaign.params.train.warm_start and not before.exists():
        raise ArtifactError(
            f"{before} is gone, and {key} goes on from it: delete the folder {paths.root}, and"
            " the cell is run anew"
        )
    files = {"labeled": paths.labeled(previous), "previous": before}
    pipeline.train(replace(campaign, files=files), key)


def _is_needed(campaign: Campaign, key: str) -> bool:
    """Whether something is still to be made by the detector of a turn that has a log already."""
    if not campaign.paths.proposals(key).exists():
        return True
    turn = following(campaign.params, key)
    started = turn is None or campaign.paths.training(turn).exists()
    return campaign.params.train.warm_start and not started


def _evaluate(campaign: Campaign, held: Held, key: str, labeled: str) -> None:
    """Evaluate the detector of a turn on the test set."""
    paths, p = campaign.paths, campaign.params.propose
    out, checkpoint = held.precision(paths, key), paths.detector(key)
    if out.exists():
        return
    if not checkpoint.exists():
        raise ArtifactError(
            f"{checkpoint} was not kept, and the test set is to be evaluated with it: delete the"
            f" folder {paths.root}, and the cell is run anew"
        )
    images = artifacts.read_images(held.paths.images)
    truth = artifacts.read_truth(held.paths.truth) or {}
    model = detectors.load(checkpoint, p.device)
    with campaign.reporting(f"testing {key}") as progress:
        boxes = promises.propose(
            model,
            images.images,
            score_floor=p.score_floor,
            batch_size=p.batch_size,
            progress=progress,
        )
    found = Proposals("test", model.name, file_digest(checkpoint), p.score_floor, boxes)
    artifacts.write_proposals(held.proposals(paths, key), found)
    seen = artifacts.read_training(paths.training(key)).seen
    unseen = 0 if seen is None else seen.of - len(seen.images)
    artifacts.write(
        out,
        "precision",
        {
            "trained_on_images": len(artifacts.read_labeled(paths.labeled(labeled))) - unseen,
            **average_precision(boxes, truth),
            **voc_average_precision(boxes, truth),
        },
    )
