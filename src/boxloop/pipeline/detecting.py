"""Propose by the detector of a turn: a part of the steps ``train`` and ``propose``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from boxloop.campaign import ahead, artifacts, crop_classes, neighbours, thresholds
from boxloop.campaign.campaign import Campaign
from boxloop.core import existing
from boxloop.core.crop_classes import own_boxes
from boxloop.core.evidence import Evidence
from boxloop.core.one_per_place import at_one_place, one_per_place
from boxloop.core.types import (
    Boxes,
    Corrections,
    ImageRef,
    ImageSet,
    LabeledSet,
    Proposals,
)
from boxloop.errors import ArtifactError, DatasetError, ParamsError, WeightsError
from boxloop.files import file_digest
from boxloop.params import Params


def detect(
    campaign: Campaign,
    turn: str,
    detector: Path,
    refs: Sequence[ImageRef],
    image_set: ImageSet,
    images: Path,
    files: Mapping[str, Path],
) -> Proposals | None:
    """Return what a detector proposes for images; None where other processes did the work.

    Of boxes of different classes at one place the best is kept, and where that may pay the same
    boxes come with the classes of labeled crops.

    Args:
        campaign: of the turn.
        turn: whose batch it is.
        detector: the checkpoint.
        refs: the images to propose for.
        image_set: all images.
        images: their file.
        files: ``evidence`` and ``labeled``, of the turn before, and ``training``.
    """
    p = campaign.params.propose
    from boxloop.models import detectors
    from boxloop.models.detectors.empty import read_empty

    empty = read_empty(detector)  # which does without torch
    # One batch is no work to share.
    if empty is None and len(refs) > p.batch_size and campaign.share_out():
        return None
    model = empty or detectors.load(detector, p.device)
    require_classes(image_set.classes, images, model.classes, detector)
    made_by = file_digest(detector)
    if empty is not None:
        nothing = empty.propose(refs, score_floor=p.score_floor, batch_size=p.batch_size)
        return Proposals(turn, model.name, made_by, p.score_floor, nothing)
    from boxloop import distributed
    from boxloop.models.detectors.held_out import propose_together

    boxes: dict[str, Boxes] | None
    with distributed.join(), campaign.reporting(f"proposing {turn}") as progress:
        boxes = propose_together(
            model, refs, score_floor=p.score_floor, batch_size=p.batch_size, progress=progress
        )
    if boxes is None:
        return None
    # By hand, a step may be given files of a campaign that has nothing else.
    known = files["labeled"].exists()
    labeled = (
        artifacts.read_labeled(files["labeled"]) if known else LabeledSet(model.classes, (), {})
    )
    boxes = one_per_place(boxes, at_one_place(labeled.boxes.values()))
    found = Proposals(turn, model.name, made_by, p.score_floor, boxes)
    if not crop_classes.are_fitted(campaign.params):
        return found
    evidence = artifacts.read_evidence(files["evidence"])
    held_out = artifacts.read_training(files["training"]).held_out
    if not crop_classes.are_worth_trying(campaign.params, evidence, held_out):
        return found
    with_labels = artifacts.subset_of(image_set, list(labeled.boxes), files["labeled"])
    from boxloop.models.crop_classifier import with_crops

    with campaign.reporting(f"looking at labeled crops for {turn}") as progress:
        return with_crops(found, labeled.boxes, with_labels, refs, p.device, progress)


def with_crops_of_held_out(
    params: Params, held_out: Proposals, labeled: LabeledSet, refs: Sequence[ImageRef]
) -> Proposals:
    """Return proposals for a part of the first batch, where it may pay with classes of crops.

    The crops are those of the other part, so that both kinds of classes are of what they have not
    seen.

    Args:
        params: of the campaign.
        held_out: the detector's proposals for it; crops that were looked at by other parameters
            stay where they would be looked at today.
        labeled: the first batch.
        refs: covers every image of ``labeled``.
    """
    if not crop_classes.are_fitted(params):
        return held_out
    judged = crop_classes.judge_held_out(params, held_out, labeled)
    worth = crop_classes.are_worth_trying(params, [judged], None)
    if worth == (held_out.crops is not None):
        return held_out
    if not worth:
        return replace(held_out, boxes=own_boxes(held_out), crops=None)
    from boxloop.models.crop_classifier import with_crops

    rest = {i: boxes for i, boxes in labeled.boxes.items() if i not in held_out.boxes}
    part = [ref for ref in refs if ref.id in held_out.boxes]
    return with_crops(held_out, rest, refs, part, params.propose.device)


def refit(campaign: Campaign, turn: str) -> Proposals:
    """Fit the thresholds of a turn anew, and whose classes are shown; no detector is asked again.

    Labeled crops are looked at where that may pay by today's parameters, so that a threshold or a
    price that was changed gives what it would have given from the start.
    """
    paths, params = campaign.paths, campaign.params
    if crop_classes.are_fitted(params):
        try:
            _look_anew(campaign, turn)
        except (DatasetError, ParamsError, WeightsError) as error:
            if not paths.corrections(turn).exists():
                raise
            campaign.say(f"labeled crops were not looked at for {turn}: {error}")
    return thresholds.refit(paths, params, turn)


def _look_anew(campaign: Campaign, turn: str) -> None:
    """Write a turn's proposals and log with classes of crops, or without, as it would get today."""
    paths, params, before = campaign.paths, campaign.params, campaign.before(turn)
    made, digests = artifacts.read_dated_proposals(paths.proposals(turn))
    if not existing.of_turns(made.detector):
        return
    log = artifacts.read_training(paths.training(turn))
    images, labeled = artifacts.read_images(paths.images), paths.labeled(before)
    held_out = log.held_out
    if held_out is not None:
        seen, _ = ahead.as_seen(params, artifacts.read_labeled(labeled), labeled)
        refs = artifacts.subset_of(images, list(seen.boxes), labeled)
        held_out = with_crops_of_held_out(params, held_out, seen, refs)
        if held_out != log.held_out:
            artifacts.write_training(paths.training(turn), replace(log, held_out=held_out))
    evidence = artifacts.read_evidence(paths.evidence(before))
    worth = crop_classes.are_worth_trying(params, evidence, held_out)
    if worth == (made.crops is not None):
        return
    if not worth and params.review.asks_people:
        return  # they may have corrected these, which are then judged by both kinds of classes
    made = neighbours.as_proposed(made)
    made = replace(made, boxes=own_boxes(made), crops=None)
    if worth:
        batch = artifacts.read_batch(paths.batch(turn))
        part = replace(made, boxes={i: made.boxes[i] for i in batch.unlabeled})
        known = artifacts.read_labeled(labeled).boxes
        refs = artifacts.subset_of(images, list(known), labeled)
        from boxloop.models.crop_classifier import with_crops

        wanted, device = images.subset(list(part.boxes)), params.propose.device
        with campaign.reporting(f"looking at labeled crops for {turn}") as progress:
            crops = with_crops(part, known, refs, wanted, device, progress).crops
        if crops is not None and batch.labels:
            other = {i: existing.below_labels(boxes) for i, boxes in crops.other.items()}
            crops = replace(crops, other=other)
        made = replace(made, crops=crops)
    artifacts.write_proposals(paths.proposals(turn), made, digests)


