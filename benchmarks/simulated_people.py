"""Simulated people, who err as people do, and may have faults that are known.

The simulated annotator of the paper makes no mistake. These do: they overlook an object now and
then, draw a pixel beside the edge, take one class for another, and need time. With a fault on top,
they show whether what is told of real people can be trusted: a campaign's figures have to name who
has it, and nobody else. What they submit is of the kind that people in the App submit.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from boxloop.core.boxes import area, iou_matrix, match
from boxloop.core.catching import judge_errors, undo, with_own_ids
from boxloop.core.edits import Ledger, diff
from boxloop.core.planted import as_shown
from boxloop.core.planting import Trials
from boxloop.core.types import (
    NOTHING,
    Boxes,
    BoxesByImage,
    Corrections,
    Floats,
    ImageRef,
    Proposals,
)

KIND = "fiftyone"
"""The annotator that they pass for."""

_SAME_OBJECT = 0.2
"""IoU from which a person takes a proposal to be of an object."""

SECONDS = Ledger(kept=1, moved=6, relabeled=4, removed=2, added=9)
"""What an edit of each kind takes a person, usually."""


@dataclass(frozen=True)
class Habits:
    """How a person works; the defaults are of one without faults.

    Attributes:
        accepts_labels: a fault: leaves every label of a proposal as it is.
        wider: a fault: pixels by which drawn boxes reach too far on each side.
        misses_below: a fault: square pixels; of objects that are smaller, none is drawn where
            proposals are shown.
        slows: a fault: how many times as long the last image takes as the first.
        overlooks: share of the objects, and of faults in proposals, that are overlooked.
        confuses: share of the objects drawn that get another class.
        spread: standard deviation of a drawn edge around the true one, in pixels.
        tight: IoU with the object from which a proposal is left where it is.
        base: seconds for an image, whatever is done in it.
        per_edit: seconds for an edit, by kind.
        unsteady: standard deviation of the logarithm of an image's seconds.
    """

    accepts_labels: bool = False
    wider: float = 0.0
    misses_below: float = 0.0
    slows: float = 1.0
    overlooks: float = 0.03
    confuses: float = 0.01
    spread: float = 0.7
    tight: float = 0.75
    base: float = 3.0
    per_edit: Ledger = SECONDS
    unsteady: float = 0.2


class SimulatedPerson:
    """One person, who sees the truth through their habits.

    What becomes of an image follows from the seed, the name, the image and how many images the
    person has done before it, which tells how tired they are.
    """

    def __init__(
        self, name: str, truth: BoxesByImage, classes: Sequence[str], images: int, **options: object
    ) -> None:
        """Take who it is.

        Args:
            name: of the person.
            truth: of every image that they will see.
            classes: that they choose from.
            images: how many they will do in all.
            options: ``seed``, and fields of :class:`Habits`.
        """
        self.name, self.truth, self.classes, self.images = name, truth, classes, images
        self.seed = int(str(options.pop("seed", 0)))
        self.habits = Habits(**options)  # type: ignore[arg-type]
        self.done = 0

    def review(
        self,
        proposals: Proposals,
        images: Mapping[str, ImageRef],
        score_threshold: float,
        finished: str,
        trials: Trials | None = None,
    ) -> Corrections:
        """Correct the proposals of some images, and return what would be submitted.

        Args:
            proposals: of these images.
            images: at least these, by id.
            score_threshold: proposals that score less are not shown.
            finished: ISO 8601 time (UTC) of the submission.
            trials: of the batch: blind images and planted errors.
        """
        trials = Trials() if trials is None else trials
        final, seconds, planted = {}, {}, {}
        for image_id, boxes in proposals.boxes.items():
            blind = image_id in trials.blind
            own = boxes.above(NOTHING if blind else score_threshold)
            errors = trials.planted.get(image_id, ())
            before = as_shown(own, errors)
            ref = images[image_id]
            made, seconds[image_id] = self.work(ref, before, helped=len(before) > 0)
            final[image_id] = with_own_ids(made, own, errors)
            if errors:
                planted[image_id] = judge_errors(errors, own, final[image_id], self.name)
        return Corrections(
            proposals,
            score_threshold,
            KIND,
            final,
            reviewer=self.name,
            seconds=seconds,
            finished=finished,
            digests={i: images[i].digest for i in final},
            classes=tuple(self.classes),
            blind=tuple(i for i in final if i in trials.blind),
            planted=planted,
        )

    def mend(self, missed: Corrections, finished: str) -> Corrections:
        """Look again at images whose planted errors were missed, which are undone and named.

        Args:
            missed: those images, as they were submitted.
            finished: ISO 8601 time (UTC) of the new submission.
        """
        final, planted = {}, {}
        for image_id, own in missed.counted().items():
            errors = missed.planted[image_id]
            final[image_id] = undo(missed.boxes[image_id], own, errors)
            planted[image_id] = judge_errors(errors, own, final[image_id], self.name)
        return replace(missed, boxes=final, planted=planted, finished=finished)

    def work(self, image: ImageRef, shown: Boxes, *, helped: bool) -> tuple[Boxes, float]:
        """Correct one image.

        Args:
            image: its size and id.
            shown: the proposals before the person, with what is planted.
            helped: whether proposals are shown in this image, as far as the person knows.

        Returns:
            The final boxes, and active seconds.
        """
        h = self.habits
        words = (self.name, image.id)
        rng = np.random.default_rng([self.seed, *(zlib.crc32(w.encode()) for w in words)])
        truth, size = self.truth[image.id], (image.width, image.height)
        rows: list[tuple[str, str, Floats]] = []
        iou = iou_matrix(shown.xyxy, truth.xyxy)
        of = dict(match(iou, np.True_, _SAME_OBJECT))
        for row, (box_id, label) in enumerate(zip(shown.ids, shown.labels, strict=True)):
            place, attentive = shown.xyxy[row], rng.random() >= h.overlooks
            if row in of:
                right = truth.labels[of[row]]
                if attentive and iou[row, of[row]] < h.tight:
                    place = self._draw(rng, truth.xyxy[of[row]], size)
                if attentive and not h.accepts_labels:
                    label = right
            elif attentive:
                continue
            rows.append((str(box_id), str(label), place))
        areas = area(truth.xyxy)
        for i in sorted(set(range(len(truth))) - set(of.values())):
            overlooked = rng.random() < h.overlooks or (helped and areas[i] < h.misses_below)
            label, place = self._name(rng, truth.labels[i]), self._draw(rng, truth.xyxy[i], size)
            if not overlooked:
                rows.append((f"{self.name}-{i}", label, place))
        final = Boxes(
            np.array([place for *_, place in rows], np.float64).reshape(-1, 4),
            np.array([label for _, label, _ in rows], np.str_),
            np.array([box_id for box_id, *_ in rows], np.str_),
        )
        edits = vars(diff(shown, final))
        seconds = h.base + sum(count * vars(h.per_edit)[kind] for kind, count in edits.items())
        seconds *= h.slows ** (self.done / max(1, self.images - 1))
        self.done += 1
        return final, round(seconds * math.exp(rng.normal(0, h.unsteady)), 3)

    def _draw(self, rng: np.random.Generator, around: Floats, size: tuple[int, int]) -> Floats:
        """Draw a box around an object, inside the image."""
        wider = self.habits.wider * np.array([-1.0, -1.0, 1.0, 1.0])
        x1, y1, x2, y2 = (around + wider + rng.normal(0, self.habits.spread, 4)).tolist()
        x1, y1 = max(0.0, x1), max(0.0, y1)
        x2, y2 = min(float(size[0]), max(x2, x1 + 1)), min(float(size[1]), max(y2, y1 + 1))
        return np.array([min(x1, x2 - 1), min(y1, y2 - 1), x2, y2])

    def _name(self, rng: np.random.Generator, right: str) -> str:
        others = [name for name in self.classes if name != right]
        confused = rng.random() < self.habits.confuses and bool(others)
        chosen = others[int(rng.integers(len(others)))] if others else right
        return chosen if confused else str(right)
