"""Read the finished batches of a campaign, and sum up their workload."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from boxloop.campaign.ahead import seen_by
from boxloop.campaign.artifacts import read_batch, read_labeled, read_workload
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.recheck_results import read_rechecks
from boxloop.core.edits import Ledger
from boxloop.core.own_costs import OwnPrice, price
from boxloop.core.rechecking import RecheckWork
from boxloop.core.training_log import Seen
from boxloop.core.workload import (
    PAPER,
    BatchWorkload,
    CostModel,
    Totals,
    find_cost_model,
    total,
)
from boxloop.errors import ArtifactError
from boxloop.params import EMPTY, Params
from boxloop.params.account import CostsParams


@dataclass(frozen=True)
class CampaignResults:
    """The finished batches, oldest first.

    Attributes:
        workloads: one per batch that is labeled and accounted.
        planned: keys of all iterations, done or not.
        iou_thresholds: those that were accounted, as params.yaml lists them.
        seconds_per_box: T, the seconds to draw one box from scratch.
        cost_model: prices the edits of all batches after the first.
        given: (images, objects) that the dataset came with labels of; they cost nothing, and count
            nowhere else.
        coming: images of each batch that is not done, up to the first one without a list of them.
        costs: one's own seconds per kind of edit; None prices by T alone.
        seen: what the detectors had seen that did not see all labels before their turn, by turn.
        rechecks: the work of second looks at the finished batches; None where there were none.
    """

    workloads: tuple[BatchWorkload, ...]
    planned: tuple[str, ...]
    iou_thresholds: tuple[float, ...]
    seconds_per_box: float
    cost_model: CostModel = PAPER
    given: tuple[int, int] | None = None
    coming: tuple[int, ...] = ()
    costs: CostsParams | None = None
    seen: Mapping[str, Seen] = field(default_factory=dict)
    rechecks: RecheckWork | None = None

    @property
    def given_images(self) -> int:
        """Images of :attr:`given`, which the first detector learned from."""
        return 0 if self.given is None else self.given[0]

    @property
    def imported(self) -> tuple[int, int] | None:
        """(images, objects) of the batches whose labels were imported and trusted, if any were.

        They count as :attr:`given` ones do.
        """
        images = sum(w.given_images for w in self.workloads)
        return (images, sum(w.given_objects for w in self.workloads)) if images else None

    @property
    def complete(self) -> bool:
        """Whether every planned batch is done."""
        return len(self.workloads) == len(self.planned)

    def so_far(self, iou_threshold: float) -> list[Totals]:
        """Return the totals after the first, the second, ... batch, as they were shown."""
        result, before = [], None
        for workload in self.workloads:
            now = total([workload], iou_threshold, cost_model=self.cost_model)
            if before is not None:
                now = replace(
                    before,
                    images=before.images + now.images,
                    objects=before.objects + now.objects,
                    later=before.later + workload.ledger(iou_threshold),
                )
            result.append(now)
            before = now
        return result

    def totals(self, iou_threshold: float, score_threshold: float | None = None) -> Totals:
        """Return the totals of all finished batches."""
        return total(self.workloads, iou_threshold, score_threshold, self.cost_model)

    @property
    def began_with_proposals(self) -> bool:
        """Whether the first batch was not drawn from scratch, but corrected."""
        return bool(self.workloads) and _was_corrected(self.workloads[0])

    @property
    def first_batch(self) -> str:
        """How the first batch counts, in words that follow "the first batch"."""
        return first_batch_in_words(self.workloads[0] if self.workloads else None)

    def as_corrected(self, iou_threshold: float) -> Totals:
        """Return the totals with the first batch's edits in place of its objects.

        The paper's totals count every object of the first batch as drawn. Where it began with
        another model's proposals, this is what people really did.
        """
        totals = self.totals(iou_threshold)
        return replace(totals, first_batch_objects=0, later=self.edits(iou_threshold))

    def edits(self, iou_threshold: float) -> Ledger:
        """Return the edits of all finished batches, the first one included."""
        return sum((w.ledger(iou_threshold) for w in self.workloads), Ledger())

    def batch_seconds(self, number: int, iou_threshold: float) -> float:
        """Return the WT of one batch alone in seconds; ``number`` counts from 0."""
        workload = self.workloads[number]
        if number == 0:  # every object counts as drawn
            return workload.objects * self.seconds_per_box
        return self.cost_model.cost(workload.ledger(iou_threshold)) * self.seconds_per_box

    def own_prices(self) -> dict[float, OwnPrice]:
        """Return the price by ``account.costs`` at each IoU; empty where there is no such table."""
        if self.costs is None:
            return {}
        return {iou: price(self.workloads, iou, self.costs) for iou in self.iou_thresholds}

    def what_if_scores(self) -> list[float]:
        """Return the score thresholds at which every later batch was accounted, ascending."""
        sets = [{score for score, _ in w.ledgers} for w in self.workloads[1:]]
        return sorted(set.intersection(*sets)) if sets else []


def first_batch_in_words(first: BatchWorkload | None) -> str:
    """Say how the first batch counts, in words that follow "the first batch"."""
    if first is not None and not first.images:
        return "counts nowhere: its labels were given"
    corrected = first is not None and _was_corrected(first)
    return f"{'counts as drawn' if corrected else 'is labeled'} from scratch"


def _was_corrected(first: BatchWorkload) -> bool:
    return first.images > 0 and first.detector != EMPTY


def read_results(
    paths: CampaignPaths, params: Params, *, through: str | None = None
) -> CampaignResults:
    """Read the workloads of the finished batches: the leading ones that have a file.

    With ``through``, read up to that turn, which must be done, as must all before it.

    Raises:
        ArtifactError: a file is damaged, belongs to another batch, lacks an IoU threshold of
            params.yaml, or (with ``through``) is missing.
    """
    planned = tuple(params.iterations)
    wanted = planned if through is None else planned[: planned.index(through) + 1]
    workloads = []
    for key in wanted:
        path = paths.workload(key)
        if through is None and not path.exists():
            break
        workload = read_workload(path)
        if workload.batch != key:
            raise ArtifactError(f"{path} is the workload of batch {workload.batch}, not of {key}")
        for iou in params.account.iou_thresholds:
            if not workload.has(iou):
                raise ArtifactError(
                    f"{path} was not accounted at IoU {iou:g}, which params.yaml lists under"
                    " account.iou_thresholds: 'dvc repro' accounts it again"
                )
        workloads.append(workload)
    return CampaignResults(
        tuple(workloads),
        planned,
        params.account.iou_thresholds,
        params.account.seconds_per_box,
        find_cost_model(params.account.cost_model),
        _given(paths, params),
        () if through is not None else tuple(_coming(paths, planned[len(workloads) :])),
        seen=seen_by(paths, [workload.batch for workload in workloads]),
        costs=params.account.costs,
        rechecks=read_rechecks(paths, (w.batch for w in workloads if w.edits is not None)),
    )


def _coming(paths: CampaignPaths, keys: Iterable[str]) -> Iterator[int]:
    for key in keys:
        if not paths.batch(key).exists():
            return
        yield len(read_batch(paths.batch(key)).image_ids)


def _given(paths: CampaignPaths, params: Params) -> tuple[int, int] | None:
    path = paths.labeled(EMPTY)
    if params.dataset.labels != "trusted" or not path.exists():
        return None
    boxes = read_labeled(path).boxes
    return len(boxes), sum(map(len, boxes.values()))
