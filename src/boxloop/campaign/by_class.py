"""Read the ledger of a campaign by class, from its corrections and evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from boxloop.campaign import artifacts, crop_classes
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults
from boxloop.campaign.thresholds import read_known
from boxloop.core.class_ledger import ClassLedgers, class_ledgers
from boxloop.core.class_precision import ap_50_by_class
from boxloop.core.class_thresholds import ClassThreshold, fit_classes
from boxloop.core.completeness import only_judgeable
from boxloop.core.edits import Ledger
from boxloop.core.existing import without_labels
from boxloop.core.rechecking import as_reviewed
from boxloop.core.types import Corrections
from boxloop.core.workload import BatchWorkload, Totals
from boxloop.params import Params


@dataclass(frozen=True)
class ClassBatch:
    """One finished batch by class.

    Attributes:
        batch: its id.
        ledgers: by IoU threshold.
        precision: average precision at IoU 0.5 of all stored proposals, by class that occurs.
    """

    batch: str
    ledgers: Mapping[float, ClassLedgers]
    precision: Mapping[str, float]


@dataclass(frozen=True)
class ByClass:
    """A campaign's ledger by class; over the classes, everything sums up to the totals.

    Attributes:
        classes: in the dataset's order; after them those that only labels or proposals have.
        batches: the finished ones, oldest first.
        thresholds: from which score on proposals of a class pay, by what the finished batches would
            have cost; none where no evidence was kept.
        results: the finished batches as a whole.
    """

    classes: tuple[str, ...]
    batches: tuple[ClassBatch, ...]
    thresholds: Mapping[str, ClassThreshold]
    results: CampaignResults

    def edits(self, label: str, iou_threshold: float) -> Ledger:
        """Return the edits of a class in all batches, the first one included."""
        return _sum(self.batches, label, iou_threshold)

    def totals(self, label: str, iou_threshold: float) -> Totals:
        """Return the workload of a class: WB, WT and what is saved, with its own N and B1n.

        ``images`` are those with a final box of the class.
        """
        found = [batch.ledgers[iou_threshold] for batch in self.batches]
        return Totals(
            images=sum(item.images.get(label, 0) for item in found),
            objects=sum(item.objects.get(label, 0) for item in found),
            first_batch_objects=found[0].objects.get(label, 0) if found else 0,
            later=_sum(self.batches[1:], label, iou_threshold),
            cost_model=self.results.cost_model,
        )

    def mistaken(self, iou_threshold: float) -> list[tuple[str, str, int]]:
        """Return (class proposed, class in the end, boxes) of relabeled boxes, most first."""
        counts = Counter[tuple[str, str]]()
        for batch in self.batches:
            counts.update(batch.ledgers[iou_threshold].mistaken)
        return sorted(((a, b, n) for (a, b), n in counts.items()), key=lambda r: (-r[2], r[:2]))

    @property
    def precision(self) -> Mapping[str, float]:
        """Average precision at IoU 0.5 of the last batch's proposals, by class that it holds."""
        return self.batches[-1].precision if self.batches else {}


def _sum(batches: tuple[ClassBatch, ...], label: str, iou: float) -> Ledger:
    return sum((batch.ledgers[iou].edits.get(label, Ledger()) for batch in batches), Ledger())


def read_by_class(paths: CampaignPaths, params: Params, results: CampaignResults) -> ByClass:
    """Read the finished batches by class.

    Args:
        paths: where the campaign's files are.
        params: of the campaign.
        results: the finished batches.

    Raises:
        ArtifactError: corrections or evidence are missing or damaged.
    """
    images = artifacts.read_images(paths.images)
    batches = tuple(
        read_class_batch(paths, workload, results.iou_thresholds, images.classes)
        for workload in results.workloads
    )
    found = {
        name for batch in batches for item in batch.ledgers.values() for name in item.edits
    } - set(images.classes)
    classes = (*images.classes, *sorted(found))
    return ByClass(classes, batches, _thresholds(paths, params, results, classes), results)


def read_class_batch(
    paths: CampaignPaths,
    workload: BatchWorkload,
    iou_thresholds: tuple[float, ...],
    classes: tuple[str, ...],
) -> ClassBatch:
    """Read one finished batch by class.

    Raises:
        ArtifactError: its corrections are missing or damaged.
    """
    corrections = as_reviewed(artifacts.read_corrections(paths.corrections(workload.batch)))
    ledgers = {
        iou: class_ledgers(corrections, iou, workload.counted_at(iou)) for iou in iou_thresholds
    }
    return ClassBatch(workload.batch, ledgers, _precision(corrections, classes))


def _precision(corrections: Corrections, classes: tuple[str, ...]) -> dict[str, float]:
    """Return the average precision of what can be judged, as the stage ``account`` does."""
    judgeable = only_judgeable(corrections, classes)
    found = {image_id: judgeable.boxes[image_id] for image_id in without_labels(judgeable)}
    return ap_50_by_class(judgeable.proposals.boxes, found)


def _thresholds(
    paths: CampaignPaths, params: Params, results: CampaignResults, classes: tuple[str, ...]
) -> dict[str, ClassThreshold]:
    path = paths.evidence(results.workloads[-1].batch) if results.workloads else None
    if path is None or not path.exists():
        return {}
    evidence = crop_classes.as_shown(paths, read_known(params, path))
    floor, iou = params.propose.score_floor, params.review.iou_threshold
    fitted = fit_classes(evidence, classes, iou, results.cost_model, floor=floor)
    return {item.label: item for item in fitted if item.best_f1 is not None}
