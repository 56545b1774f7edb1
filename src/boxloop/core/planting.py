"""Choose the images of a batch that are shown without proposals, and plant errors in others.

All follows from a seed, the batch's images and its proposals: a part of a batch, another reviewer
or a session that begins anew chooses the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

import numpy as np

from boxloop.core.boxes import iou_matrix
from boxloop.core.existing import is_existing
from boxloop.core.planted import KINDS, Kind, PlantedError, as_shown
from boxloop.core.types import Boxes, ImageRef, Proposals

_K = TypeVar("_K", bound=tuple[str, ...])
_Place = tuple[float, float, float, float]

SHIFTS = (0.4, 0.55)
"""By how much of its width or height a box is shifted: it overlaps itself by an IoU of 0.43 to
0.29, so that it is wrong at any threshold."""

DOUBLE_SHIFT = 0.06
"""By how much of its sides a second box is shifted: by an IoU of 0.79, less than what a submission
takes for drawn twice."""

_CLASH = 0.9
"""IoU from which two boxes of one class would be refused as drawn twice, with some room."""


@dataclass(frozen=True)
class Trials:
    """What a batch's people are tried by.

    Attributes:
        blind: images shown without proposals.
        planted: errors among the proposals, by image.
    """

    blind: frozenset[str] = frozenset()
    planted: Mapping[str, tuple[PlantedError, ...]] = field(default_factory=dict)


def choose(
    proposals: Proposals,
    score_threshold: float,
    images: Mapping[str, ImageRef],
    classes: Sequence[str],
    *,
    blind_fraction: float,
    plant_fraction: float,
    seed: int,
) -> Trials:
    """Choose the blind images of a batch, and plant errors among the proposals of the others.

    Images whose proposals are labels that they had before are left alone, and so is a batch that no
    proposal is shown of. Errors are planted among the better half of the proposals first: of those
    most are right, so that there is an error afterwards.

    Args:
        proposals: of the whole batch.
        score_threshold: proposals that score less are not shown.
        images: at least those of the batch, by id.
        classes: what a box can be relabeled to.
        blind_fraction: of the images.
        plant_fraction: of the proposals that are shown on the other images.
        seed: of all choices.
    """
    shown = {
        image_id: boxes.above(score_threshold)
        for image_id, boxes in proposals.boxes.items()
        if not is_existing(boxes)
    }
    if not any(map(len, shown.values())):
        return Trials()
    blind = {i for (i,) in _some([(i,) for i in shown], blind_fraction, seed, proposals.batch)}
    scores = {
        (image_id, box_id): score
        for image_id, boxes in shown.items()
        if image_id not in blind and boxes.scores is not None
        for box_id, score in zip(boxes.ids.tolist(), boxes.scores.tolist(), strict=True)
    }
    middle = float(np.median(list(scores.values()))) if scores else 0.0
    places = _decimals(scores.values())
    worse = {key for key, score in scores.items() if score < middle}
    first = int(draw(seed, "kind", proposals.batch) * len(KINDS))
    planted: dict[str, tuple[PlantedError, ...]] = {}
    for n, (image_id, box_id) in enumerate(
        _some(list(scores), plant_fraction, seed, proposals.batch, worse)
    ):
        order = [KINDS[(first + n + more) % len(KINDS)] for more in range(len(KINDS))]
        before = planted.get(image_id, ())
        plant = _Planting(shown[image_id], before, images[image_id], classes, seed, places)
        planted[image_id] = (*before, plant.at(box_id, order, score_threshold))
    return Trials(frozenset(blind), planted)


def draw(seed: int, *names: str) -> float:
    """Return a number in [0, 1) that follows from the seed and the names alone."""
    text = "\0".join((str(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2.0**48


def _decimals(scores: Collection[float]) -> int:
    """Return how many digits scores have behind the point."""
    exponents = (Decimal(repr(score)).normalize().as_tuple().exponent for score in set(scores))
    return max((-e for e in exponents if isinstance(e, int)), default=0)


def _some(
    keys: Sequence[_K],
    fraction: float,
    seed: int,
    batch: str,
    last: set[_K] | frozenset[_K] = frozenset(),
) -> list[_K]:
    """Choose a fraction of the keys, those of ``last`` only where there are no others.

    Where the fraction makes no whole number, chance decides between the two beside it, so that the
    fraction is right over many batches, however small.
    """
    count = math.floor(fraction * len(keys) + draw(seed, "count", batch, str(len(keys))))
    ranked = sorted(keys, key=lambda key: (key in last, draw(seed, "choice", *key)))
    return ranked[: min(count, len(keys))] if fraction > 0 else []


class _Planting:
    """Plants one error more on an image."""

    def __init__(
        self,
        own: Boxes,
        before: tuple[PlantedError, ...],
        image: ImageRef,
        classes: Sequence[str],
        seed: int,
        places: int,
    ) -> None:
        self._own, self._now, self._image = own, as_shown(own, before), image
        self._classes, self._seed, self._places = classes, seed, places

    def at(self, box_id: str, order: Sequence[Kind], threshold: float) -> PlantedError:
        """Plant an error on a box, of the first kind that it can be; all can be hidden."""
        row = self._own.ids.tolist().index(box_id)
        assert self._own.scores is not None
        label, score = str(self._own.labels[row]), float(self._own.scores[row])
        x1, y1, x2, y2 = self._own.xyxy[row].tolist()
        u = draw(self._seed, "place", self._image.id, box_id)
        for kind in order:
            if kind == "shifted":
                for place in self._shifts((x1, y1, x2, y2), u):
                    if self._is_free(place, label, box_id):
                        return PlantedError(kind, box_id, box_id, label, place, score)
            elif kind == "relabeled":
                others = [name for name in self._classes if name != label]
                start = int(u * len(others))
                for name in (*others[start:], *others[:start]):
                    if self._is_free((x1, y1, x2, y2), name, box_id):
                        return PlantedError(kind, box_id, box_id, name, (x1, y1, x2, y2), score)
            elif kind == "doubled":
                lower = self._lower(score, threshold, u)
                for place in self._doubles((x1, y1, x2, y2), u):
                    if self._is_free(place, label):
                        return PlantedError(kind, box_id, self._new_id(box_id), label, place, lower)
            else:
                break
        return PlantedError("hidden", box_id, "", label, (x1, y1, x2, y2), score)

    def _lower(self, score: float, threshold: float, u: float) -> float:
        """Return a score a little below another; it tells itself by no further digit."""
        lower = round(max(threshold, score * (0.9 + 0.09 * u)), self._places)
        return lower if threshold <= lower <= score else score

    def _shifts(self, box: _Place, u: float) -> list[_Place]:
        x1, y1, x2, y2 = box
        by = SHIFTS[0] + (SHIFTS[1] - SHIFTS[0]) * u
        dx, dy = by * (x2 - x1), by * (y2 - y1)
        steps = _rotated([(dx, 0.0), (0.0, dy), (-dx, 0.0), (0.0, -dy)], u)
        return self._inside([(x1 + x, y1 + y, x2 + x, y2 + y) for x, y in steps])

    def _doubles(self, box: _Place, u: float) -> list[_Place]:
        x1, y1, x2, y2 = box
        dx, dy = DOUBLE_SHIFT * (x2 - x1), DOUBLE_SHIFT * (y2 - y1)
        steps = _rotated([(dx, dy), (-dx, dy), (-dx, -dy), (dx, -dy)], u)
        smaller = (x1 + dx, y1 + dy, x2 - dx, y2 - dy)  # for a box that fills its image
        return self._inside([*((x1 + x, y1 + y, x2 + x, y2 + y) for x, y in steps), smaller])

    def _inside(self, places: Sequence[_Place]) -> list[_Place]:
        width, height = self._image.width, self._image.height
        return [p for p in places if min(p) >= 0 and p[2] <= width and p[3] <= height]

    def _is_free(self, place: _Place, label: str, instead_of: str | None = None) -> bool:
        """Return whether no box of this class is there, which a submission would be refused for."""
        others = self._now.labels == label
        if instead_of is not None:
            others &= self._now.ids != instead_of
        overlap = iou_matrix(np.array([place]), self._now.xyxy[others])
        return not bool((overlap >= _CLASH).any())

    def _new_id(self, box_id: str) -> str:
        known, name = {*self._own.ids.tolist(), *self._now.ids.tolist()}, f"{box_id}.2"
        while name in known:
            name += "2"
        return name


_S = TypeVar("_S")


def _rotated(items: list[_S], u: float) -> list[_S]:
    start = int(u * len(items))
    return items[start:] + items[:start]
