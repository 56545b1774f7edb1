"""Collect what a delivered model is made of, and judged by, from a campaign's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from boxloop.campaign import artifacts, crop_classes, newer, pixels
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults, read_results
from boxloop.core import crop_classes as core
from boxloop.core.completeness import only_judgeable
from boxloop.core.crop_classes import Choice
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
        crops: whether classes are those of labeled crops, as in ``evidence`` and ``last``.
    """

    results: CampaignResults
    labeled: LabeledSet
    evidence: tuple[Evidence, ...]
    last: Corrections | None
    trained_on: dict[str, int]
    crops: Choice

    @property
    def newest(self) -> str:
        """The key of the last finished turn."""
        return self.results.workloads[-1].batch


def read_labels(paths: CampaignPaths, params: Params) -> Labels:
    """Read all finished turns.

    Raises:
        UserError: none is finished.
        ArtifactError: a file is missing, damaged or stale, people have submitted newer labels, or
            an image is gone or another one than was labeled.
    """
    results = read_results(paths, params)
    keys = [workload.batch for workload in results.workloads]
    if not keys:
        raise UserError(
            f"nothing is labeled yet in {paths.images.parent}: 'dvc repro' says what comes first"
        )
    source = paths.labeled(keys[-1])
    labeled = artifacts.read_labeled(source)
    if turns_of(labeled.batches) != keys:
        raise ArtifactError(
            f"{source} is made of {', '.join(turns_of(labeled.batches))}, but"
            f" {', '.join(keys)} are done: 'dvc repro' brings them together"
        )
    evidence: list[Evidence] = []
    last: Corrections | None = None
    last_by_crops: Corrections | None = None
    trained_on = {}
    made = [artifacts.read_corrections(paths.corrections(key)) for key in keys]
    images, by_key = artifacts.read_images(paths.images), dict(zip(keys, made, strict=True))
    pixels.require_same(paths, labeled, by_key, images.by_id())
    newer.require_newest(paths, labeled, source, by_key, images)
    for key, (own, other) in zip(keys, crop_classes.both_kinds(paths, made), strict=True):
        log = artifacts.read_training(paths.training(key))
        trained_on[key] = log.images
        if log.held_out is not None:
            judged = crop_classes.judge_held_out(params, log.held_out, labeled, whole=False)
            evidence.append(judged)
        found = _judge(params, key, own, labeled.classes)
        if found is not None:
            item, last = found
            by_crops = None if other is None else _judge(params, key, other, labeled.classes)
            last_by_crops = None if by_crops is None else by_crops[1]
            crops = () if by_crops is None else by_crops[0].edits
            evidence.append(replace(item, crops=crops))
    choice = crop_classes.for_a_model(params, evidence)
    if choice.used:
        evidence, last = core.by_crops(evidence), last_by_crops
    return Labels(results, labeled, tuple(evidence), last, trained_on, choice)


def _judge(
    params: Params, key: str, corrections: Corrections, classes: Sequence[str]
) -> tuple[Evidence, Corrections] | None:
    """Judge a batch, and return what it was judged by; None where no turn's detector proposed."""
    corrections = only_judgeable(corrections, classes)
    offered, images = corrections.proposals, without_labels(corrections)
    if not (images and of_turns(offered.detector)):
        return None
    part = corrections.part(images)
    proposed, final = part.proposals.boxes, dict(part.boxes)
    return sweep(key, proposed, final, params.judged_ious, offered.score_floor), part
