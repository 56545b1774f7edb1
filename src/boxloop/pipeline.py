"""The stages of dvc.yaml as plain functions, which the command line and the studies call.

Each function reads files and writes files. A path that is not given is the campaign's own
(:class:`~boxloop.campaign.paths.CampaignPaths`), so ``train(paths, params, "b01")`` does what
``boxloop train b01`` does in the campaign's folder. All raise a
:class:`~boxloop.errors.BoxloopError` with one clear sentence, and leave every file as it was then.

Heavy libraries are imported by the stages that need them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import ArtifactError, ParamsError
from boxloop.files import file_digest, require_writable, write_text
from boxloop.params import EMPTY, SIMNET, Params
from boxloop.progress import Report, silent

if TYPE_CHECKING:
    from boxloop.campaign.results import CampaignResults
    from boxloop.core.types import (
        Batch,
        Corrections,
        FeatureTable,
        ImageRef,
        ImageSet,
        LabeledSet,
        Ordering,
        Proposals,
    )
    from boxloop.core.workload import BatchWorkload
    from boxloop.datasets import Dataset
    from boxloop.models.training_log import SimNetLog, TrainingLog

ShareOut = Callable[[], bool]
"""Called once a stage knows that there is work to share: has several processes do it, and tells
whether they did."""


def _alone() -> bool:
    return False


def dataset(
    paths: CampaignPaths,
    params: Params,
    *,
    images: Path | None = None,
    truth: Path | None = None,
    faults: Path | None = None,
    drawn: Path | None = None,
    progress: Report = silent,
) -> Dataset:
    """Read a dataset: its images, its boxes where it has any, and its faults.

    Args:
        paths: the campaign's files.
        params: all sections; ``dataset`` counts.
        images: written, the images and classes.
        truth: written, the dataset's own annotations.
        faults: written, what was wrong with single files.
        drawn: folder of the images that the demo draws; made, and empty but for the demo.
        progress: told after each image.

    Raises:
        DatasetError: the dataset cannot be used.
    """
    from boxloop import datasets

    images, truth, faults = images or paths.images, truth or paths.truth, faults or paths.faults
    drawn = drawn or paths.drawn
    for path, kind in ((images, "images"), (truth, "truth"), (faults, "faults")):
        require_writable(path, f"boxloop/{kind}")
    found = datasets.load(params.dataset, drawn, progress)
    if not any(drawn.iterdir()):
        # DVC warns of an output that is an empty folder, and people wonder about one.
        write_text(drawn / "README.txt", "The images are where images.json says.\n")
    payload = datasets.faults_payload(found)
    artifacts.write_images(images, found.images)
    artifacts.write_truth(truth, found.truth)
    artifacts.write_faults(faults, payload)
    return found


def simnet(
    paths: CampaignPaths,
    params: Params,
    *,
    images: Path | None = None,
    out: Path | None = None,
    log: Path | None = None,
    progress: Report = silent,
    share_out: ShareOut = _alone,
) -> SimNetLog | None:
    """Train SimNet on the halves of all images, where ``features.weights`` is simnet.

    Args:
        paths: the campaign's files.
        params: all sections; ``simnet`` and ``features`` count.
        images: of the campaign.
        out: written, the trained network; an empty file where it was not asked for.
        log: written, how the training went.
        progress: told after each step.
        share_out: see :data:`ShareOut`.

    Returns:
        How the training went; None where it was not asked for, or others did it.

    Raises:
        DatasetError, ParamsError, WeightsError, DivergedError: it cannot be trained.
    """
    images, out, log = images or paths.images, out or paths.simnet, log or paths.simnet_log
    image_set = artifacts.read_images(images)
    require_writable(out)
    require_writable(log, "boxloop/simnet")
    if params.features.weights != SIMNET:
        write_text(out, "")
        artifacts.write_simnet_log(log, None)
        return None
    from boxloop import distributed
    from boxloop.models.checkpoint import write_simnet
    from boxloop.models.simnet import training

    if share_out():
        return None
    with distributed.join() as world:
        trained, result = training.train(
            image_set.images,
            params.simnet,
            params.features,
            lambda step, steps, loss: progress(step, steps, loss=loss),
        )
    if world.is_main:
        # The network comes last: where it is, the log is there too.
        artifacts.write_simnet_log(log, result)
        write_simnet(out, trained)
    return result


def features(
    paths: CampaignPaths,
    params: Params,
    *,
    images: Path | None = None,
    simnet: Path | None = None,
    out: Path | None = None,
    progress: Report = silent,
    share_out: ShareOut = _alone,
) -> FeatureTable | None:
    """Turn every image into a vector.

    Args:
        paths: the campaign's files.
        params: all sections; ``features`` counts.
        images: of the campaign.
        simnet: the trained SimNet, read where ``features.weights`` is simnet.
        out: written, one vector per image.
        progress: told after each batch of images.
        share_out: see :data:`ShareOut`.

    Returns:
        The vectors; None where other processes made them.

    Raises:
        DatasetError, ParamsError, WeightsError: they cannot be made.
    """
    images, simnet, out = images or paths.images, simnet or paths.simnet, out or paths.features
    p, image_set = params.features, artifacts.read_images(images)
    require_writable(out)
    from boxloop import distributed
    from boxloop.models.features import extract

    # One batch is no work to share.
    if len(image_set.images) > p.batch_size and share_out():
        return None
    with distributed.join() as world:
        table = extract(image_set.images, p, progress, simnet=simnet)
    if not world.is_main:
        return None
    artifacts.write_features(out, table)
    return table


def order(
    paths: CampaignPaths,
    params: Params,
    *,
    features: Path | None = None,
    out: Path | None = None,
    image_ids: Sequence[str] | None = None,
    progress: Report = silent,
) -> Ordering:
    """Order all images by the distances between their features.

    Args:
        paths: the campaign's files.
        params: all sections; ``order`` counts.
        features: of all images; not read where ``image_ids`` are given and the ordering needs none.
        out: written, the order.
        image_ids: the images to order, in temporal order; all that have features unless given.
        progress: told after each image.
    """
    from boxloop.core import ordering
    from boxloop.core.types import FeatureTable

    features, out, p = features or paths.features, out or paths.order, params.order
    if image_ids is None:
        table = artifacts.read_features(features)
    elif ordering.find_strategy(p.strategy).needs_features:
        table = artifacts.read_features(features).subset(image_ids)
    else:
        table = FeatureTable.without_vectors(image_ids)
    require_writable(out, "boxloop/order")
    result = ordering.order(
        table,
        p.strategy,
        seed=p.seed,
        query_size=p.query_size,
        linkage=p.linkage,
        progress=progress,
    )
    artifacts.write_order(out, result)
    return result


def batch(
    paths: CampaignPaths, params: Params, *, order: Path | None = None, out: Path | None = None
) -> tuple[list[Batch], int]:
    """Cut the order into the batches that params.yaml lists under ``iterations``.

    Args:
        paths: the campaign's files.
        params: all sections; ``batch`` and ``iterations`` count.
        order: of all images.
        out: folder, written, one file per batch and none besides.

    Returns:
        The batches, and the number of images that are in none of them.

    Raises:
        ParamsError: the images do not suffice.
    """
    from boxloop.core import batching

    order, out = order or paths.order, out or paths.batches
    image_ids = artifacts.read_order(order).image_ids
    batches = batching.plan(image_ids, list(params.iterations), **params.batch.model_dump())
    artifacts.write_batches(out, batches)
    return batches, len(image_ids) - sum(len(item.image_ids) for item in batches)


def start(
    paths: CampaignPaths,
    *,
    images: Path | None = None,
    labeled: Path | None = None,
    detector: Path | None = None,
    tracked: Path | None = None,
) -> None:
    """Write what the first turn starts from: nothing labeled, and the empty detector.

    Args:
        paths: the campaign's files.
        images: of the campaign.
        labeled: written, a labeled set without images.
        detector: written, a detector that proposes nothing.
        tracked: written, that nothing was tracked yet.
    """
    from boxloop.core.types import LabeledSet
    from boxloop.models.detectors.empty import EmptyDetector

    images, labeled = images or paths.images, labeled or paths.labeled(EMPTY)
    classes = artifacts.read_images(images).classes
    artifacts.write_labeled(labeled, LabeledSet(classes, (), {}))
    empty = EmptyDetector(classes)
    empty.save(detector or paths.detector(EMPTY), labeled_digest=file_digest(labeled))
    artifacts.write_tracked(tracked or paths.tracked(EMPTY), {"batch": EMPTY})


def train(
    paths: CampaignPaths,
    params: Params,
    turn: str,
    *,
    images: Path | None = None,
    labeled: Path | None = None,
    previous: Path | None = None,
    out: Path | None = None,
    log: Path | None = None,
    progress: Report = silent,
    share_out: ShareOut = _alone,
) -> TrainingLog | None:
    """Train a detector on everything that was labeled before a turn.

    Args:
        paths: the campaign's files.
        params: all sections; ``train`` counts, and ``iterations`` for the turn before.
        turn: key of the iteration whose batch the detector is to propose for.
        images: of the campaign.
        labeled: everything labeled up to the turn before.
        previous: detector of the turn before, which ``train.warm_start`` goes on from.
        out: written, the detector.
        log: written, how the training went.
        progress: told after each step.
        share_out: see :data:`ShareOut`.

    Returns:
        How the training went; None where other processes did it.

    Raises:
        ArtifactError: a file is missing, damaged, or for other classes.
        ParamsError, WeightsError, DivergedError: it cannot be trained.
    """
    images = images or paths.images
    labeled = labeled or paths.labeled(_before(params, turn))
    previous = previous or paths.detector(_before(params, turn))
    out, log = out or paths.detector(turn), log or paths.training(turn)
    labeled_set, image_set = artifacts.read_labeled(labeled), artifacts.read_images(images)
    _require_classes(image_set, images, labeled_set.classes, labeled)
    refs = _subset(image_set, list(labeled_set.boxes), labeled)
    require_writable(out)
    require_writable(log, "boxloop/training")
    from boxloop import distributed
    from boxloop.models import detectors

    # The empty detector is no work to share.
    if refs and share_out():
        return None
    with distributed.join() as world:
        detector, result = detectors.train(
            params.train,
            labeled_set,
            refs,
            previous=previous,
            progress=lambda step, steps, loss: progress(step, steps, loss=loss),
        )
    if world.is_main:
        # The log comes last: where it is, the detector is whole.
        detector.save(out, labeled_digest=file_digest(labeled))
        artifacts.write_training_log(log, result)
    return result


def propose(
    paths: CampaignPaths,
    params: Params,
    turn: str,
    *,
    images: Path | None = None,
    batch: Path | None = None,
    detector: Path | None = None,
    out: Path | None = None,
    progress: Report = silent,
    share_out: ShareOut = _alone,
) -> Proposals | None:
    """Let the detector of a turn offer boxes for the turn's batch.

    Args:
        paths: the campaign's files.
        params: all sections; ``propose`` counts.
        turn: key of the iteration.
        images: of the campaign.
        batch: the images to propose for.
        detector: that proposes.
        out: written, the proposals.
        progress: told after each batch of images.
        share_out: see :data:`ShareOut`.

    Returns:
        The proposals; None where other processes made them.

    Raises:
        ArtifactError: a file is missing, damaged, or for other classes.
    """
    images, batch = images or paths.images, batch or paths.batch(turn)
    detector, out = detector or paths.detector(turn), out or paths.proposals(turn)
    p, image_set, item = params.propose, artifacts.read_images(images), artifacts.read_batch(batch)
    refs = _subset(image_set, item.image_ids, batch)
    require_writable(out, "boxloop/proposals")
    from boxloop import distributed
    from boxloop.core.types import Proposals
    from boxloop.models import detectors

    # One batch is no work to share.
    if len(refs) > p.batch_size and share_out():
        return None
    with distributed.join() as world:
        model = detectors.load(detector, p.device)
        _require_classes(image_set, images, model.classes, detector)
        share = world.share(len(refs), p.batch_size)
        own = model.propose(
            refs[share.start : share.stop],
            score_floor=p.score_floor,
            batch_size=p.batch_size,
            progress=lambda done, _: progress(min(done * world.size, len(refs)), len(refs)),
        )
        parts = distributed.gather(own)
    if not world.is_main:
        return None
    boxes = {image_id: found for part in parts for image_id, found in part.items()}
    found = Proposals(item.id, model.name, file_digest(detector), p.score_floor, boxes)
    artifacts.write_proposals(out, found)
    return found


def review(
    paths: CampaignPaths,
    params: Params,
    turn: str,
    *,
    images: Path | None = None,
    proposals: Path | None = None,
    truth: Path | None = None,
    out: Path | None = None,
    say: Callable[[str], object] = print,
) -> Corrections:
    """Put the corrections of a batch together: by the truth, or from what people submitted.

    Args:
        paths: the campaign's files, the folder of submissions among them.
        params: all sections; ``review`` counts.
        turn: key of the iteration.
        images: of the campaign.
        proposals: of the batch.
        truth: the dataset's annotations, for the simulated annotator.
        out: written, the corrections.
        say: told what a person may want to know.

    Raises:
        ReviewPending: people have not submitted some images of the batch; nothing was written.
        ProtectedLabelsError: labels of another annotator would be replaced; nothing was written.
        DatasetError: there is no truth to simulate with.
    """
    from boxloop.review.collect import collect

    return collect(
        paths,
        params.review,
        images or paths.images,
        proposals or paths.proposals(turn),
        truth or paths.truth,
        out or paths.corrections(turn),
        say=say,
    )


def merge(
    paths: CampaignPaths,
    params: Params,
    turn: str,
    *,
    labeled: Path | None = None,
    corrections: Path | None = None,
    out: Path | None = None,
) -> LabeledSet:
    """Add a corrected batch to everything labeled so far.

    Args:
        paths: the campaign's files.
        params: all sections; ``iterations`` counts.
        turn: key of the iteration.
        labeled: everything labeled up to the turn before.
        corrections: of the batch.
        out: written, everything labeled.
    """
    from boxloop.core import labeled_set

    labeled = labeled or paths.labeled(_before(params, turn))
    result = labeled_set.merge(
        artifacts.read_labeled(labeled),
        artifacts.read_corrections(corrections or paths.corrections(turn)),
    )
    artifacts.write_labeled(out or paths.labeled(turn), result)
    return result


def account(
    paths: CampaignPaths,
    params: Params,
    turn: str,
    *,
    corrections: Path | None = None,
    out: Path | None = None,
) -> BatchWorkload:
    """Count the edits of a batch at every threshold (paper, section 3.4).

    Args:
        paths: the campaign's files.
        params: all sections; ``account`` counts.
        turn: key of the iteration.
        corrections: of the batch.
        out: written, the edits by thresholds, and the mAP of the proposals.
    """
    from boxloop.core import workload
    from boxloop.models.average_precision import average_precision

    p = params.account
    corrected = artifacts.read_corrections(corrections or paths.corrections(turn))
    precision = average_precision(corrected.proposals.boxes, corrected.boxes)
    result = workload.account(corrected, p.iou_thresholds, p.score_thresholds, precision)
    artifacts.write_workload(out or paths.workload(turn), result)
    return result


def track(
    paths: CampaignPaths,
    params: Params,
    turn: str,
    *,
    out: Path | None = None,
    say: Callable[[str], object] = print,
) -> None:
    """Log a turn of the loop to MLflow, from the campaign's files.

    Args:
        paths: the campaign's files.
        params: all sections.
        turn: key of the iteration, which must be accounted, as must all before it.
        out: written, what was tracked.
        say: told what a person may want to know.

    Raises:
        TrackingError: MLflow cannot be written to.
    """
    from boxloop.tracking.track_turn import track as track_turn

    track_turn(paths, params, turn, out or paths.tracked(turn), say=say)


def report(
    paths: CampaignPaths, params: Params, *, metrics: Path | None = None, out: Path | None = None
) -> CampaignResults:
    """Write metrics.json, tables for ``dvc plots``, figures and one HTML page.

    Args:
        paths: the campaign's files.
        params: all sections; ``report``, ``account`` and ``iterations`` count.
        metrics: written, the campaign's numbers.
        out: folder, written, the page and the tables.
    """
    from boxloop.report.build import write_report

    return write_report(paths, params, metrics or paths.metrics, out or paths.report)


def _before(params: Params, turn: str) -> str:
    """Return the key of the turn before."""
    if turn not in params.iterations:
        raise ParamsError(f"iterations does not list '{turn}': {', '.join(params.iterations)}")
    return params.iterations[turn].previous


def _subset(images: ImageSet, image_ids: Sequence[str], source: Path) -> tuple[ImageRef, ...]:
    """Return the images that the file ``source`` lists."""
    with artifacts.faults_of(source):
        return images.subset(image_ids)


def _require_classes(
    images: ImageSet, images_file: Path, classes: Sequence[str], source: Path
) -> None:
    """Refuse to bring together what was made for different classes."""
    if tuple(classes) != images.classes:
        raise ArtifactError(
            f"{source} is for the classes {', '.join(classes)}, but {images_file} has"
            f" {', '.join(images.classes)}: run the stages after 'dataset' again"
        )
