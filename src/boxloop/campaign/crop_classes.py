"""Choose whose classes a batch's proposals have, judge that, and say it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boxloop.campaign import artifacts, first_model
from boxloop.campaign.paths import CampaignPaths
from boxloop.core import crop_classes, existing
from boxloop.core.completeness import known_only
from boxloop.core.crop_classes import Choice
from boxloop.core.evidence import Evidence, SweptEdits, sweep
from boxloop.core.types import BoxesByImage, Corrections, CropUse, LabeledSet, Proposals
from boxloop.core.workload import find_cost_model
from boxloop.errors import ArtifactError
from boxloop.params import FITTED, Params
from boxloop.terminal import percent


def are_fitted(params: Params) -> bool:
    """Return whether crops may be looked at; they are judged by fitted thresholds alone."""
    return params.propose.crops == FITTED == params.review.score_threshold


def are_worth_trying(
    params: Params, evidence: Sequence[Evidence], held_out: Proposals | None
) -> bool:
    """Return whether labeled crops are to be looked at for the next batch.

    Args:
        params: of the campaign.
        evidence: of the batches before it, the oldest first.
        held_out: proposals for a part of the first batch, before all other evidence.
    """
    if not are_fitted(params):
        return False
    if held_out is not None:
        return held_out.crops is not None
    model, iou = find_cost_model(params.account.cost_model), params.review.iou_threshold
    known = [item for item in of_detectors(params, evidence) if iou in item.iou_thresholds]
    gain = crop_classes.could_save(known[-1], iou, model) if known else 0.0
    return gain >= crop_classes.WORTH_TRYING


def of_detectors(params: Params, evidence: Sequence[Evidence]) -> list[Evidence]:
    """Return the evidence of batches that the detectors of turns proposed for.

    Those of imported proposals and of a foundation model tell nothing of a detector's classes.
    """
    turns = params.iterations
    return [
        item
        for item in evidence
        if (item.batch not in turns or turns[item.batch].proposals is None)
        and first_model.of_turn(params, item.batch) is None
    ]


def are_worth_judging(params: Params, offered: Proposals, own: Evidence) -> bool:
    """Return whether labeled crops are to be looked at for a batch that is corrected already.

    They may pay for the batch after it, and were not looked at for this one. Without that, they
    could be used a batch later only.

    Args:
        params: of the campaign.
        offered: proposals of the batch.
        own: its evidence, by the detector's own classes.
    """
    its_detectors = offered.crops is None and existing.of_turns(offered.detector)
    return its_detectors and are_worth_trying(params, [own], None)


def judge_held_out(
    params: Params, held_out: Proposals, labels: LabeledSet, *, whole: bool = True
) -> Evidence:
    """Return the evidence of a part of the first batch that was held out of a training.

    Args:
        params: of the campaign.
        held_out: proposals for it.
        labels: of its images.
        whole: whether all of them must have some; else those without tell nothing.

    Raises:
        ArtifactError: one of its images has no labels, and must have.
    """
    absent = set(held_out.boxes) - set(labels.boxes)
    if whole and absent:
        raise ArtifactError(
            "the detector was trained on other labels than there are now"
            f" (image {min(absent)}, which was held out, has none): train it again"
        )
    final = {i: labels.boxes[i] for i in held_out.boxes if i not in absent}
    final = dict(known_only(final, labels.incomplete))
    own = known_only(crop_classes.own_boxes(held_out), labels.incomplete)
    judged = sweep(held_out.batch, own, final, params.judged_ious, held_out.score_floor)
    other = crop_classes.crop_boxes(held_out)
    if other is None:
        return judged
    other = known_only(other, labels.incomplete)
    found = sweep(held_out.batch, other, final, params.judged_ious, held_out.score_floor)
    return replace(judged, crops=found.edits)


def choose(
    params: Params,
    proposals: Proposals,
    evidence: Sequence[Evidence],
    held_out: Proposals | None,
    labels: LabeledSet | None,
) -> Proposals:
    """Return proposals with the detector's classes or those of crops, whichever should cost less.

    Args:
        params: of the campaign.
        proposals: of the batch that comes next; without crops they are returned as they are.
        evidence: of the batches before it, the oldest first.
        held_out: proposals for a part of the first batch, where there are any.
        labels: of at least its images.

    Raises:
        ArtifactError: an image that was held out has no labels.
    """
    if proposals.crops is None:
        return proposals
    if not are_fitted(params):
        return crop_classes.with_choice(proposals, crop_classes.NOT_ASKED)
    known = of_detectors(params, evidence)
    if held_out is not None and held_out.crops is not None:
        known.insert(0, judge_held_out(params, held_out, labels or LabeledSet((), (), {})))
    model, floor = find_cost_model(params.account.cost_model), proposals.score_floor
    choice = crop_classes.choose(known, params.judged_ious, model, floor=floor)
    return crop_classes.with_choice(proposals, choice)


def choose_by_files(
    params: Params, proposals: Proposals, evidence: Path, labeled: Path, training: Path
) -> Proposals:
    """Return :func:`choose` by files; none is read where crops were not looked at.

    Args:
        params: of the campaign.
        proposals: of the batch that comes next.
        evidence: of the batches before it.
        labeled: everything labeled before it.
        training: of its detector.

    Raises:
        ArtifactError: a file is missing or damaged, or does not fit the others.
    """
    if proposals.crops is None or not are_fitted(params):
        return choose(params, proposals, (), None, None)
    held_out = artifacts.read_training(training).held_out
    labels = None if held_out is None else artifacts.read_labeled(labeled)
    return choose(params, proposals, artifacts.read_evidence(evidence), held_out, labels)


def judge(
    params: Params, corrections: Corrections, offered: Proposals, evidence: Evidence
) -> Evidence:
    """Return a batch's evidence by both kinds of classes, where both are known.

    Args:
        params: of the campaign.
        corrections: of the batch.
        offered: its proposals of today; people may have corrected others, which tell nothing here.
        evidence: of the batch, by what was shown.
    """
    other = crop_classes.crop_boxes(offered)
    if other is None or offered.checkpoint != corrections.proposals.checkpoint:
        return evidence
    judged = existing.without_labels(corrections)
    final = {i: corrections.boxes[i] for i in judged}

    def edits(boxes: BoxesByImage) -> tuple[SweptEdits, ...]:
        part = {i: boxes[i] for i in judged}
        found = sweep(offered.batch, part, final, params.judged_ious, offered.score_floor)
        return found.edits

    return replace(evidence, edits=edits(crop_classes.own_boxes(offered)), crops=edits(other))


def in_words(use: CropUse | None) -> str:
    """Say in half a sentence whose classes are shown; "" where it is the detector's."""
    return "" if use is None else _say(use.used, use.expected_saving, use.found)