def with_crops_to_judge(
    campaign: Campaign,
    corrections: Corrections,
    offered: Proposals,
    own: Evidence,
    image_set: ImageSet,
    labeled: Path,
) -> Proposals:
    """Return a corrected batch's proposals, where it may pay for the next with classes of crops.

    An image that cannot be read any more, or a machine that has no such device or weights, is said,
    and keeps nobody from going on.

    Args:
        campaign: of the batch.
        corrections: of the batch.
        offered: its proposals of today; where people corrected others, they are left as they are.
        own: its evidence, by the detector's own classes.
        image_set: all images.
        labeled: the file of everything labeled before it.
    """
    same = offered.checkpoint == corrections.proposals.checkpoint
    worth = same and crop_classes.are_worth_judging(campaign.params, offered, own)
    if not (worth and labeled.exists()):
        return offered
    known = artifacts.read_labeled(labeled)
    refs = artifacts.subset_of(image_set, list(known.boxes), labeled)
    from boxloop.models.crop_classifier import with_crops

    device = campaign.params.propose.device
    images = image_set.subset([i for i in offered.boxes if i in corrections.boxes])
    try:
        with campaign.reporting(f"looking at labeled crops for {offered.batch}") as progress:
            return with_crops(offered, known.boxes, refs, images, device, progress)
    except (DatasetError, ParamsError, WeightsError) as error:
        campaign.say(f"labeled crops were not looked at for {offered.batch}: {error}")
        return offered


def require_classes(own: Sequence[str], file: Path, others: Sequence[str], source: Path) -> None:
    """Refuse to bring together what was made for different classes."""
    if tuple(own) != tuple(others):
        raise ArtifactError(
            f"{source} is for the classes {', '.join(others)}, but {file} has {', '.join(own)}: run"
            " the stages after 'dataset' again"
        )
