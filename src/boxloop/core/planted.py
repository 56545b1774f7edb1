"""Errors that were planted among the proposals of an image, to tell whether people find them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from boxloop.core.box_set import Boxes, require

Kind = Literal["shifted", "relabeled", "doubled", "hidden"]
State = Literal["open", "caught", "missed", "mended", "stands"]

KINDS: tuple[Kind, ...] = ("shifted", "relabeled", "doubled", "hidden")
STATES: tuple[State, ...] = ("open", "caught", "missed", "mended", "stands")


@dataclass(frozen=True)
class PlantedError:
    """One error: a detector's box that was shown otherwise than it was proposed.

    Attributes:
        kind: "shifted" to another place; "relabeled"; "doubled", a second box beside it; "hidden",
            not shown at all.
        box: id of the detector's box.
        shown: id of the box that was wrong on the screen: the same, that of the second box where it
            was doubled, empty where it was hidden.
        label: class of the wrong box; the detector's where it was hidden.
        xyxy: its place; the detector's where it was hidden.
        score: its score.
        state: "open" until the image is submitted, then "caught" or "missed". One that was missed
            is shown again, undone and named, and is then "mended", or "stands" where the labels
            were right as they were: the detector's own box was not, and no error had been planted.
        reviewer: who caught or missed it.

    Raises:
        ValueError: the box has no area or no score, or its ids do not fit the kind.
    """

    kind: Kind
    box: str
    shown: str
    label: str
    xyxy: tuple[float, float, float, float]
    score: float
    state: State = "open"
    reviewer: str | None = None

    def __post_init__(self) -> None:
        x1, y1, x2, y2 = self.xyxy
        require(x2 > x1 and y2 > y1, f"the planted box {self.box} needs x2 > x1 and y2 > y1")
        require(0 <= self.score <= 1, f"the planted box {self.box} needs a score in [0, 1]")
        fits = {"hidden": self.shown == "", "doubled": self.shown not in ("", self.box)}
        require(
            fits.get(self.kind, self.shown == self.box),
            f"the planted box {self.box} cannot be {self.kind} and shown as '{self.shown}'",
        )

    @property
    def counts(self) -> bool:
        """Whether it was an error, and people have been asked to find it."""
        return self.state in ("caught", "missed", "mended")


def as_shown(boxes: Boxes, errors: Iterable[PlantedError]) -> Boxes:
    """Return what was shown of a detector's boxes, the highest score first as ever.

    Args:
        boxes: those at or above the threshold, scored; what is planted is of some of them.
        errors: planted among them.
    """
    by_id = {error.box: error for error in errors}
    if not by_id:
        return boxes
    assert boxes.scores is not None
    rows = []
    columns = (boxes.ids.tolist(), boxes.labels.tolist(), boxes.xyxy.tolist(), boxes.scores)
    for box_id, label, xyxy, score in zip(*columns, strict=True):
        error = by_id.get(box_id)
        own = (box_id, label, xyxy, float(score))
        if error is None or error.kind == "doubled":
            rows.append(own)
        if error is not None and error.kind != "hidden":
            rows.append((error.shown, error.label, list(error.xyxy), error.score))
    rows.sort(key=lambda row: -row[3])
    return Boxes(
        np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        np.array([row[1] for row in rows], np.str_),
        np.array([row[0] for row in rows], np.str_),
        np.array([row[3] for row in rows], np.float64),
    )


def check_planted(boxes: Boxes, errors: Sequence[PlantedError]) -> None:
    """Refuse errors that were planted on no box, or twice on one.

    Args:
        boxes: the detector's.
        errors: planted among them.

    Raises:
        ValueError: names the box.
    """
    known, seen = set(boxes.ids.tolist()), set[str]()
    for error in errors:
        require(error.box in known, f"an error was planted on {error.box}, which is no proposal")
        require(error.box not in seen, f"two errors were planted on {error.box}")
        require(
            error.kind != "doubled" or error.shown not in known | seen,
            f"the second box of {error.box} has another proposal's id, {error.shown}",
        )
        seen |= {error.box, error.shown}


def renamed(errors: Iterable[PlantedError], name: dict[str, str]) -> tuple[PlantedError, ...]:
    """Return errors with other names of classes; those that are not in ``name`` stay."""
    return tuple(replace(error, label=name.get(error.label, error.label)) for error in errors)
