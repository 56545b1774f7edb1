"""The stages of a turn, and the steps that they are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from boxloop.campaign import (
    ahead,
    artifacts,
    class_changes,
    committed,
    crop_classes,
    existing,
    first_model,
    given,
    kept,
    neighbours,
    pixels,
    thresholds,
)
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.fitting import require_fit
from boxloop.core import types as t
from boxloop.core.completeness import only_judgeable
from boxloop.errors import ArtifactError
from boxloop.files import DETECTOR, file_digest, require_writable
from boxloop.params import EMPTY
from boxloop.pipeline import first_batch
from boxloop.pipeline.detecting import (
    detect,
    refit,
    require_classes,
    with_crops_of_held_out,
    with_crops_to_judge,
)

if TYPE_CHECKING:
    from boxloop.core.training_log import TrainingLog
    from boxloop.core.workload import BatchWorkload
    from boxloop.models.detectors.base import Detector
    from boxloop.models.progress import StepProgress
    from boxloop.terminal import Report


def learn(campaign: Campaign, turn: str) -> tuple[TrainingLog | None, t.Proposals] | None:
    """Train a detector on everything that was labeled, and let it propose for the turn's batch.

    The stage before people, of :func:`train` and :func:`propose`. A detector stays as it is while
    all that it was trained by does, and so do its proposals while it does; only the threshold that
    they are shown from is then fitted anew.

    Returns:
        The log, None where the detector was kept, and the proposals. None where other processes
        did the work.
    """
    paths, params, before = campaign.paths, campaign.params, campaign.before(turn)
    inputs = kept.training_inputs(
        params.train, paths.images, paths.labeled(before), paths.detector(before)
    )
    detector, batch = paths.detector(turn), artifacts.read_batch(paths.batch(turn))
    trained = kept.has_trained(paths.training(turn), detector, inputs)
    log = None if trained else ahead.take(paths, params, turn, campaign.say)
    trained = trained or log is not None
    floor = params.propose.score_floor
    asked = first_model.expected_origin(params, turn, paths.images)
    if trained and kept.has_proposed(
        paths.proposals(turn), detector, batch, floor, asked, paths.images
    ):
        ahead.clear(paths, turn, campaign.say)
        return log, refit(campaign, turn)
    if before != EMPTY and campaign.share_out():
        return None
    campaign = replace(campaign, share_out=lambda: False)
    with _together() if before != EMPTY else nullcontext(lambda: None) as wait_for_main:
        log = log if trained else train(campaign, turn)
        wait_for_main()  # which writes the detector that all of them load
        found = propose(campaign, turn)
    ahead.clear(paths, turn, campaign.say)
    return None if found is None else (log, found)


def finish(campaign: Campaign, turn: str) -> tuple[t.Corrections, t.LabeledSet, BatchWorkload]:
    """Take over the corrections of a turn, and do all that follows from them.

    The stage after people: :func:`review`, :func:`merge`, :func:`account` and :func:`track`.

    Raises:
        ReviewPending: people have not submitted some images of the batch; nothing was written.
    """
    log = campaign.paths.training(turn)
    if log.exists():
        # What tracking reads at the end must not stop the turn halfway.
        artifacts.read_training(log)
    corrections = review(campaign, turn)
    labeled = merge(campaign, turn)
    counted = account(campaign, turn)
    track(campaign, turn)
    return corrections, labeled, counted


def train(campaign: Campaign, turn: str) -> TrainingLog | None:
    """Train a detector on everything that was labeled before a turn.

    With ``train.overlap``, on what had been labeled when a share of the last batch was. Reads
    ``images``, ``labeled`` and, with ``train.warm_start``, the detector ``previous``, both of
    the turn before; writes the detector to ``out`` and how its training went to ``log``. With
    ``train.held_out`` the log of the first training also holds what another detector, which had not
    seen a part of the first batch, proposes for it.
    """
    before = campaign.before(turn)
    images, labeled, previous, out, log = campaign.choose(
        "images",
        labeled=campaign.paths.labeled(before),
        previous=campaign.paths.detector(before),
        out=campaign.paths.detector(turn),
        log=campaign.paths.training(turn),
    )
    labeled_set, image_set = artifacts.read_labeled(labeled), artifacts.read_images(images)
    require_classes(image_set.classes, images, labeled_set.classes, labeled)
    labeled_set, seen = ahead.as_seen(campaign.params, labeled_set, labeled)
    refs = artifacts.subset_of(image_set, list(labeled_set.boxes), labeled)
    require_fit(image_set, labeled_set.boxes, labeled)
    if labeled == campaign.paths.labeled(before):
        pixels.require_same_by_files(campaign.paths, labeled_set, image_set.by_id(), images)
    require_writable(out, DETECTOR)
    require_writable(log, "boxloop/training")
    p, known = campaign.params.train, None
    made_of = kept.training_inputs(p, images, labeled, previous)
    from boxloop.models import detectors
    from boxloop.models.detectors import promises

    def write(detector: Detector, result: TrainingLog) -> TrainingLog:
        # The log comes last: where it is, the detector is whole.
        promises.save(detector, out, labeled_digest=made_of["labeled"])
        made_of[kept.DETECTOR] = file_digest(out)
        result = replace(result, held_out=known, made_of=made_of, seen=seen)
        artifacts.write_training(log, result)
        return result

    if not refs:
        # The empty detector is no work to share, and does without torch.
        return write(*detectors.train(p, labeled_set, ()))
    if campaign.share_out():
        return None
    from boxloop import distributed
    from boxloop.models.detectors import held_out
    from boxloop.tracking.live import following

    with distributed.join() as world:
        if held_out.holds_out(p, labeled_set):
            part = labeled_set.batches[0]
            job = f"training {turn}, on a part of {part} first ({p.detector})"
            with campaign.reporting(job) as progress:
                known = held_out.propose_for_held_out(
                    p, labeled_set, refs, previous=previous, progress=_steps(progress)
                )
            if known is not None:
                known = with_crops_of_held_out(campaign.params, known, labeled_set, refs)
                known = replace(known, changes=_changes(campaign, image_set))
        with (
            campaign.reporting(f"training {turn} ({p.detector})") as progress,
            following(
                campaign.paths, campaign.params, turn, made_of, enabled=world.is_main
            ) as follow,
        ):
            detector, result = detectors.train(
                p, labeled_set, refs, previous=previous, progress=_steps(progress, follow)
            )
    if not world.is_main:
        return result
    if count := detectors.left_out(detector, labeled_set):
        campaign.say(
            f"{count} images are left out of this training: classes are new since they were"
            f" reviewed, and {detector.name} cannot leave those alone out ('boxloop status')"
        )
    return write(detector, result)


def propose(campaign: Campaign, turn: str) -> t.Proposals | None:
    """Let the detector of a turn offer boxes for the turn's batch.

    Reads ``images``, ``batch`` and ``detector``; writes ``out``. A batch that was given proposals
    gets those, whatever its detector is, and the first one those of the model that
    ``propose.first`` names; an image that has labels gets those before all others. Where
    ``review.score_threshold`` is fitted, it is fitted
    to ``evidence`` and ``labeled``, of the turn before, and ``training``.
    """
    before = campaign.before(turn) if turn in campaign.params.iterations else EMPTY
    images, batch, detector, evidence, labeled, training, out = campaign.choose(
        "images",
        batch=campaign.paths.batch(turn),
        detector=campaign.paths.detector(turn),
        evidence=campaign.paths.evidence(before),
        labeled=campaign.paths.labeled(before),
        training=campaign.paths.training(turn),
        out=campaign.paths.proposals(turn),
    )
    p, item = campaign.params.propose, artifacts.read_batch(batch)
    require_writable(out, "boxloop/proposals")
    image_set = artifacts.read_images(images)
    first_batch.require_unseen(campaign, turn, image_set.classes, out)
    today: dict[str, t.Boxes] = {}
    if (batch, out) == (campaign.paths.batch(turn), campaign.paths.proposals(turn)):
        today = existing.require_of_today(campaign.paths, campaign.params, item)
    offered: t.Proposals | None
    if item.labels and not item.unlabeled:
        offered = t.Proposals(item.id, EMPTY, "", p.score_floor, {})
    elif item.given is not None:
        offered = given.read(campaign.paths, item, p.score_floor, image_set, campaign.say)
    else:
        refs = artifacts.subset_of(image_set, item.unlabeled, batch)
        _require_turn(turn, item.id, batch)
        asked = first_model.of_turn(campaign.params, turn)
        if asked is None:
            files = {"evidence": evidence, "labeled": labeled, "training": training}
            offered = detect(campaign, turn, detector, refs, image_set, images, files)
        else:
            offered = first_batch.propose(campaign, turn, asked, refs, image_set.classes)
    if offered is None:
        return None
    files = {"images": images, "evidence": evidence, "labeled": labeled, "training": training}
    found = existing.add(item, offered, today)
    found = crop_classes.choose_by_files(campaign.params, found, evidence, labeled, training)
    found = neighbours.mend_by_files(campaign.params, found, files, item)
    found = thresholds.fit_to_files(campaign.params, found, evidence, labeled, training)
    refs = artifacts.subset_of(image_set, list(found.boxes), batch)
    found = replace(found, changes=_changes(campaign, image_set))
    artifacts.write_proposals(out, found, {ref.id: ref.digest for ref in refs})
    return found


def review(campaign: Campaign, turn: str) -> t.Corrections:
    """Put the corrections of a batch together: by the truth, or from what people submitted.

    Reads ``images``, ``proposals``, ``truth`` and the campaign's folder of submissions; writes
    ``out``.

    Raises:
        ReviewPending: people have not submitted some images of the batch; nothing was written.
        ProtectedLabelsError: labels of another annotator would be replaced; nothing was written.
    """
    from boxloop.review.collect import collect

    places = campaign.choose(
        "images",
        "truth",
        proposals=campaign.paths.proposals(turn),
        out=campaign.paths.corrections(turn),
    )
    _require_turn(turn, artifacts.read_proposals(places[2]).batch, places[2])
    if lost := committed.lacking(campaign.paths):
        campaign.say(f"{turn}: {lost}")
    return collect(campaign.paths, campaign.params.review, *places, say=campaign.say)


def merge(campaign: Campaign, turn: str) -> t.LabeledSet:
    """Add a corrected batch to everything labeled so far.

    Reads ``images``, ``labeled``, of the turn before, and ``corrections``; writes ``out``, which
    holds the labels of this batch and names ``labeled``.
    """
    from boxloop.core import labeled_set

    images, labeled, corrections, out = campaign.choose(
        "images",
        labeled=campaign.paths.labeled(campaign.before(turn)),
        corrections=campaign.paths.corrections(turn),
        out=campaign.paths.labeled(turn),
    )
    corrected, before = artifacts.read_corrections(corrections), artifacts.read_labeled(labeled)
    _require_turn(turn, corrected.batch, corrections)
    image_set = artifacts.read_images(images)
    require_classes(image_set.classes, images, before.classes, labeled)
    require_fit(image_set, corrected.boxes, corrections)
    pixels.require_same_pixels(corrected, corrections, image_set.by_id(), images)
    result = labeled_set.merge(before, corrected)
    own = {image_id: result.boxes[image_id] for image_id in corrected.boxes}
    missing = {i: result.incomplete[i] for i in own if i in result.incomplete}
    new = t.LabeledSet(result.classes, (corrected.batch,), own, missing)
    artifacts.write_labeled(out, new, previous=labeled)
    campaign.say(f"{len(result)} images are labeled")
    return result


def account(campaign: Campaign, turn: str) -> BatchWorkload:
    """Count the edits of a batch at every threshold (paper, section 3.4).

    Reads ``images``, ``corrections`` and ``evidence``, of the turn before; writes ``out``, with the
    mAP of the proposals, and ``judged``, the evidence with that of this batch. Where the batch was
    proposed for, reads ``proposals`` and, as it may pay, ``labeled`` and images, and where
    ``propose.neighbours`` is fitted ``batch`` and ``labeled``.
    """
    from boxloop.core import workload
    from boxloop.core.existing import without_labels
    from boxloop.core.rechecking import as_reviewed
    from boxloop.models.average_precision import average_precision

    images, corrections, batch, proposals, labeled, evidence, judged, out = campaign.choose(
        "images",
        corrections=campaign.paths.corrections(turn),
        batch=campaign.paths.batch(turn),
        proposals=campaign.paths.proposals(turn),
        labeled=campaign.paths.labeled(campaign.before(turn)),
        evidence=campaign.paths.evidence(campaign.before(turn)),
        judged=campaign.paths.evidence(turn),
        out=campaign.paths.workload(turn),
    )
    p, made = campaign.params.account, artifacts.read_corrections(corrections)
    corrected = as_reviewed(made)
    _require_turn(turn, corrected.batch, corrections)
    image_set = artifacts.read_images(images)
    require_fit(image_set, corrected.boxes, corrections)
    pixels.require_same_pixels(made, corrections, image_set.by_id(), images)
    for path, kind in ((judged, "evidence"), (out, "workload")):
        require_writable(path, f"boxloop/{kind}")
    judgeable = only_judgeable(corrected, image_set.classes)
    # It is told of detectors, and labels that existed are of none.
    found = {image_id: judgeable.boxes[image_id] for image_id in without_labels(judgeable)}
    precision = average_precision(judgeable.proposals.boxes, found)
    result = workload.account(corrected, p.iou_thresholds, p.score_thresholds, precision)
    # The workload comes last: where it is, the batch is done.
    known = thresholds.read_known(campaign.params, evidence)
    evident = thresholds.with_batch(campaign.params, known, judgeable)
    if len(evident) > len(known):
        files = {"images": images, "batch": batch, "proposals": proposals, "labeled": labeled}
        today, digests = artifacts.read_dated_proposals(proposals)
        pixels.require_proposed(proposals, digests, image_set)
        own = evident[-1]
        today = with_crops_to_judge(campaign, judgeable, today, own, image_set, labeled)
        own = crop_classes.judge(campaign.params, judgeable, today, own)
        own = neighbours.judge_by_files(campaign.params, judgeable, files, own)
        evident = (*evident[:-1], own)
    artifacts.write_evidence(judged, evident)
    artifacts.write_workload(out, result)
    for iou in p.iou_thresholds:
        ledger = result.ledger(iou)
        campaign.say(
            f"{result.batch} at IoU {iou:g}: {ledger.kept} kept, {ledger.additions} to add,"
            f" {ledger.removals} to remove, of {result.objects} objects"
        )
    return result


def track(campaign: Campaign, turn: str) -> None:
    """Log a turn to MLflow, from the campaign's files; writes ``out``.

    Raises:
        TrackingError: MLflow cannot be written to.
    """
    from boxloop.tracking.track_turn import track as track_turn

    [out] = campaign.choose(out=campaign.paths.tracked(turn))
    track_turn(campaign.paths, campaign.params, turn, out, say=campaign.say)


@contextmanager
def _together() -> Iterator[Callable[[], None]]:
    """Join the processes that were launched with this one; yield what waits for the main one."""
    from boxloop import distributed

    with distributed.join():
        yield distributed.wait_for_main


def _steps(progress: Report, follow: StepProgress | None = None) -> StepProgress:
    def tell(step: int, steps: int, loss: float) -> None:
        progress(step, steps, loss=loss)
        if follow is not None:
            follow(step, steps, loss)

    return tell


def _changes(campaign: Campaign, images: t.ImageSet) -> int | tuple[str, ...] | None:
    """Return the changes of classes that what is proposed now follows; None without any."""
    if images.changes:
        return images.changes
    changes, listed = class_changes.read(*campaign.paths.journals), campaign.params.dataset.classes
    return class_changes.followed(changes, listed, images.classes) or None


def _require_turn(turn: str, batch: str, source: Path) -> None:
    """Refuse a file of another batch than the turn's.

    Raises:
        ArtifactError: it is of another.
    """
    if batch != turn:
        raise ArtifactError(
            f"{source} is of batch {batch}, where one of {turn} is needed: name the file of {turn},"
            " or run 'boxloop batch' and what follows it again"
        )
