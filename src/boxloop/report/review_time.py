"""Compare people's measured time with the modeled WT, and fit seconds per edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass

import numpy as np

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults
from boxloop.core.edits import EDITS, Ledger, diff
from boxloop.core.rechecking import as_reviewed
from boxloop.core.types import SIMULATED, Floats
from boxloop.report.tables import to_csv

_FEWEST_IMAGES = 30
"""With fewer images, the costs of five kinds of edits cannot be estimated."""

_FEWEST_WITH = 5
"""Images with a kind of edit that an estimate of its cost needs."""


@dataclass(frozen=True)
class BatchEffort:
    """The work on one batch.

    Attributes:
        batch: its id.
        images: number of images.
        timed_images: those of them whose seconds were measured.
        measured: active seconds on the timed images; None where there is none.
        modeled: WT of the batch alone in seconds, by IoU threshold.
        edits: exact, by id.
        reviewer: who did it; several names are joined by ", ".
        revision: more than 1 where the batch was redone.
    """

    batch: str
    images: int
    timed_images: int
    measured: float | None
    modeled: Mapping[float, float]
    edits: Ledger
    reviewer: str | None
    revision: int


@dataclass(frozen=True)
class SecondsPerEdit:
    """Fitted seconds per image and per edit.

    Attributes:
        images: number of images fitted to.
        base: seconds per image, without any edit.
        kinds: seconds per edit, by kind; None where too few images have one.
        residual: root mean square of the residuals, seconds per image.
        mean: mean measured seconds per image.
    """

    images: int
    base: float
    kinds: Mapping[str, float | None]
    residual: float
    mean: float


@dataclass(frozen=True)
class Effort:
    """People's work on a campaign.

    Attributes:
        batches: those that people labeled, oldest first.
        fit: None where too little was measured.
    """

    batches: tuple[BatchEffort, ...]
    fit: SecondsPerEdit | None

    @property
    def timed(self) -> tuple[BatchEffort, ...]:
        """The batches whose every image was timed, so that sums are comparable."""
        return tuple(b for b in self.batches if b.timed_images == b.images)

    def measured(self) -> float:
        """Return the measured seconds of the fully timed batches."""
        return sum(b.measured or 0.0 for b in self.timed)

    def modeled(self, iou_threshold: float) -> float:
        """Return the WT of the fully timed batches, in seconds."""
        return sum(b.modeled[iou_threshold] for b in self.timed)

    @property
    def redone(self) -> tuple[BatchEffort, ...]:
        """The batches that were submitted again."""
        return tuple(b for b in self.batches if b.revision > 1)


def read_effort(paths: CampaignPaths, campaign: CampaignResults) -> Effort | None:
    """Read people's work on the finished batches; None where all were simulated.

    Args:
        paths: where the corrections are.
        campaign: the finished batches.

    Raises:
        ArtifactError: corrections are missing or damaged.
    """
    batches, seconds, edits = [], list[float](), list[Ledger]()
    for i, workload in enumerate(campaign.workloads):
        if workload.annotator == SIMULATED or not workload.images:
            continue  # nobody looked at a batch whose labels were all given
        made = artifacts.read_corrections(paths.corrections(workload.batch))
        corrections = as_reviewed(made.reviewed())
        # Seconds were spent on what was on the screen, planted errors included.
        shown = corrections.shown()
        per_image = {i: diff(shown[i], boxes) for i, boxes in corrections.boxes.items()}
        counted = corrections.counted()
        edits_of_batch = (diff(counted[i], boxes) for i, boxes in corrections.boxes.items())
        batches.append(
            BatchEffort(
                batch=workload.batch,
                images=workload.images,
                timed_images=workload.timed_images or 0,
                measured=workload.seconds,
                modeled={iou: campaign.batch_seconds(i, iou) for iou in campaign.iou_thresholds},
                edits=sum(edits_of_batch, Ledger()),
                reviewer=corrections.reviewer,
                revision=corrections.revision,
            )
        )
        if corrections.revision == 1:
            # The seconds of a redone batch include edits that are not in its final ledger.
            seconds += corrections.seconds.values()
            edits += (per_image[image_id] for image_id in corrections.seconds)
    return Effort(tuple(batches), fit(seconds, edits)) if batches else None


def to_table(effort: Effort) -> str:
    """Return effort.csv: seconds, exact edits and reviewers, a row per batch."""
    return to_csv(
        [
            {
                "batch": b.batch,
                "images": b.images,
                "timed_images": b.timed_images,
                "measured_seconds": b.measured,
                **{f"modeled_seconds_iou_{iou:g}": value for iou, value in b.modeled.items()},
                **asdict(b.edits),
                "reviewer": b.reviewer,
                "revision": b.revision,
            }
            for b in effort.batches
        ]
    )


def to_metrics(effort: Effort) -> dict[str, object]:
    """Return entries for metrics.json: ``redone``, and ``seconds_per_edit`` where fitted."""
    result: dict[str, object] = {"redone": len(effort.redone)}
    if effort.fit is not None:
        kinds = {kind: value for kind, value in effort.fit.kinds.items() if value is not None}
        ends = {"residual": effort.fit.residual}
        result["seconds_per_edit"] = {"image": effort.fit.base, **kinds, **ends}
    return result


def fit(seconds: Sequence[float], edits: Sequence[Ledger]) -> SecondsPerEdit | None:
    """Fit seconds to counts of edits by non-negative least squares (Lawson and Hanson 1974).

    Args:
        seconds: measured on each of n images.
        edits: counts on the same images.

    Returns:
        None where there are fewer than 30 images, or the counts of edits are linearly dependent.
    """
    if len(seconds) < _FEWEST_IMAGES:
        return None
    counts: Floats = np.array([astuple(ledger) for ledger in edits], dtype=np.float64)
    used = [i for i in range(len(EDITS)) if (counts[:, i] > 0).sum() >= _FEWEST_WITH]
    design = np.column_stack([np.ones(len(seconds)), counts[:, used]])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    target = np.asarray(seconds, dtype=np.float64)
    from scipy.optimize import nnls  # takes a second to import, and few reports need it

    solution, norm = nnls(design, target)
    costs = dict(zip((EDITS[i] for i in used), solution[1:].tolist(), strict=True))
    return SecondsPerEdit(
        images=len(seconds),
        base=float(solution[0]),
        kinds={kind: costs.get(kind) for kind in EDITS},
        residual=float(norm) / len(seconds) ** 0.5,
        mean=float(target.mean()),
    )
