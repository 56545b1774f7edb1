"""The stages of dvc.yaml as plain functions, which the command line and the studies call.

``train(Campaign(paths, params), "b01")`` does what ``boxloop train b01`` does in a campaign's
folder: it reads and writes the campaign's files, or those that ``Campaign.files`` names instead.
All raise a :class:`~boxloop.errors.BoxloopError` with one clear sentence, and then leave every file
as it was. A result of None means that other processes did the work. Heavy libraries are imported by
the stages that need them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from boxloop.campaign import artifacts, thresholds
from boxloop.campaign.campaign import Campaign
from boxloop.core import types as t
from boxloop.errors import ArtifactError
from boxloop.files import file_digest, require_writable, write_text
from boxloop.params import EMPTY, SIMNET

if TYPE_CHECKING:
    from boxloop.campaign.results import CampaignResults
    from boxloop.core.training_log import SimNetLog, TrainingLog
    from boxloop.core.workload import BatchWorkload
    from boxloop.datasets import Dataset
    from boxloop.models.progress import StepProgress
    from boxloop.terminal import Report


def dataset(campaign: Campaign) -> Dataset:
    """Read a dataset: its images, its boxes where it has any, and its faults.

    Writes ``images``, ``truth``, ``faults``, and ``drawn``, a folder that the demo draws into.
    """
    from boxloop import datasets

    images, truth, faults, drawn = campaign.choose(
        "images",
        "truth",
        "faults",
        "drawn",
    )
    for path, kind in ((images, "images"), (truth, "truth"), (faults, "faults")):
        require_writable(path, f"boxloop/{kind}")
    with campaign.reporting("reading images") as progress:
        found = datasets.load(campaign.params.dataset, drawn, progress)
    if not any(drawn.iterdir()):
        # DVC warns of an output that is an empty folder, and people wonder about one.
        write_text(drawn / "README.txt", "The images are where images.json says.\n")
    payload = datasets.faults_payload(found)
    artifacts.write_images(images, found.images)
    artifacts.write_truth(truth, found.truth)
    artifacts.write(faults, "faults", payload)
    campaign.say(datasets.faults_summary(found))
    return found


def simnet(campaign: Campaign) -> SimNetLog | None:
    """Train SimNet on the halves of all images, where ``features.weights`` is simnet.

    Reads ``images``; writes the network to ``out``, an empty file where it was not asked for (the
    result is then None), and how its training went to ``log``.
    """
    images, out, log = campaign.choose(
        "images", out=campaign.paths.simnet, log=campaign.paths.simnet_log
    )
    image_set = artifacts.read_images(images)
    require_writable(out)
    require_writable(log, "boxloop/simnet")
    if campaign.params.features.weights != SIMNET:
        write_text(out, "")
        artifacts.write_simnet(log, None)
        return None
    from boxloop import distributed
    from boxloop.models.checkpoint import write_simnet
    from boxloop.models.simnet import training

    if campaign.share_out():
        return None
    job = f"SimNet ({campaign.params.features.network})"
    with distributed.join() as world, campaign.reporting(job) as progress:
        trained, result = training.train(
            image_set.images,
            campaign.params.simnet,
            campaign.params.features,
            lambda step, steps, loss: progress(step, steps, loss=loss),
        )
    if world.is_main:
        # The network comes last: where it is, the log is there too.
        artifacts.write_simnet(log, result)
        write_simnet(out, trained)
    return result


def features(campaign: Campaign) -> t.FeatureTable | None:
    """Turn every image into a vector.

    Reads ``images``, and ``simnet`` where ``features.weights`` is simnet; writes ``out``.
    """
    images, simnet, out = campaign.choose("images", "simnet", out=campaign.paths.features)
    p, image_set = campaign.params.features, artifacts.read_images(images)
    require_writable(out)
    job = f"features by {p.network}"
    if campaign.on is not None:
        from boxloop.distributed.places import at
        from boxloop.models.features_on import extract_on

        place = at(campaign.on, out.parent)
        with campaign.reporting(job) as progress:
            table = extract_on(place, image_set.images, p, progress, simnet=simnet)
        artifacts.write_features(out, table)
        return table
    from boxloop import distributed
    from boxloop.models.features import extract

    # One batch is no work to share.
    if len(image_set.images) > p.batch_size and campaign.share_out():
        return None
    with distributed.join() as world, campaign.reporting(job) as progress:
        table = extract(image_set.images, p, progress, simnet=simnet)
    if not world.is_main:
        return None
    artifacts.write_features(out, table)
    return table


def order(campaign: Campaign, image_ids: Sequence[str] | None = None) -> t.Ordering:
    """Order images by the distances between their features.

    Reads ``features``, unless the images are given and the ordering needs none; writes ``out``.

    Args:
        campaign: what to work on.
        image_ids: the images to order, in temporal order; all that have features unless given.
    """
    from boxloop.core import ordering

    features, out = campaign.choose("features", out=campaign.paths.order)
    p = campaign.params.order
    if image_ids is None:
        table = artifacts.read_features(features)
    elif ordering.find_strategy(p.strategy).needs_features:
        table = artifacts.read_features(features).subset(image_ids)
    else:
        table = t.FeatureTable.without_vectors(image_ids)
    require_writable(out, "boxloop/order")
    with campaign.reporting(f"ordering, {p.strategy}") as progress:
        result = ordering.order(table, **p.model_dump(), progress=progress)
    artifacts.write_order(out, result)
    return result


def batch(campaign: Campaign) -> tuple[list[t.Batch], int]:
    """Cut the order into the batches that params.yaml lists under ``iterations``.

    Reads ``order``; writes the folder ``out``, one file per batch and none besides.

    Returns:
        The batches, and the number of images that are in none of them.
    """
    from boxloop.core import batching

    order, out = campaign.choose("order", out=campaign.paths.batches)
    image_ids = artifacts.read_order(order).image_ids
    batches = batching.plan(
        image_ids, list(campaign.params.iterations), **campaign.params.batch.model_dump()
    )
    artifacts.write_batches(out, batches)
    return batches, len(image_ids) - sum(len(item.image_ids) for item in batches)


def start(campaign: Campaign) -> None:
    """Write what the first turn starts from.

    Reads ``images``; writes ``labeled`` (nothing), ``detector`` (proposes nothing), ``evidence``
    (none) and ``tracked``.
    """
    from boxloop.models.detectors.empty import EmptyDetector

    images, labeled, detector, evidence, tracked = campaign.choose(
        "images",
        labeled=campaign.paths.labeled(EMPTY),
        detector=campaign.paths.detector(EMPTY),
        evidence=campaign.paths.evidence(EMPTY),
        tracked=campaign.paths.tracked(EMPTY),
    )
    classes = artifacts.read_images(images).classes
    artifacts.write_labeled(labeled, t.LabeledSet(classes, (), {}))
    EmptyDetector(classes).save(detector, labeled_digest=file_digest(labeled))
    artifacts.write_evidence(evidence, ())
    artifacts.write(tracked, "tracked", {"batch": EMPTY})


def train(campaign: Campaign, turn: str) -> TrainingLog | None:
    """Train a detector on everything that was labeled before a turn.

    Reads ``images``, ``labeled`` and, with ``train.warm_start``, the detector ``previous``, both of
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
    _require_classes(image_set.classes, images, labeled_set.classes, labeled)
    refs = artifacts.subset_of(image_set, list(labeled_set.boxes), labeled)
    require_writable(out)
    require_writable(log, "boxloop/training")
    from boxloop import distributed
    from boxloop.models import detectors
    from boxloop.models.detectors import held_out

    # The empty detector is no work to share.
    if refs and campaign.share_out():
        return None
    p, known = campaign.params.train, None
    with distributed.join() as world:
        if held_out.holds_out(p, labeled_set):
            job = f"training {turn}, on a part of {before} first ({p.detector})"
            with campaign.reporting(job) as progress:
                known = held_out.propose_for_held_out(
                    p, labeled_set, refs, previous=previous, progress=_steps(progress)
                )
        with campaign.reporting(f"training {turn} ({p.detector})") as progress:
            detector, result = detectors.train(
                p, labeled_set, refs, previous=previous, progress=_steps(progress)
            )
    if world.is_main:
        result = replace(result, held_out=known)
        # The log comes last: where it is, the detector is whole.
        detector.save(out, labeled_digest=file_digest(labeled))
        artifacts.write_training(log, result)
    return result


