"""Fit a batch's score threshold to what is known, and tell which one is in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from boxloop.campaign import artifacts
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.completeness import known_only
from boxloop.core.evidence import Evidence, sweep
from boxloop.core.threshold import FITTED_TO_NOTHING, NO_PROPOSALS, fit_all, no_proposals
from boxloop.core.types import (
    NOTHING,
    Corrections,
    FittedThreshold,
    LabeledSet,
    Proposals,
)
from boxloop.core.workload import find_cost_model
from boxloop.errors import ArtifactError
from boxloop.params import EMPTY, FILE, FITTED, Params, ReviewParams
from boxloop.terminal import percent


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
        Proposals without thresholds where ``review.score_threshold`` is a number.

    Raises:
        ArtifactError: an image that was held out has no labels.
    """
    if params.review.score_threshold != FITTED:
        return replace(proposals, thresholds=())
    ious, floor = params.judged_ious, proposals.score_floor
    if proposals.detector == EMPTY:
        return replace(proposals, thresholds=no_proposals(ious, floor=floor))
    # Another program's scores say nothing about a detector's, nor the other way round.
    imported = proposals.detector == FILE
    given = {key for key, turn in params.iterations.items() if turn.proposals is not None}
    known = [e for e in evidence if (e.batch in given) == imported]
    if held_out is not None and not imported:
        labels = labels or LabeledSet((), (), {})
        absent = set(held_out.boxes) - set(labels.boxes)
        if absent:
            raise ArtifactError(
                f"the detector of {proposals.batch} was trained on other labels than there are now"
                f" (image {min(absent)}, which was held out, has none): train it again"
            )
        offered = known_only(held_out.boxes, labels.incomplete)
        final = {i: labels.boxes[i] for i in held_out.boxes}
        final = dict(known_only(final, labels.incomplete))
        known.insert(0, sweep(held_out.batch, offered, final, ious, held_out.score_floor))
    model = find_cost_model(params.account.cost_model)
    return replace(proposals, thresholds=fit_all(known, ious, model, floor=floor))


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
    if params.review.score_threshold != FITTED or proposals.detector == EMPTY:
        return with_thresholds(params, proposals, ())
    held_out = artifacts.read_training(training).held_out
    labels = None if held_out is None else artifacts.read_labeled(labeled)
    known = artifacts.read_evidence(evidence)
    return with_thresholds(params, proposals, known, held_out, labels)


def refit(paths: CampaignPaths, params: Params, key: str) -> Proposals:
    """Fit the thresholds of a turn anew, without proposing again; keep the file if they stay."""
    before, out = params.iterations[key].previous, paths.proposals(key)
    files = (paths.evidence(before), paths.labeled(before), paths.training(key))
    made = artifacts.read_proposals(out)
    found = fit_to_files(params, made, *files)
    if found.thresholds != made.thresholds:
        artifacts.write_proposals(out, found)
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
    """Return the evidence with that of one batch more; the empty detector's proposals are none."""
    offered = corrections.proposals
    if offered.detector == EMPTY:
        return tuple(evidence)
    new = sweep(
        offered.batch, offered.boxes, corrections.boxes, params.judged_ious, offered.score_floor
    )
    return (*evidence, new)


def shown_from(review: ReviewParams, proposals: Proposals, path: Path) -> float:
    """Return the score from which a batch's proposals are shown.

    Args:
        review: names it, or has it fitted.
        proposals: of the batch.
        path: their file, for the error.

    Raises:
        ArtifactError: it is to be fitted, and was not when these proposals were made.
    """
    if review.score_threshold != FITTED:
        return float(review.score_threshold)
    found = proposals.fitted(review.iou_threshold)
    if found is None:
        raise ArtifactError(
            f"{path} has no score threshold fitted at IoU {review.iou_threshold:g}: 'dvc repro'"
            " fits it, or set review.score_threshold to a number"
        )
    return found.score


def in_words(fitted: FittedThreshold) -> str:
    """Say in half a sentence from where on proposals are shown, and why."""
    if fitted.found == NO_PROPOSALS:
        return "nothing is proposed yet"
    if fitted.found == FITTED_TO_NOTHING:
        return f"shown from a score of {fitted.score:g}, because nothing is known of it yet"
    if fitted.score >= NOTHING:
        return f"nothing is shown: judged by {fitted.found}, it would cost more than it saves"
    saving = percent(fitted.expected_saving or 0.0)
    return (
        f"shown from a score of {fitted.score:g}, which would have saved {saving} of the time on"
        f" {fitted.found}"
    )
