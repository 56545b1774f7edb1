"""Labels that images had before a campaign, shown as proposals: told from a detector's.

Their boxes score 1, which no other proposal of their batch does, and are shown from whatever score
others are. They say nothing of a detector: no threshold is fitted by them. Which images have them
is told by the ids of their boxes, which a proposal keeps wherever it goes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from boxloop.core.types import Boxes, BoxesByImage, Corrections, Proposals
from boxloop.params.words import EMPTY, FILE, LABELS, ZERO_SHOT

PREFIX = "label"
"""What the ids of their boxes begin with: label0, label1, ..."""

SURE = 1 - 2.0**-20
"""The highest score threshold where there are any: labels reach it, and nothing else does."""

_BELOW = float(np.nextafter(SURE, 0))


def as_proposals(boxes: Boxes) -> Boxes:
    """Return an image's labels as its proposals, with a score of 1."""
    return Boxes.build(boxes.xyxy, boxes.labels.tolist(), np.ones(len(boxes)), prefix=PREFIX)


def is_existing(proposals: Boxes) -> bool:
    """Return whether an image's proposals are labels that it had before."""
    return any(name.startswith(PREFIX) for name in proposals.ids[:1].tolist())


def below_labels(proposals: Boxes) -> Boxes:
    """Return proposals of which none scores as labels do: what scores more is set just below."""
    assert proposals.scores is not None
    if not (proposals.scores > _BELOW).any():
        return proposals
    return replace(proposals, scores=np.minimum(proposals.scores, _BELOW))


def makers(detector: str) -> set[str]:
    """Return what made a batch's proposals, by the name that stands for their detector."""
    return set(detector.split(", "))


def asked_model(detector: str) -> str | None:
    """Return the architecture of the foundation model that made some proposals, if one did."""
    names = (m.removeprefix(ZERO_SHOT) for m in makers(detector) if m.startswith(ZERO_SHOT))
    return next(names, None)


def of_turns(detector: str) -> bool:
    """Return whether a detector that a campaign trained is among what made proposals."""
    others = makers(detector) - {EMPTY, FILE, LABELS}
    return bool(others) and asked_model(detector) is None


def has_labels(proposals: Proposals) -> bool:
    """Return whether labels that exist are among a batch's proposals."""
    return LABELS in makers(proposals.detector)


def without_labels(corrections: Corrections) -> list[str]:
    """Return the images of a batch whose proposals were no labels, in their order."""
    offered = corrections.proposals.boxes
    return [image_id for image_id in corrections.boxes if not is_existing(offered[image_id])]


def first(image_ids: Iterable[str], labels: BoxesByImage) -> list[str]:
    """Return images in their order, those that have labels before all others."""
    return sorted(image_ids, key=lambda image_id: image_id not in labels)
