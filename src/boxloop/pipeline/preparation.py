"""The stages that run once: from a folder of images to batches, and an empty turn before them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from boxloop import files
from boxloop.campaign import (
    artifacts,
    class_names,
    existing,
    neighbours,
    screening,
    submissions,
    watching,
)
from boxloop.campaign.campaign import Campaign
from boxloop.campaign.digests import settings_digest
from boxloop.core import types as t
from boxloop.errors import ProtectedLabelsError
from boxloop.files import file_digest, require_writable, write_text
from boxloop.params import EMPTY, GIVEN, SIMNET
from boxloop.terminal import counted

if TYPE_CHECKING:
    from boxloop.core.training_log import SimNetLog
    from boxloop.datasets import Dataset


def dataset(campaign: Campaign) -> Dataset:
    """Read a dataset: its images, its boxes where it has any, and its faults.

    Writes ``images``, ``truth``, ``faults``, and ``drawn``, a folder that the demo draws into.
    """
    from boxloop import datasets
    from boxloop.core import batching
    from boxloop.datasets.drawn_folder import README

    images, truth, faults, drawn = campaign.choose(
        "images",
        "truth",
        "faults",
        "drawn",
    )
    for path, kind in ((images, "images"), (truth, "truth"), (faults, "faults")):
        require_writable(path, f"boxloop/{kind}")
    with campaign.reporting("reading images") as progress:
        found = class_names.load(campaign.paths, campaign.params.dataset, drawn, progress)
    if not any(drawn.iterdir()):
        # DVC warns of an output that is an empty folder, and people wonder about one.
        write_text(drawn / README, "The images are where images.json says.\n")
    payload, p = datasets.faults_payload(found), campaign.params
    campaign.say(datasets.faults_summary(found))
    # The stage `batch` would say it, too, but only after `simnet`, `features` and `order`.
    total = len(found.images) - existing.count_trusted(p, found.truth)
    batching.require_images(total, list(p.iterations), **p.batch.model_dump())
    artifacts.write_images(images, found.images)
    artifacts.write_truth(truth, found.truth)
    artifacts.write(faults, "faults", payload)
    labels = datasets.labels_summary(found) if p.review.asks_people else None
    if labels is not None and p.dataset.labels == "ignored":
        campaign.say(
            f"{labels}, which are ignored: 'dataset.labels: trusted' in params.yaml has the first"
            " detector learn from them, 'proposed' has people check them first"
        )
    for place in watching.watch(campaign.paths.root, campaign.params.dataset):
        campaign.say(f"dvc.yaml: DVC watches {place} from now on, which the dataset is read from")
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
    require_writable(out, files.SIMNET)
    require_writable(log, files.SIMNET)
    if campaign.params.features.weights != SIMNET:
        write_text(out, "", files.SIMNET)
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
    if campaign.on is not None:
        from boxloop.distributed import addresses

        addresses.find(campaign.on)
    p, image_set = campaign.params.features, artifacts.read_images(images)
    require_writable(out, files.FEATURES)
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

    Reads ``order``, and ``truth`` where the labels that the dataset has are used: images whose
    labels are trusted are in no batch, those whose labels are proposed come first. Reads
    ``images.json`` where labels were imported to be checked. Where
    ``propose.neighbours`` is fitted, reads ``features``, too. Writes the
    folder ``out``, one file per batch and none besides.

    Returns:
        The batches, and the number of images that are in none of them.

    Raises:
        ProtectedLabelsError: people have labeled images whose labels in the dataset are trusted.
    """
    from boxloop.core import batching
    from boxloop.core.existing import first

    order, truth, features, out = campaign.choose(
        "order", "truth", "features", out=campaign.paths.batches
    )
    done = existing.of_dataset(campaign.params, truth, "trusted")
    _spare_people(campaign, campaign.paths.images, done)
    checked = existing.of_dataset(campaign.params, truth, "proposed")
    image_ids = [i for i in artifacts.read_order(order).image_ids if i not in done]
    image_ids = first(image_ids, checked)
    batches = batching.plan(
        image_ids, list(campaign.params.iterations), **campaign.params.batch.model_dump()
    )
    turns = campaign.params.iterations
    labels = existing.by_turn(campaign.paths, campaign.params, checked, campaign.say)
    batches = [
        replace(
            item,
            given=turns[item.id].proposals,
            labels={i: labels[item.id][i] for i in item.image_ids if i in labels[item.id]},
        )
        for item in batches
    ]
    batches = neighbours.plan(campaign.params, batches, features, list(done))
    artifacts.write_batches(out, batches)
    if done:
        campaign.say(f"{counted(len(done))} came with labels: they are in no batch")
    if checked:
        campaign.say(
            f"{len(checked)} images came with labels: they come first, and their boxes are shown as"
            " proposals"
        )
    return batches, len(image_ids) - sum(len(item.image_ids) for item in batches)


def _spare_people(campaign: Campaign, images: Path, trusted: Mapping[str, t.Boxes]) -> None:
    """Refuse to put the dataset's boxes in place of what people submitted."""
    if not trusted or not images.exists():
        return
    paths = campaign.paths
    restored = submissions.submission_files(paths.corrections(EMPTY).parent)
    counts = screening.read(paths.journals, restored, artifacts.read_images(images)).submissions
    labeled = submissions.latest(counts).items()
    batches = [item.batch for i, item in labeled if i in trusted and i not in item.given]
    if batches:
        of = ", ".join(f"{number} of {key}" for key, number in sorted(Counter(batches).items()))
        raise ProtectedLabelsError(
            f"people labeled {counted(len(batches))} ({of}) whose boxes in the dataset would take"
            " their labels' place: set dataset.labels in params.yaml back to what it was;"
            " 'boxloop import-labels FILE --as trusted' takes the dataset's boxes of other images"
        )


def start(campaign: Campaign) -> None:
    """Write what the first turn starts from.

    Reads ``images``, and ``truth`` where the labels that the dataset has are trusted; writes
    ``labeled`` (those, or nothing), ``detector`` (proposes nothing), ``evidence``
    (none) and ``tracked``, which tells the turns by which parameters they are tracked.

    Raises:
        ProtectedLabelsError: people have labeled images whose labels in the dataset are trusted.
    """
    from boxloop.models.detectors.empty import EmptyDetector

    images, truth, labeled, detector, evidence, tracked = campaign.choose(
        "images",
        "truth",
        labeled=campaign.paths.labeled(EMPTY),
        detector=campaign.paths.detector(EMPTY),
        evidence=campaign.paths.evidence(EMPTY),
        tracked=campaign.paths.tracked(EMPTY),
    )
    classes = artifacts.read_images(images).classes
    trusted = existing.of_dataset(campaign.params, truth, "trusted")
    _spare_people(campaign, images, trusted)
    # All or nothing: the first would be left behind where the second may not be written.
    kinds = ("boxloop/labeled", files.DETECTOR, "boxloop/evidence", "boxloop/tracked")
    for path, kind in zip((labeled, detector, evidence, tracked), kinds, strict=True):
        require_writable(path, kind)
    artifacts.write_labeled(labeled, t.LabeledSet(classes, (GIVEN,) if trusted else (), trusted))
    EmptyDetector(classes).save(detector, labeled_digest=file_digest(labeled))
    artifacts.write_evidence(evidence, ())
    settings = {"batch": EMPTY, "params": settings_digest(campaign.params)}
    artifacts.write(tracked, "tracked", settings)