def recorded(content: Any) -> str:
    """Return :func:`in_words` of what a file of proposals records; "" of nothing."""
    try:
        return "" if content is None else _say(*map(content.get, _NAMES))
    except (AttributeError, KeyError, TypeError, ValueError):
        return ""


def by_crops(paths: CampaignPaths, done: Sequence[str]) -> dict[str, str]:
    """Return :func:`in_words` for those of these batches that had the classes of crops.

    Args:
        paths: of the campaign.
        done: the batches that are finished, in their order.

    Raises:
        ArtifactError: a file is damaged.
    """
    uses = {key: offered.crops for key, offered in _offered(paths, done).items()}
    return {key: words for key, use in uses.items() if (words := in_words(use))}


def both_kinds(
    paths: CampaignPaths, batches: Sequence[Corrections]
) -> list[tuple[Corrections, Corrections | None]]:
    """Return batches with their detectors' own classes and with those of crops, whatever was shown.

    Args:
        paths: of the campaign.
        batches: those that are finished, in their order.

    Returns:
        None in place of the second where crops were not looked at.

    Raises:
        ArtifactError: a file is damaged, or missing where crops were looked at.
    """
    offered = _offered(paths, [item.batch for item in batches], whole=True)

    def proposing(item: Corrections, boxes: BoxesByImage) -> Corrections:
        part = {image_id: boxes[image_id] for image_id in item.proposals.boxes}
        # Errors were planted among those that were shown.
        return replace(item, proposals=replace(item.proposals, boxes=part), planted={})

    result: list[tuple[Corrections, Corrections | None]] = []
    for item in batches:
        today, other = offered.get(item.batch), None
        if today is not None and today.checkpoint == item.proposals.checkpoint:
            by_crops = crop_classes.crop_boxes(today)
            other = None if by_crops is None else proposing(item, by_crops)
            item = proposing(item, crop_classes.own_boxes(today))
        result.append((item, other))
    return result


def for_a_model(params: Params, evidence: Sequence[Evidence]) -> Choice:
    """Choose whose classes a delivered model has.

    Crops count where they were looked at for the last batch before it was shown: where right
    classes could save little by then, the detector has learned them.

    Args:
        params: of the campaign.
        evidence: of all its batches, the oldest first.
    """
    if not (are_fitted(params) and evidence and evidence[-1].crops):
        return crop_classes.NOT_ASKED
    model, floor = find_cost_model(params.account.cost_model), params.propose.score_floor
    return crop_classes.choose(evidence, params.judged_ious, model, floor=floor)


def as_shown(paths: CampaignPaths, evidence: Sequence[Evidence]) -> Sequence[Evidence]:
    """Return evidence by the classes that the newest of its batches was shown with.

    Args:
        paths: of the campaign.
        evidence: of its batches, the oldest first.

    Raises:
        ArtifactError: the proposals are damaged.
    """
    path = paths.proposals(evidence[-1].batch) if evidence and evidence[-1].crops else None
    if path is None or not path.exists():
        return evidence
    crops = artifacts.read_proposals(path).crops
    return crop_classes.by_crops(evidence) if crops is not None and crops.used else evidence


def _offered(
    paths: CampaignPaths, done: Sequence[str], *, whole: bool = False
) -> dict[str, Proposals]:
    """Return the proposals of those of these batches that crops were looked at for.

    With ``whole`` none of their files may be missing.
    """
    judged = paths.evidence(done[-1]) if done else None
    if judged is None or not judged.exists():
        return {}
    # Proposals are large files, and the evidence tells which are needed.
    asked = [e.batch for e in artifacts.read_evidence(judged) if e.crops]
    files = {key: paths.proposals(key) for key in done if key in asked}
    return {key: artifacts.read_proposals(p) for key, p in files.items() if whole or p.exists()}


_NAMES = ("used", "expected_saving", "found")


def _say(used: Any, saved: Any, found: Any) -> str:
    if not used:
        return ""
    judges = f"the {found}" if str(found).startswith("held-out") else found
    return (
        f"classes by the labeled crops most alike, which should save {percent(saved)} of the time"
        f" more than the detector's own, judged by {judges}"
    )
