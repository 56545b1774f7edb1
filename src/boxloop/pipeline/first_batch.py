"""Let a foundation model propose for the first batch, part of the step ``propose``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from boxloop.campaign import first_model
from boxloop.campaign.campaign import Campaign
from boxloop.core.types import ImageRef, Proposals
from boxloop.params import EMPTY, FirstParams


def require_unseen(campaign: Campaign, turn: str, classes: Sequence[str], out: Path) -> None:
    """Refuse to replace the first batch's proposals once somebody has submitted a part of it.

    Raises:
        ProtectedLabelsError: they would be others than those that were shown.
    """
    paths, params = campaign.paths, campaign.params
    is_first = turn in params.iterations and params.iterations[turn].previous == EMPTY
    if not is_first or out != paths.proposals(turn):
        return
    model = first_model.of_turn(params, turn)
    if model is None and not first_model.is_models(out):
        return
    from boxloop.review.people import read_submissions

    wanted = None if model is None else first_model.origin(model, classes)
    first_model.require_unseen(wanted, turn, read_submissions(paths, [turn]))


def propose(
    campaign: Campaign,
    turn: str,
    model: FirstParams,
    images: Sequence[ImageRef],
    classes: Sequence[str],
) -> Proposals:
    """Return what a foundation model finds on the images of the first batch.

    Raises:
        ParamsError: transformers is not installed, or the prompts cannot be used.
        WeightsError: the model cannot be had, or is of another kind.
    """
    from boxloop.models.detectors import promises
    from boxloop.models.detectors.transformers import zero_shot

    p = campaign.params.propose
    detector = zero_shot.load(model, classes, p.device)
    with campaign.reporting(f"proposing {turn} ({detector.name})") as progress:
        boxes = promises.propose(
            detector,
            images,
            score_floor=p.score_floor,
            batch_size=model.batch_size,
            progress=progress,
        )
    made_by = first_model.origin(model, classes)
    return Proposals(turn, detector.name, made_by, p.score_floor, boxes)
