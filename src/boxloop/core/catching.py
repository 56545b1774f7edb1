"""Judge which planted errors people caught, and keep the others out of the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from boxloop.core.boxes import iou_matrix, match
from boxloop.core.planted import PlantedError, as_shown
from boxloop.core.types import Boxes, Floats

FOUND_IOU = 0.3
"""IoU from which a drawn box counts as the one that was hidden."""

SAME_OBJECT_IOU = 0.5
"""IoU from which two boxes of one class are on one object, where one of them was planted."""


def with_own_ids(final: Boxes, own: Boxes, errors: Sequence[PlantedError]) -> Boxes:
    """Give the boxes that stand for a detector's the ids that those have.

    A person who drew what was hidden, or kept the second of two boxes, has worked on an object that
    the detector found: the accounting compares by id with what it had proposed.

    Args:
        final: the boxes as people left them.
        own: the detector's boxes at or above the threshold.
        errors: planted among these.
    """
    ids = final.ids.tolist()
    name = {
        error.shown: error.box
        for error in errors
        if error.kind == "doubled" and error.box not in ids and error.shown in ids
    }
    hidden = [e for e in errors if e.kind == "hidden" and e.box not in ids]
    before = set(as_shown(own, errors).ids.tolist())
    drawn = [row for row, box_id in enumerate(ids) if box_id not in before]
    overlap = iou_matrix(np.array([e.xyxy for e in hidden]).reshape(-1, 4), final.xyxy[drawn])
    for row, column in match(overlap, np.True_, FOUND_IOU):
        name[ids[drawn[column]]] = hidden[row].box
    if not name:
        return final
    return replace(final, ids=np.array([name.get(i, i) for i in ids], np.str_))


def judge_errors(
    errors: Sequence[PlantedError], own: Boxes, final: Boxes, reviewer: str | None
) -> tuple[PlantedError, ...]:
    """Say of each error whether a submission put it right.

    Args:
        errors: planted on the image; those that were missed before were shown again.
        own: the detector's boxes at or above the threshold.
        final: the boxes that are submitted, see :func:`with_own_ids`.
        reviewer: who submits them.
    """
    result = []
    for error in errors:
        right = _is_right(error, own, final)
        if error.state == "open":
            error = replace(error, state="caught" if right else "missed", reviewer=reviewer)
        elif error.state == "missed":
            error = replace(error, state="mended" if right else "stands")
        result.append(error)
    return tuple(result)


def undo(labels: Boxes, own: Boxes, errors: Sequence[PlantedError]) -> Boxes:
    """Return an image's labels with the errors that were missed undone: as the detector proposed.

    Args:
        labels: as they were submitted.
        own: the detector's boxes at or above the threshold.
        errors: planted on the image.
    """
    rows = {box_id: row for row, box_id in enumerate(own.ids.tolist())}
    ids, names, places = labels.ids.tolist(), labels.labels.tolist(), labels.xyxy.tolist()
    for error in errors:
        row = rows.get(error.box)
        if error.state != "missed" or row is None:
            continue
        if error.kind == "hidden" and error.box not in ids:
            ids.append(error.box)
            names.append(str(own.labels[row]))
            places.append(own.xyxy[row].tolist())
        elif error.shown in ids:
            place = ids.index(error.shown)
            if error.kind == "shifted":
                places[place] = own.xyxy[row].tolist()
            elif error.kind == "relabeled":
                names[place] = str(own.labels[row])
            else:
                del ids[place], names[place], places[place]
    return Boxes(
        np.array(places, np.float64).reshape(-1, 4),
        np.array(names, np.str_),
        np.array(ids, np.str_),
    )


def in_words(error: PlantedError, own: Boxes) -> str:
    """Say what was planted and how it is now, for a person who looks at the image again."""
    row = own.ids.tolist().index(error.box)
    label, (left, top) = str(own.labels[row]), own.xyxy[row, :2].round().astype(int).tolist()
    what = {
        "shifted": "had been shifted on purpose, and is back at its place",
        "relabeled": f"had been given the class '{error.label}' on purpose, and has its own again",
        "doubled": "had been shown twice on purpose; the second one is gone",
        "hidden": "had been hidden on purpose, and is back",
    }[error.kind]
    return f"the proposed '{label}' at ({left}, {top}) {what}: make it right, or delete it"


def _is_right(error: PlantedError, own: Boxes, final: Boxes) -> bool:
    rows = {box_id: row for row, box_id in enumerate(final.ids.tolist())}
    if error.kind == "hidden":
        return error.box in rows
    if error.shown not in rows:
        return True
    row = rows[error.shown]
    if error.kind == "relabeled":
        return str(final.labels[row]) != error.label
    if error.kind == "doubled":
        if error.box not in rows or final.labels[row] != final.labels[rows[error.box]]:
            return True
        return _iou(final.xyxy[row], final.xyxy[rows[error.box]]) < SAME_OBJECT_IOU
    wrong = _iou(final.xyxy[row], np.array(error.xyxy))
    (place,) = np.nonzero(own.ids == error.box)
    closer = max((_iou(final.xyxy[row], own.xyxy[i]) for i in place), default=0.0)
    return wrong < closer or not wrong


def _iou(a: Floats, b: Floats) -> float:
    return float(iou_matrix(a.reshape(1, 4), b.reshape(1, 4))[0, 0])
