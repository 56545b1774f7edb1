"""Count the edits of a batch by class, so that the classes add up to the batch exactly.

Which class an edit counts for: the one that its box ends as; a removed proposal has none, so it
counts for the one that was proposed. So a relabeled box counts once, as a whole, for the class that
it became, and what is kept, moved, relabeled and added of a class are its final boxes. How often
proposals of a class became another one is told beside the sums. (The evidence that thresholds are
fitted to counts by the class that was proposed, because it asks what to show.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from boxloop.core.edits import EDITS, Ledger, paired_by_id
from boxloop.core.types import Corrections
from boxloop.core.workload import pair


@dataclass(frozen=True)
class ClassLedgers:
    """The edits of one batch by class, at one IoU threshold.

    Attributes:
        edits: by class; their sum is the batch's ledger.
        objects: final boxes by class.
        images: images with a final box of a class, by class.
        mistaken: relabeled boxes by (class proposed, class in the end).
    """

    edits: Mapping[str, Ledger]
    objects: Mapping[str, int]
    images: Mapping[str, int]
    mistaken: Mapping[tuple[str, str], int]


def class_ledgers(
    corrections: Corrections, iou_threshold: float, score_threshold: float
) -> ClassLedgers:
    """Count the edits of one batch by class.

    Args:
        corrections: the batch; images whose labels were given are left out.
        iou_threshold: IoU from which a proposal counts as right.
        score_threshold: in a simulation, proposals that score less count as not shown; people's
            edits are of what they were shown.

    Returns:
        Counts that sum up to those of :func:`boxloop.core.workload.account` at these thresholds.
    """
    reviewed = corrections.reviewed()
    match = paired_by_id if reviewed.by_person else pair
    offered = reviewed.proposals.boxes
    seen = reviewed.counted() if reviewed.by_person else None
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in EDITS}
    objects, images, mistaken = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for image_id, final in reviewed.boxes.items():
        shown = offered[image_id].above(score_threshold) if seen is None else seen[image_id]
        before, after = shown.labels.tolist(), final.labels.tolist()
        kept, relabeled, moved = match(shown, final, iou_threshold)
        rows, columns = set[int](), set[int]()
        for kind, pairs in (("kept", kept), ("moved", moved), ("relabeled", relabeled)):
            counts[kind].update(after[column] for _, column in pairs)
            rows.update(row for row, _ in pairs)
            columns.update(column for _, column in pairs)
        counts["removed"].update(name for i, name in enumerate(before) if i not in rows)
        counts["added"].update(name for i, name in enumerate(after) if i not in columns)
        mistaken.update((before[row], after[column]) for row, column in relabeled)
        objects.update(after)
        images.update(set(after))
    names = sorted({name for counter in counts.values() for name in counter})
    edits = {name: Ledger(**{kind: counts[kind][name] for kind in EDITS}) for name in names}
    return ClassLedgers(edits, dict(objects), dict(images), dict(mistaken))
