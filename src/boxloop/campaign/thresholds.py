"""Fit a batch's score threshold to what is known, and tell which one is in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from boxloop.campaign import artifacts, crop_classes, first_model, neighbours
from boxloop.campaign.crop_classes import judge_held_out
from boxloop.campaign.paths import CampaignPaths
from boxloop.core import existing
from boxloop.core.completeness import known_only
from boxloop.core.crop_classes import by_crops as evidence_by_crops
from boxloop.core.crop_classes import crop_boxes, own_boxes
from boxloop.core.evidence import Evidence, sweep
from boxloop.core.likeness import likeness
from boxloop.core.threshold import (
    FITTED_TO_NOTHING,
    LABELS_ALONE,
    NO_PROPOSALS,
    fit_all,
    no_proposals,
)
from boxloop.core.types import (
    NOTHING,
    Batch,
    Corrections,
    FittedThreshold,
    LabeledSet,
    Proposals,
)
from boxloop.core.workload import find_cost_model
from boxloop.errors import ArtifactError
from boxloop.params import EMPTY, FILE, FITTED, LABELS, Params, ReviewParams
from boxloop.terminal import percent

_SPREAD = ("random", "dissimilar")
"""Orders whose batches are alike: a comparison could only be wrong there."""


def with_thresholds(
    params: Params,
    proposals: Proposals,
    evidence: Sequence[Evidence],
    held_out: Proposals | None = None,
    labels: LabeledSet | None = None,
) -> Proposals:
    """Return proposals with a threshold per IoU, fitted before anybody has seen them.

    Args:
        params: of the campaign.
        proposals: of the batch that comes next.
        evidence: of the batches before it, the oldest first.
        held_out: proposals for a part of the first batch, where there are any.
        labels: of at least the images held out.

    Returns:
        Proposals without thresholds where ``review.score_threshold`` is a number, unless they are
        a foundation model's, which has a threshold of its own.

    Raises:
        ArtifactError: an image that was held out has no labels.
    """
    asked = params.propose.first
    if asked is not None and existing.asked_model(proposals.detector) is not None:
        return first_model.with_threshold(asked, params.judged_ious, proposals)
    if params.review.score_threshold != FITTED:
        return replace(proposals, thresholds=())
    ious, floor = params.judged_ious, proposals.score_floor
    if _unscored(proposals):
        found = LABELS_ALONE if existing.has_labels(proposals) else NO_PROPOSALS
        return replace(proposals, thresholds=no_proposals(ious, floor=floor, found=found))
    # Another program's scores say nothing about a detector's, nor the other way round.
    imported = FILE in existing.makers(proposals.detector)
    given = {key for key, turn in params.iterations.items() if turn.proposals is not None}
    of_files = [item for item in evidence if item.batch in given]
    known = of_files if imported else crop_classes.of_detectors(params, evidence)
    like, by_crops = None, proposals.crops is not None and proposals.crops.used
    if held_out is not None and not imported:
        labels = labels or LabeledSet((), (), {})
        judged = judge_held_out(params, held_out, labels)
        if not is_spread(params):
            # Later evidence is of other detectors, whose scores are not to be compared with these.
            offered = (crop_boxes if by_crops else own_boxes)(held_out) or {}
            like = likeness(judged, known_only(offered, labels.incomplete), proposals.boxes)
        known.insert(0, judged)
    if by_crops:
        known = evidence_by_crops(known)
    model = find_cost_model(params.account.cost_model)
    held = None if held_out is None else held_out.batch
    fitted = fit_all(known, ious, model, floor=floor, like=like, held_out=held)
    return replace(proposals, thresholds=fitted)


def is_spread(params: Params) -> bool:
    """Return whether the first two batches are both of the whole set, by the order of images.

    Where images that came with labels are what was held out of, no order tells.
    """
    return params.order.strategy in _SPREAD and params.dataset.labels != "trusted"


def _unscored(proposals: Proposals) -> bool:
    """Return whether no proposal has a score to fit a threshold by: labels, or nothing."""
    return existing.makers(proposals.detector) <= {EMPTY, LABELS}


def fit_to_files(
    params: Params, proposals: Proposals, evidence: Path, labeled: Path, training: Path
) -> Proposals:
    """Return proposals with thresholds fitted to files; a number needs none, and none is read.

    Args:
        params: of the campaign.
        proposals: of the batch that comes next.
        evidence: of the batches before it.
        labeled: everything labeled before it.
        training: of its detector.

    Raises:
        ArtifactError: a file is missing or damaged, or does not fit the others.
    """
    alone = _unscored(proposals) or existing.asked_model(proposals.detector) is not None
    if params.review.score_threshold != FITTED or alone:
        return with_thresholds(params, proposals, ())
    held_out = artifacts.read_training(training).held_out
    labels = None if held_out is None else artifacts.read_labeled(labeled)
    known = artifacts.read_evidence(evidence)
    return with_thresholds(params, proposals, known, held_out, labels)


def refit(paths: CampaignPaths, params: Params, key: str) -> Proposals:
    """Fit the thresholds of a turn anew, without proposing again; keep the file if they stay.

    Whose classes are shown, and what neighbours' labels change, is chosen anew, too.
    """
    before, out = params.iterations[key].previous, paths.proposals(key)
    files = (paths.evidence(before), paths.labeled(before), paths.training(key))
    made, digests = artifacts.read_dated_proposals(out)
    off = params.propose.neighbours != FITTED
    batch = Batch(key, tuple(made.boxes)) if off else artifacts.read_batch(paths.batch(key))
    names = {"evidence": files[0], "labeled": files[1], "training": files[2]}
    found = crop_classes.choose_by_files(params, neighbours.as_proposed(made), *files)
    found = neighbours.mend_by_files(params, found, {**names, "images": paths.images}, batch)
    found = fit_to_files(params, found, *files)
    if found != made:
        artifacts.write_proposals(out, found, digests)
    return found


def read_known(params: Params, path: Path) -> tuple[Evidence, ...]:
    """Read the evidence of the batches before.

    Raises:
        ArtifactError: the file is damaged, or is missing where a threshold is to be fitted. (Where
            it is a number none is needed, and the dvc.yaml of an older boxloop makes none.)
    """
    needed = params.review.score_threshold == FITTED
    return artifacts.read_evidence(path) if needed or path.exists() else ()


def with_batch(
    params: Params, evidence: Sequence[Evidence], corrections: Corrections
) -> tuple[Evidence, ...]:
    """Return the evidence with that of one batch more.

    Neither the empty detector's proposals are any, nor labels that existed.
    """
    offered, judged = corrections.proposals, existing.without_labels(corrections)
    if _unscored(offered) or not judged:
        return tuple(evidence)
    proposed = {image_id: offered.boxes[image_id] for image_id in judged}
    final = {image_id: corrections.boxes[image_id] for image_id in judged}
    new = sweep(offered.batch, proposed, final, params.judged_ious, offered.score_floor)
    return (*evidence, new)


def shown_from(review: ReviewParams, proposals: Proposals, path: Path) -> float:
    """Return the score from which a batch's proposals are shown.

    Labels that exist are shown in any case. A foundation model's scores are no detector's: its
    proposals carry a threshold of their own.

    Args:
        review: names it, or has it fitted.
        proposals: of the batch.
        path: their file, for the error.

    Raises:
        ArtifactError: it is to be fitted, and was not when these proposals were made.
    """
    most = existing.SURE if existing.has_labels(proposals) else NOTHING
    asked = existing.asked_model(proposals.detector) is not None
    if review.score_threshold != FITTED and not asked:
        return min(float(review.score_threshold), most)
    found = proposals.fitted(review.iou_threshold)
    if found is None:
        raise ArtifactError(
            f"{path} has no score threshold fitted at IoU {review.iou_threshold:g}: 'dvc repro'"
            " fits it, or set review.score_threshold to a number"
        )
    return min(found.score, most)


def in_words(fitted: FittedThreshold, detector: str = "") -> str:
    """Say in half a sentence from where on proposals are shown, and why.

    Args:
        fitted: the threshold.
        detector: what made the proposals; labels that exist are shown beside it.
    """
    beside = "beside the labels that images have, " if LABELS in existing.makers(detector) else ""
    if fitted.found == NO_PROPOSALS:
        return "nothing is proposed yet"
    if fitted.found == LABELS_ALONE:
        return "the labels that its images have are shown"
    if fitted.expected_saving is None and fitted.found != FITTED_TO_NOTHING:
        return f"{beside}shown from a score of {fitted.score:g}, {fitted.found}"
    if fitted.found == FITTED_TO_NOTHING:
        return f"{beside}shown from a score of {fitted.score:g}, because nothing is known of it yet"
    judges = f"the {fitted.found}" if fitted.found.startswith("held-out") else fitted.found
    if fitted.score >= NOTHING:
        little = "it would save next to nothing, or lose"
        return f"{beside}nothing is shown: judged by {judges}, {little}"
    saving = percent(fitted.expected_saving or 0.0)
    return (
        f"{beside}shown from a score of {fitted.score:g}, which should save {saving} of the time,"
        f" judged by {judges}"
    )
