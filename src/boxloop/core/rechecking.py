"""Keep the work of second looks apart from that of reviews."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from boxloop.core.agreement import by_first_person
from boxloop.core.edits import Ledger, diff
from boxloop.core.types import Corrections


@dataclass(frozen=True)
class RecheckWork:
    """The work of second looks.

    Attributes:
        images: that were looked at a second time.
        changed: how many of these got other labels.
        edits: exact, by the ids of the boxes: from the labels before to those after.
        seconds: active ones.
        people: who looked, in the order of their names.
    """

    images: int
    changed: int
    edits: Ledger
    seconds: float
    people: tuple[str, ...]

    @property
    def boxes(self) -> int:
        """Boxes added and removed, as WB counts them."""
        return self.edits.additions + self.edits.removals


def as_reviewed(corrections: Corrections) -> Corrections:
    """Return corrections as their reviews ended, before any later look: what WB and WT count."""
    corrections = by_first_person(corrections)
    if corrections.rechecked:  # which was before the third look, where both are
        before = {image_id: look.before for image_id, look in corrections.rechecked.items()}
        boxes = {**corrections.boxes, **before}
        corrections = replace(corrections, boxes=boxes, rechecked={})
    return corrections


def recheck_work(batches: Iterable[Corrections]) -> RecheckWork | None:
    """Sum up the second looks of some batches; None where there were none."""
    edits, seconds, changed, people = list[Ledger](), 0.0, 0, set[str]()
    for corrections in map(by_first_person, batches):
        for image_id, look in corrections.rechecked.items():
            ledger = diff(look.before, corrections.boxes[image_id])
            edits.append(ledger)
            changed += bool(ledger.additions + ledger.removals)
            seconds += look.seconds
            people |= set(look.by.split(", "))
    if not edits:
        return None
    return RecheckWork(len(edits), changed, sum(edits, Ledger()), seconds, tuple(sorted(people)))
