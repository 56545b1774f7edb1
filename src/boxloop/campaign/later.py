"""What a detector proposes of one class for images that were reviewed before there was that class.

It lies in ``.boxloop/`` for the sessions that show it. What was shown goes into the submissions,
among the proposals of the image's batch, told from them by its ids
(:data:`boxloop.core.box_set.LATER`).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from boxloop.campaign import artifacts, class_changes, old_classes, screening
from boxloop.campaign.crop_classes import of_detectors
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.box_set import LATER
from boxloop.core.boxes import iou_matrix, same_label
from boxloop.core.class_thresholds import fit_classes
from boxloop.core.types import Boxes, ImageRef, ImageSet, Proposals
from boxloop.core.workload import find_cost_model
from boxloop.params import FITTED, Params
from boxloop.terminal import counted

_SAME = 0.5
"""IoU from which on a proposal is a box that the image has."""


def session_name(wanted: str) -> str:
    """Return what a session for a class is called where others have the key of their batch."""
    plain = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:20]
    return f"for-{plain}-{hashlib.sha256(wanted.encode()).hexdigest()[:6]}"


def proposals_file(paths: CampaignPaths, wanted: str) -> Path:
    """Return where the proposals for a class are."""
    return paths.state / "later" / f"{session_name(wanted)}.json"


def read(paths: CampaignPaths, wanted: str) -> Proposals | None:
    """Return the proposals for a class, down to the score that they are shown from.

    Returns:
        Boxes of that class alone, and as ``batch`` the turn whose detector made them; None where no
        detector knows the class.
    """
    path = proposals_file(paths, wanted)
    return artifacts.read_proposals(path) if path.exists() else None


@dataclass(frozen=True)
class Asked:
    """What the latest detector is asked for.

    Attributes:
        turn: the detector's.
        images: those that are not complete for the class.
        threshold: from which score on its boxes are shown; 1 where they would cost more than they
            save.
    """

    turn: str
    images: tuple[ImageRef, ...]
    threshold: float


def ask(paths: CampaignPaths, params: Params, wanted: str) -> Asked | None:
    """Choose the detector, the images and the threshold for a class.

    Returns:
        None where no detector was trained on a box of the class, or no image needs one.
    """
    if not paths.images.exists():
        return None
    turn = _latest(paths, params, wanted)
    images = artifacts.read_images(paths.images)
    if turn is None or wanted not in images.classes or _was_another(paths, params, wanted, images):
        return None
    corrections = map(paths.corrections, params.iterations)
    incomplete = screening.read(paths.journals, corrections, images).incomplete
    chosen = tuple(image for image in images.images if wanted in incomplete.get(image.id, ()))
    return Asked(turn, chosen, _threshold(paths, params, wanted)) if chosen else None


def _latest(paths: CampaignPaths, params: Params, wanted: str) -> str | None:
    """Return the last turn that has a detector, where that was trained on boxes of the class."""
    for turn in reversed(params.iterations):
        if paths.detector(turn).exists():
            labeled = paths.labeled(params.iterations[turn].previous)
            if not labeled.exists():
                return None
            boxes = artifacts.read_labeled(labeled).boxes.values()
            return turn if any(wanted in item.labels for item in boxes) else None
    return None


def _was_another(paths: CampaignPaths, params: Params, wanted: str, images: ImageSet) -> bool:
    """Tell whether the detectors were trained before another class gave up the name."""
    if all(change.old != wanted for change in class_changes.read(*paths.journals)):
        return False
    files = {key: paths.corrections(key) for key in params.iterations}
    made = {key: artifacts.read_corrections(p) for key, p in files.items() if p.exists()}
    return bool(old_classes.find(paths, made, images)[0])


def _threshold(paths: CampaignPaths, params: Params, wanted: str) -> float:
    """Return the review's threshold, or where it is fitted the one of least WT for the class."""
    asked = params.review.score_threshold
    if asked != FITTED:
        return float(asked)
    found = (paths.evidence(turn) for turn in reversed(params.iterations))
    path = next((path for path in found if path.exists()), None)
    evidence = () if path is None else artifacts.read_evidence(path)
    own = of_detectors(params, evidence)
    model, floor = find_cost_model(params.account.cost_model), params.propose.score_floor
    [row] = fit_classes(own, (wanted,), params.review.iou_threshold, model, floor=floor)
    return row.least_wt


def of_class(boxes: Boxes, wanted: str, threshold: float) -> Boxes:
    """Return a detector's boxes of a class that are to be shown."""
    found = boxes.above(threshold)
    return found.select(np.asarray(found.labels == wanted))


def not_boxed(proposed: Boxes, boxes: Boxes) -> Boxes:
    """Return the proposals that are at no box of their class.

    An image can have such boxes where a class was merged with one that could be chosen.
    """
    at = (iou_matrix(proposed.xyxy, boxes.xyxy) >= _SAME) & same_label(proposed, boxes)
    return proposed.select(np.asarray(~at.any(axis=1)))


def name(proposed: Boxes, turn: str, before: Boxes) -> Boxes:
    """Return proposals with ids that say of which turn they are, and are in no set before."""
    start = int(before.later().sum())
    names = [f"{LATER}{turn}:{start + i}" for i in range(len(proposed))]
    return replace(proposed, ids=np.array(names, np.str_))


def images_of(found: Iterable[Boxes]) -> tuple[int, int]:
    """Return how many boxes there are, and on how many images."""
    counts = [len(boxes) for boxes in found]
    return sum(counts), sum(map(bool, counts))


def in_words(offered: Proposals, wanted: str) -> str:
    """Say what a session shows of a class."""
    boxes, images = images_of(offered.boxes.values())
    if not boxes:
        return f"the detector of {offered.batch} finds no {wanted} on these images"
    return (
        f"{counted(boxes, 'box')} of {wanted} on {counted(images)}, which the detector of"
        f" {offered.batch} proposes, shown from a score of {offered.score_floor:g}"
    )