def propose(campaign: Campaign, turn: str) -> t.Proposals | None:
    """Let the detector of a turn offer boxes for the turn's batch.

    Reads ``images``, ``batch`` and ``detector``; writes ``out``. Where ``review.score_threshold``
    is fitted, it is fitted to ``evidence`` and ``labeled``, of the turn before, and ``training``.
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
    image_set = artifacts.read_images(images)
    refs = artifacts.subset_of(image_set, item.image_ids, batch)
    require_writable(out, "boxloop/proposals")
    from boxloop import distributed
    from boxloop.models import detectors
    from boxloop.models.detectors.held_out import propose_together

    # One batch is no work to share.
    if len(refs) > p.batch_size and campaign.share_out():
        return None
    with distributed.join(), campaign.reporting(f"proposing {turn}") as progress:
        model = detectors.load(detector, p.device)
        _require_classes(image_set.classes, images, model.classes, detector)
        boxes = propose_together(
            model, refs, score_floor=p.score_floor, batch_size=p.batch_size, progress=progress
        )
    if boxes is None:
        return None
    found = t.Proposals(item.id, model.name, file_digest(detector), p.score_floor, boxes)
    found = thresholds.fit_to_files(campaign.params, found, evidence, labeled, training)
    artifacts.write_proposals(out, found)
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
    return collect(campaign.paths, campaign.params.review, *places, say=campaign.say)


def merge(campaign: Campaign, turn: str) -> t.LabeledSet:
    """Add a corrected batch to everything labeled so far.

    Reads ``labeled``, of the turn before, and ``corrections``; writes ``out``.
    """
    from boxloop.core import labeled_set

    labeled, corrections, out = campaign.choose(
        labeled=campaign.paths.labeled(campaign.before(turn)),
        corrections=campaign.paths.corrections(turn),
        out=campaign.paths.labeled(turn),
    )
    result = labeled_set.merge(
        artifacts.read_labeled(labeled), artifacts.read_corrections(corrections)
    )
    artifacts.write_labeled(out, result)
    return result


def account(campaign: Campaign, turn: str) -> BatchWorkload:
    """Count the edits of a batch at every threshold (paper, section 3.4).

    Reads ``corrections`` and ``evidence``, of the turn before; writes ``out``, with the mAP of the
    proposals, and ``judged``, the evidence with that of this batch.
    """
    from boxloop.core import workload
    from boxloop.models.average_precision import average_precision

    corrections, evidence, judged, out = campaign.choose(
        corrections=campaign.paths.corrections(turn),
        evidence=campaign.paths.evidence(campaign.before(turn)),
        judged=campaign.paths.evidence(turn),
        out=campaign.paths.workload(turn),
    )
    p, corrected = campaign.params.account, artifacts.read_corrections(corrections)
    precision = average_precision(corrected.proposals.boxes, corrected.boxes)
    result = workload.account(corrected, p.iou_thresholds, p.score_thresholds, precision)
    # The workload comes last: where it is, the batch is done.
    known = thresholds.read_known(campaign.params, evidence)
    artifacts.write_evidence(judged, thresholds.with_batch(campaign.params, known, corrected))
    artifacts.write_workload(out, result)
    return result


def track(campaign: Campaign, turn: str) -> None:
    """Log a turn to MLflow, from the campaign's files; writes ``out``.

    Raises:
        TrackingError: MLflow cannot be written to.
    """
    from boxloop.tracking.track_turn import track as track_turn

    [out] = campaign.choose(out=campaign.paths.tracked(turn))
    track_turn(campaign.paths, campaign.params, turn, out, say=campaign.say)


def report(campaign: Campaign) -> CampaignResults:
    """Write the numbers to ``metrics``; page, tables and figures to the folder ``out``."""
    from boxloop.report.build import write_report

    metrics, out = campaign.choose("metrics", out=campaign.paths.report)
    return write_report(campaign.paths, campaign.params, metrics, out)


def results_text(campaign: Campaign, done: CampaignResults) -> str:
    """Return the workload of the finished batches, people's time, and where to read on."""
    from boxloop.report.console import effort_text, where_to_look, workload_text
    from boxloop.report.review_time import read_effort
    from boxloop.tracking.store_uri import ui_hint

    effort = read_effort(campaign.paths, done)
    hint = ui_hint(campaign.paths.root) if campaign.params.track.enabled else None
    parts = [workload_text(done), where_to_look(campaign.paths, hint)]
    if effort is not None:
        parts.insert(1, effort_text(effort, done))
    return "\n\n".join(part.strip("\n") for part in parts)


def _steps(progress: Report) -> StepProgress:
    return lambda step, steps, loss: progress(step, steps, loss=loss)


def _require_classes(own: Sequence[str], file: Path, others: Sequence[str], source: Path) -> None:
    """Refuse to bring together what was made for different classes."""
    if tuple(own) != tuple(others):
        raise ArtifactError(
            f"{source} is for the classes {', '.join(others)}, but {file} has {', '.join(own)}: run"
            " the stages after 'dataset' again"
        )
