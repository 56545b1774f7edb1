"""Train the next turn's detector while people still correct the batch before it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.ahead import AheadPaths, following, is_current, put
from boxloop.campaign.at_work import in_turn
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.missed import missed_images
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.overlap import is_due
from boxloop.core.training_log import TrainingLog
from boxloop.core.types import Boxes, Corrections, Proposals
from boxloop.errors import UserError
from boxloop.params import Params
from boxloop.pipeline.turn import merge, propose, train
from boxloop.review.people import read_submissions

_POLL_SECONDS = 2.0


def ahead(campaign: Campaign, key: str, *, wait: bool = False) -> TrainingLog | None:
    """Train the detector after a batch on what is submitted of it, and let it propose.

    What comes of it lies in ``.boxloop/``, until ``learn`` takes it over. One process at a time
    does this in a campaign; another waits.

    Args:
        campaign: of people.
        key: the batch that they correct.
        wait: train when enough is submitted, and again when much more is or a label that was seen
            has changed, until the whole batch is submitted or the process that started this one
            has ended. Else train once, on whatever is submitted.

    Returns:
        The log of the last training; None where there was none.

    Raises:
        UserError: the campaign asks nobody, has no such batch, or nothing follows it.
        BoxloopError: the training or proposing failed; the campaign's files are as they were.
    """
    if not campaign.params.review.asks_people:
        raise UserError(
            "review.annotator is 'simulated', and nobody waits: 'train.overlap: 0.5' simulates"
            " campaigns in which the next detector trains while a batch is corrected"
        )
    turn = following(campaign.params, key)
    if key not in campaign.params.iterations or turn is None:
        keys = ", ".join(list(campaign.params.iterations)[:-1])
        raise UserError(f"no batch follows '{key}': name one of {keys or 'several iterations'}")
    parent, log = os.getppid(), None
    another = "another 'boxloop ahead' trains in this campaign"
    with in_turn(campaign.paths, "ahead", campaign.say, another):
        seen, files = _seen(campaign, turn), None
        while True:
            now = submissions.submission_files(campaign.paths.reviews)
            done: Corrections | None = None
            if now != files:
                files, (done, total) = now, submitted(campaign, key)
            if done is not None and (not wait or is_due(done.boxes, seen, total)):
                if wait and len(done.boxes) == total:
                    return log
                log, seen = _train(campaign, key, turn, done), done.boxes
                files = None  # as many may have come in meanwhile
            elif total == (0 if done is None else len(done.boxes)):
                return log
            if not wait or os.getppid() != parent:
                return log
            if files is not None:
                time.sleep(_POLL_SECONDS)


def halves_left(paths: CampaignPaths, params: Params, key: str) -> tuple[str | None, ...]:
    """Return the parts in which a batch is to be reviewed, such as ("1/2", "2/2").

    A session submits all of its images at once, so the first half is a session of its own. None
    stands for the whole batch: of the last turn, or of a single image.

    Raises:
        ArtifactError: the batch has no proposals yet, or a file is damaged.
    """
    image_ids = list(artifacts.read_proposals(paths.proposals(key)).boxes)
    if following(params, key) is None or len(image_ids) < 2:
        return (None,)
    waiting = set(submissions.missing(read_submissions(paths, params.iterations), image_ids))
    middle = len(image_ids) // 2
    halves = {"1/2": image_ids[:middle], "2/2": image_ids[middle:]}
    return tuple(part for part, own in halves.items() if waiting & set(own)) or (None,)


def submitted(campaign: Campaign, key: str) -> tuple[Corrections | None, int]:
    """Return the corrections of a batch that are submitted so far, and how many there are to be.

    Images with planted errors that were missed are in neither: their labels are wrong until
    somebody looks again. None stands for no corrections.

    Raises:
        ArtifactError: the batch has no proposals yet, or a file is damaged.
    """
    paths = campaign.paths
    offered = artifacts.read_proposals(paths.proposals(key))
    known = read_submissions(paths, campaign.params.iterations)
    wrong = set(missed_images(known, offered.boxes))
    waiting = set(submissions.missing(known, offered.boxes))
    boxes = {i: found for i, found in offered.boxes.items() if i not in waiting | wrong}
    total = len(offered.boxes) - len(wrong)
    if not boxes:
        return None, total
    part = Proposals(key, offered.detector, offered.checkpoint, offered.score_floor, boxes)
    return submissions.assemble(known, part), total


def _seen(campaign: Campaign, turn: str) -> Mapping[str, Boxes] | None:
    """Return the labels of the batch that a training ahead saw which is there already."""
    if not is_current(campaign.paths, campaign.params, turn):
        return None
    return artifacts.read_corrections(AheadPaths.of(campaign.paths, turn).corrections).boxes


def _train(campaign: Campaign, key: str, turn: str, done: Corrections) -> TrainingLog | None:
    paths, place = campaign.paths, AheadPaths.of(campaign.paths, turn)
    if place.folder.parent.exists():
        for left in place.folder.parent.glob(".new-*"):  # of killed ones: this one has the lock
            shutil.rmtree(left)
    new = AheadPaths(place.folder.with_name(f".new-{turn}"))
    new.folder.mkdir(parents=True)
    campaign.say(f"{turn}: training on what is submitted of {key} so far")
    # It is no turn of the campaign's, so it has no run in MLflow: `finish` logs it once it is.
    track = campaign.params.track.model_copy(update={"live": False})
    params = campaign.params.model_copy(update={"track": track})

    def at(**files: Path) -> Campaign:
        return replace(campaign, params=params, files=files, share_out=lambda: False)

    artifacts.write_corrections(new.corrections, done)
    merge(at(corrections=new.corrections, out=new.labeled), key)
    before = {"labeled": new.labeled, "previous": paths.detector(key)}
    log = train(at(**before, out=new.detector, log=new.training), turn)
    # The evidence of this batch is not there yet; `learn` fits the threshold anew.
    known = paths.evidence(campaign.before(key))
    made = {"labeled": new.labeled, "training": new.training, "detector": new.detector}
    propose(at(**made, evidence=known, out=new.proposals), turn)
    put(paths, new, turn, campaign.say)
    return log
