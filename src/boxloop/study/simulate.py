"""One simulated campaign in memory: what the stages of dvc.yaml do, without their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boxloop.campaign import crop_classes, first_model
from boxloop.campaign.results import CampaignResults
from boxloop.campaign.thresholds import shown_from, with_batch, with_thresholds
from boxloop.core import batching
from boxloop.core.evidence import Evidence
from boxloop.core.labeled_set import merge
from boxloop.core.one_per_place import at_one_place, one_per_place
from boxloop.core.ordering import find_strategy, order
from boxloop.core.overlap import first_part
from boxloop.core.types import Batch, FeatureTable, ImageRef, LabeledSet, Ordering, Proposals
from boxloop.core.workload import BatchWorkload, Totals, account, find_cost_model
from boxloop.errors import DatasetError, ParamsError
from boxloop.params import FITTED, SIMNET, FeaturesParams, Params, SimNetParams
from boxloop.pipeline.detecting import with_crops_of_held_out
from boxloop.review.simulated import SimulatedAnnotator

if TYPE_CHECKING:
    from boxloop.datasets import Dataset
    from boxloop.models.detectors.base import Detector

Say = Callable[[str, int, int], None]
"""Called with what is being done, and how much of how much is."""


@dataclass(frozen=True)
class Simulation:
    """A campaign that was simulated.

    Attributes:
        params: of the campaign.
        order: of all images.
        batches: in the order in which they were labeled.
        proposals: for each batch, down to the score floor.
        results: what the reports of campaigns are made of, and no part of the API: the properties
            and methods here have what it holds.
        labeled: everything labeled.
        detector: the last one, which proposed for the last batch.
    """

    params: Params
    order: Ordering
    batches: tuple[Batch, ...]
    proposals: tuple[Proposals, ...]
    results: CampaignResults
    labeled: LabeledSet
    detector: Detector

    @property
    def workloads(self) -> tuple[BatchWorkload, ...]:
        """The edits of each batch, in the order in which they were labeled."""
        return self.results.workloads

    def so_far(self, iou_threshold: float = 0.5) -> list[Totals]:
        """Return WB and WT after the first, the second, ... batch."""
        return self.results.so_far(iou_threshold)

    def totals(self, iou_threshold: float = 0.5) -> Totals:
        """Add up WB and WT of the whole campaign."""
        return self.results.totals(iou_threshold)

    def savings(self, iou_threshold: float = 0.5) -> list[tuple[int, float]]:
        """Return (images labeled, fraction of WT saved) after each batch."""
        return [(t.images, t.wt_reduction) for t in self.so_far(iou_threshold)]


def run(dataset: Dataset, params: Params, say: Say | None = None) -> Simulation:
    """Simulate a campaign: as ``dvc repro`` with ``review.annotator: simulated`` runs it.

    Args:
        dataset: with annotations.
        params: all sections; ``dataset``, ``track`` and ``report`` do not matter.
        say: told about progress.

    Raises:
        DatasetError: the dataset has no annotations.
        BoxloopError: a step cannot be done with these parameters.
    """
    from boxloop.models import detectors
    from boxloop.models.average_precision import average_precision
    from boxloop.models.detectors import held_out, promises
    from boxloop.models.detectors.empty import EmptyDetector

    if dataset.truth is None:
        raise DatasetError("a simulation corrects by annotations, and this dataset has none")
    say = say or (lambda what, done, of: None)
    images, classes = dataset.images, dataset.images.classes
    if params.propose.neighbours != "off":
        raise ParamsError(
            "propose.neighbours is for a campaign in files: a simulation in memory does without;"
            " leave it out"
        )
    for key, turn in params.iterations.items():
        if turn.proposals is not None or turn.labels:
            raise ParamsError(
                f"iterations.{key} lists imported proposals or labels, which are for a campaign in"
                " files: leave them out, or give 'turns'"
            )
    if find_strategy(params.order.strategy).needs_features:
        table = extract_in_memory(
            images.images,
            params.features,
            params.simnet,
            lambda done, of: say("features", done, of),
        )
    else:
        table = FeatureTable.without_vectors([ref.id for ref in images.images])
    ordered = order(table, **params.order.model_dump())
    keys = list(params.iterations)
    batches = batching.plan(ordered.image_ids, keys, **params.batch.model_dump())
    annotator = SimulatedAnnotator(dataset.truth, params.review.iou_threshold)
    labeled, detector = LabeledSet(classes, (), {}), None
    evidence: tuple[Evidence, ...] = ()
    proposed: list[Proposals] = []
    workloads = []
    for number, batch in enumerate(batches):
        say("turn", number, len(batches))
        known = labeled
        if proposed and params.train.overlap is not None:
            last = list(proposed[-1].boxes)
            known, _ = first_part(labeled, last, params.train.overlap)
        refs = images.subset(list(known.boxes))
        held = None
        fitted = params.review.score_threshold == FITTED
        if fitted and held_out.holds_out(params.train, known):
            held = held_out.propose_for_held_out(params.train, known, refs)
            held = held and with_crops_of_held_out(params, held, known, refs)
        if detector is None or isinstance(detector, EmptyDetector) or not params.train.warm_start:
            detector, _ = detectors.train(params.train, known, refs)
        else:
            promises.train(detector, known, refs, params.train)
        wanted, p = images.subset(batch.image_ids), params.propose
        if (asked := first_model.of_turn(params, batch.id)) is not None:
            from boxloop.models.detectors.transformers import zero_shot

            model = zero_shot.load(asked, classes, p.device)
            name, floor, at_once = model.name, p.score_floor, asked.batch_size
            boxes = promises.propose(model, wanted, score_floor=floor, batch_size=at_once)
        else:
            name, floor, at_once = detector.name, p.score_floor, p.batch_size
            boxes = promises.propose(detector, wanted, score_floor=floor, batch_size=at_once)
            boxes = one_per_place(boxes, at_one_place(labeled.boxes.values()))
        offered = Proposals(batch.id, name, "", floor, boxes)
        if asked is None and crop_classes.are_worth_trying(params, evidence, held):
            from boxloop.models.crop_classifier import with_crops

            refs = images.subset(list(labeled.boxes))
            offered = with_crops(offered, labeled.boxes, refs, wanted, p.device)
        offered = crop_classes.choose(params, offered, evidence, held, labeled)
        offered = with_thresholds(params, offered, evidence, held, labeled)
        threshold = shown_from(params.review, offered, Path(batch.id))
        corrected = annotator.review(offered, images.by_id(), threshold)
        before, evidence = evidence, with_batch(params, evidence, corrected)
        if len(evidence) > len(before):
            judged = offered
            if crop_classes.are_worth_judging(params, offered, evidence[-1]):
                from boxloop.models.crop_classifier import with_crops

                refs = images.subset(list(labeled.boxes))
                judged = with_crops(offered, labeled.boxes, refs, wanted, p.device)
            evidence = (*before, crop_classes.judge(params, corrected, judged, evidence[-1]))
        a = params.account
        precision = average_precision(offered.boxes, corrected.boxes)
        workloads.append(account(corrected, a.iou_thresholds, a.score_thresholds, precision))
        proposed.append(offered)
        labeled = merge(labeled, corrected)
    say("turn", len(batches), len(batches))
    results = CampaignResults(
        tuple(workloads),
        tuple(keys),
        params.account.iou_thresholds,
        params.account.seconds_per_box,
        find_cost_model(params.account.cost_model),
        costs=params.account.costs,
    )
    assert detector is not None
    return Simulation(params, ordered, tuple(batches), tuple(proposed), results, labeled, detector)


def extract_in_memory(
    images: Sequence[ImageRef],
    params: FeaturesParams,
    simnet: SimNetParams,
    progress: Callable[[int, int], None] | None = None,
) -> FeatureTable:
    """Extract features, training SimNet first where ``params.weights`` is simnet.

    Args:
        images: at least one; at least two different ones for SimNet.
        params: of the features.
        simnet: of SimNet's training.
        progress: called with (images done, images in all).
    """
    from boxloop.models.features import extract

    if params.weights != SIMNET:
        return extract(images, params, progress)
    from boxloop.models.simnet import training

    trained, _ = training.train(images, simnet, params)
    return extract(images, params, progress, simnet=trained)
