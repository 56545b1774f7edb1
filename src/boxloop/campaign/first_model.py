"""The foundation model of the first batch, as a campaign's files know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from boxloop.campaign import artifacts
from boxloop.campaign.digests import digest
from boxloop.core.existing import asked_model
from boxloop.core.types import Corrections, FittedThreshold, Proposals
from boxloop.errors import ArtifactError, ProtectedLabelsError
from boxloop.params import FirstParams, Params

_HALF = 16
"""Digits of an origin that tell the parameters; the others tell the classes."""


def of_turn(params: Params, turn: str) -> FirstParams | None:
    """Return the model that a turn's boxes come from; None where they are the detector's.

    Proposals that were imported for the first batch come before it.
    """
    first = next(iter(params.iterations))
    given = turn == first and params.iterations[turn].proposals is not None
    return params.propose.first if turn == first and not given else None


def origin(model: FirstParams, classes: Sequence[str]) -> str:
    """Return what stands for a checkpoint's digest in the proposals of a model.

    It is made of the names of the model and the classes, and the prompts: another content of the
    same folder is not seen.
    """
    asked = digest(model.model_dump(mode="json", include={"model", "prompts"}))
    return asked[:_HALF] + digest(list(classes))[:_HALF]


def expected_origin(params: Params, turn: str, images: Path) -> str | None:
    """Return the origin that a turn's proposals should have; None where they are a detector's.

    Raises:
        ArtifactError: the file of all images cannot be read.
    """
    model = of_turn(params, turn)
    return None if model is None else origin(model, artifacts.read_images(images).classes)


def with_threshold(model: FirstParams, ious: Sequence[float], proposals: Proposals) -> Proposals:
    """Return a model's proposals with the threshold that they are shown from, for each IoU.

    Nothing is known of its scores before anybody has corrected it, and it proposes only once.
    """
    score, why = model.shown_from(asked_model(proposals.detector) or proposals.detector)
    score = max(score, proposals.score_floor)
    rows = tuple(FittedThreshold(iou, score, None, why) for iou in dict.fromkeys(ious))
    return replace(proposals, thresholds=rows)


def is_models(path: Path) -> bool:
    """Return whether a file holds proposals of such a model; a damaged one does not."""
    try:
        return asked_model(artifacts.read_proposals(path).detector) is not None
    except ArtifactError:
        return False


def require_unseen(wanted: str | None, turn: str, submitted: Sequence[Corrections]) -> None:
    """Refuse to put other boxes under what people have corrected, at least in part.

    Args:
        wanted: origin of the new proposals; None where they would be a detector's.
        turn: the first one.
        submitted: what people have submitted.

    Raises:
        ProtectedLabelsError: they were shown something else.
    """
    asked = wanted and wanted[:_HALF]
    for item in submitted:
        offered = item.proposals
        if item.batch != turn:
            continue
        # Where labels were shown beside, their digest comes first.
        made_by = offered.checkpoint.split(", ")[-1]
        shown = made_by[:_HALF] if asked_model(offered.detector) is not None else None
        if shown == asked:
            continue
        way_out = (
            "take propose.first out of params.yaml"
            if shown is None
            else "put propose.first in params.yaml back as it was"
        )
        raise ProtectedLabelsError(
            f"propose.first was changed, but {turn} is reviewed already, at least in part, and its"
            f" edits are counted against the proposals that were shown: {way_out}"
        )
