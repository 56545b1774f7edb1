"""Count, image by image, what people found with proposals and without.

Where a dataset came with annotations, they are the yardstick: which objects were found, how tight
the boxes are, which labels are right. Where nobody knows the truth, the detector's proposals are:
they were made before anybody looked, for the images that were shown without them too. They are no
truth, but chance decided which images were blind, so the same detector's mistakes are in both, and
what differs between the two is what showing the proposals did.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from boxloop.core.boxes import area, iou_matrix, match, paired_iou
from boxloop.core.edits import Ledger
from boxloop.core.types import Boxes, Floats

SAME_OBJECT = 0.3
"""IoU from which two boxes are of one object. It is low, as how tight a box is, is told apart."""

SMALL = 1 / 3
"""The share of the objects that counts as small: those of least area."""

_EDGE = 0.5
"""Pixels from the image's edge within which a side lies at it."""


@dataclass(frozen=True)
class Look:
    """One image, as one person labeled it.

    Attributes:
        image: its id.
        batch: that it was labeled in.
        reviewer: who did it.
        blind: whether no proposals were shown.
        final: the boxes submitted.
        proposed: the detector's boxes from the batch's threshold on, shown or not, without planted
            errors.
        size: (width, height) of the image in pixels.
        truth: the dataset's own boxes, where it has any.
        alone: whether nothing was proposed for the whole batch, so that it tells of time only.
        seconds: active ones, where measured.
        edits: from what was shown to ``final``.
    """

    image: str
    batch: str
    reviewer: str
    blind: bool
    final: Boxes
    proposed: Boxes
    size: tuple[int, int]
    truth: Boxes | None = None
    alone: bool = False
    seconds: float | None = None
    edits: Ledger = field(default_factory=Ledger)


def small_area(looks: Iterable[Look]) -> float:
    """Return the area, in square pixels, below which an object counts as small; 0 without any."""
    areas = [area((look.final if look.truth is None else look.truth).xyxy) for look in looks]
    everything = np.concatenate(areas) if areas else np.zeros(0)
    return float(np.quantile(everything, SMALL)) if len(everything) else 0.0


def count(look: Look, small: float) -> dict[str, tuple[float, float]]:
    """Count one image by the truth, or else by the proposals.

    Args:
        look: the image.
        small: of :func:`small_area`.

    Returns:
        By the name of a measure, (what was counted, out of how many). By the truth:

        - ``recall``: objects found, of all; ``unproposed`` and ``unproposed_small``: of those that
          no proposal lies on; ``labels``: found ones with the right label; ``wrong_labels_left``:
          wrong labels of proposals that the final box has, too.

        By the proposals:

        - ``boxes``: final boxes, of 1 image; ``drawn`` and ``drawn_small``: those that no proposal
          lies on; ``confirmed``: proposals that a final box lies on, of all; ``agreed``: the same
          label, of those confirmed.

        By either: ``tightness``, the sum of IoUs with the boxes of the yardstick, of the boxes
        matched; ``margin``, the sum of :func:`margins`, of the sides that have one.
    """
    if look.truth is None:
        pairs = _match(look.final, look.proposed)
        alone = np.delete(area(look.final.xyxy), [row for row, _ in pairs])
        return {
            "boxes": (len(look.final), 1),
            "drawn": (len(alone), 1),
            "drawn_small": (int((alone < small).sum()), 1),
            "confirmed": (len(pairs), len(look.proposed)),
            "agreed": (_same(look.final, look.proposed, pairs), len(pairs)),
            **_tight(look, look.proposed, pairs),
        }
    pairs = _match(look.final, look.truth)
    found = {column: row for row, column in pairs}
    covered = {column: row for row, column in _match(look.proposed, look.truth)}
    alone_at = [i for i in range(len(look.truth)) if i not in covered]
    areas = area(look.truth.xyxy)
    small_at = [i for i in alone_at if areas[i] < small]
    wrong = [
        (str(look.proposed.labels[row]), found[i])
        for i, row in covered.items()
        if i in found and look.proposed.labels[row] != look.truth.labels[i]
    ]
    return {
        "recall": (len(pairs), len(look.truth)),
        "unproposed": (sum(i in found for i in alone_at), len(alone_at)),
        "unproposed_small": (sum(i in found for i in small_at), len(small_at)),
        "labels": (_same(look.final, look.truth, pairs), len(pairs)),
        "wrong_labels_left": (
            sum(label == look.final.labels[row] for label, row in wrong),
            len(wrong),
        ),
        **_tight(look, look.truth, pairs),
    }


def margins(drawn: Floats, around: Floats, size: tuple[int, int]) -> Floats:
    """Return (n, 4) by how many pixels each side of a box lies beyond that of the other of its row.

    A side at the image's edge has none (NaN): nobody can draw farther.

    Args:
        drawn: (n, 4) boxes.
        around: (n, 4) boxes of the same objects.
        size: (width, height) of the image.
    """
    outward, ends = np.array([-1.0, -1.0, 1.0, 1.0]), np.array([0, 0, *size])
    at_edge = (np.abs(drawn - ends) < _EDGE) | (np.abs(around - ends) < _EDGE)
    return np.asarray(np.where(at_edge, np.nan, (drawn - around) * outward))


def _match(boxes: Boxes, others: Boxes) -> list[tuple[int, int]]:
    return match(iou_matrix(boxes.xyxy, others.xyxy), np.True_, SAME_OBJECT)


def _same(boxes: Boxes, others: Boxes, pairs: list[tuple[int, int]]) -> int:
    return sum(bool(boxes.labels[row] == others.labels[column]) for row, column in pairs)


def _tight(
    look: Look, others: Boxes, pairs: list[tuple[int, int]]
) -> dict[str, tuple[float, float]]:
    own = look.final.xyxy[[row for row, _ in pairs]]
    yardstick = others.xyxy[[column for _, column in pairs]]
    beyond = margins(own, yardstick, look.size)
    return {
        "tightness": (float(paired_iou(own, yardstick).sum()), len(pairs)),
        "margin": (float(np.nansum(beyond)), int(np.isfinite(beyond).sum())),
    }
