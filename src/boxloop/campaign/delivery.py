"""Collect what a delivered model is made of, and judged by, from a campaign's files."""

from __future__ import annotations

from dataclasses import dataclass

from boxloop.campaign import artifacts, crop_classes
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults, read_results
from boxloop.core.completeness import known_only, only_judgeable
from boxloop.core.evidence import Evidence, sweep
from boxloop.core.existing import of_turns, without_labels
from boxloop.core.labeled_set import turns_of
from boxloop.core.types import Corrections, LabeledSet
from boxloop.errors import ArtifactError, UserError
from boxloop.params import Params


@dataclass(frozen=True)
class Labels:
    """Everything that is labeled, and what the detectors of the turns proposed for it.

    Attributes:
        results: the finished batches.
        labeled: their boxes.
        evidence: what each turn's proposals would have cost at any threshold, the oldest first; no
            detector had seen the images that it is judged by.
        last: the newest batch that a detector proposed for; None where there is none.
        trained_on: images that the detector of each turn was trained on, by batch.
    """

    results: CampaignResults
    labeled: LabeledSet
    evidence: tuple[Evidence, ...]
    last: Corrections | None
    trained_on: dict[str, int]

    @property
    def newest(self) -> str:
        """The key of the last finished turn."""
        return self.results.workloads[-1].batch


def read_labels(paths: CampaignPaths, params: Params) -> Labels:
    """Read all finished turns.

    Raises:
        UserError: none is finished.
        ArtifactError: a file is missing, damaged or stale.
    """
    results = read_results(paths, params)
    keys = [workload.batch for workload in results.workloads]
    if not keys:
        raise UserError(
            f"nothing is labeled yet in {paths.images.parent}: 'dvc repro' says what comes first"
        )
    labeled = artifacts.read_labeled(paths.labeled(keys[-1]))
    if turns_of(labeled.batches) != keys:
        raise ArtifactError(
            f"{paths.labeled(keys[-1])} is made of {', '.join(turns_of(labeled.batches))}, but"
            f" {', '.join(keys)} are done: 'dvc repro' brings them together"
        )
    evidence, last, trained_on = [], None, {}
    made = [artifacts.read_corrections(paths.corrections(key)) for key in keys]
    for key, corrections in zip(keys, crop_classes.as_detected(paths, made), strict=True):
        log = artifacts.read_training(paths.training(key))
        trained_on[key] = log.images
        if log.held_out is not None:
            held, ious = log.held_out, params.judged_ious
            held_out = known_only(held.boxes, labeled.incomplete)
            final = {i: labeled.boxes[i] for i in held.boxes if i in labeled.boxes}
            final = dict(known_only(final, labeled.incomplete))
            evidence.append(sweep(held.batch, held_out, final, ious, held.score_floor))
        corrections = only_judgeable(corrections, labeled.classes)
        offered = corrections.proposals
        judged = without_labels(corrections)
        if judged and of_turns(offered.detector):
            last = corrections.part(judged)
            proposed, final = last.proposals.boxes, dict(last.boxes)
            evidence.append(sweep(key, proposed, final, params.judged_ious, offered.score_floor))
    return Labels(results, labeled, tuple(evidence), last, trained_on)
