"""Turn the boxes of a JSON file into columns, and back.

Rows of hundreds of thousands of boxes are checked together. Where anything is unusual about one of
them, the model of a single row says what is wrong with it, and where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, WrapValidator

from boxloop.core.box_columns import split_boxes
from boxloop.core.names import require_classes, require_ids
from boxloop.core.types import Boxes, BoxesByImage
from boxloop.errors import ArtifactError


class _Box(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    id: str
    label: str
    xyxy: tuple[float, float, float, float]
    score: Annotated[float, Field(ge=0, le=1)] | None = None


@dataclass(frozen=True)
class BoxRows:
    """The rows of all images, one after the other; None for a score that a row lacks."""

    image_ids: list[str]
    counts: list[int]
    ids: list[str]
    labels: list[str]
    xyxy: list[Any]
    scores: list[float | None]


def _check(value: Any, handler: Callable[[Any], dict[str, list[_Box]]]) -> BoxRows:
    found = _usual_rows(value)
    if found is None:
        table = handler(value)
        rows = [row for image in table.values() for row in image]
        found = BoxRows(
            list(table),
            [len(image) for image in table.values()],
            *([getattr(row, name) for row in rows] for name in ("id", "label", "xyxy", "score")),
        )
    require_ids(found.image_ids)
    require_ids(found.ids)
    require_classes(set(found.labels))
    return found


BoxTable = Annotated[dict[str, list[_Box]], WrapValidator(_check)]
"""Boxes by image in a file; once validated, :class:`BoxRows`."""


def _usual_rows(table: Any) -> BoxRows | None:
    """Return the rows, if there is nothing unusual about them and all have scores or none has."""
    if type(table) is not dict or not set(map(type, table)) <= {str}:
        return None
    images = list(table.values())
    if not set(map(type, images)) <= {list}:
        return None
    rows = list(chain.from_iterable(images))
    if not set(map(type, rows)) <= {dict}:
        return None
    names = ("id", "label", "xyxy", "score")[: len(rows[0]) if rows else 3]
    try:
        ids, labels, xyxy, *more = (list(map(itemgetter(name), rows)) for name in names)
    except (KeyError, ValueError):
        return None
    if not (
        set(map(len, rows)) <= {len(names)}
        and set(map(type, ids)) <= {str}
        and set(map(type, labels)) <= {str}
        and set(map(type, xyxy)) <= {list}
        and set(map(len, xyxy)) <= {4}
    ):
        return None
    edges, scores = list(chain.from_iterable(xyxy)), more[0] if more else []
    if not (set(map(type, edges)) <= {float, int} and set(map(type, scores)) <= {float, int}):
        return None
    try:
        numbers, marks = np.array(edges, np.float64), np.array(scores, np.float64)
    except OverflowError:
        return None
    if not np.isfinite(numbers).all() or not ((marks >= 0) & (marks <= 1)).all():
        return None
    counts = list(map(len, images))
    return BoxRows(list(table), counts, ids, labels, xyxy, scores or [None] * len(rows))


def boxes_in(path: Path, table: Any, *, scored: bool = False) -> dict[str, Boxes]:
    """Return the boxes of a file's rows, all of which must be ``scored``, or none.

    Args:
        path: the file, for the error.
        table: a validated :data:`BoxTable`.
        scored: whether there must be scores.

    Raises:
        ArtifactError: a score too many or too few, or a box that cannot be.
    """
    rows: BoxRows = table
    if any((score is not None) != scored for score in rows.scores):
        place = next(i for i, score in enumerate(rows.scores) if (score is not None) != scored)
        image = int(np.searchsorted(np.cumsum(rows.counts), place, side="right"))
        word = "needs a" if scored else "must not carry a"
        raise ArtifactError(
            f"{path}, image {rows.image_ids[image]}, box {rows.ids[place]}: {word} score"
        )
    try:
        return split_boxes(
            rows.image_ids,
            rows.counts,
            np.array(rows.xyxy, np.float64).reshape(-1, 4),
            rows.labels,
            rows.ids,
            np.array(rows.scores, np.float64) if scored else None,
        )
    except ValueError as error:
        raise ArtifactError(f"{path}, {error}") from None


class _Rows(Mapping[str, list[dict[str, Any]]]):
    """Boxes as plain lists and numbers, made image by image as they are asked for."""

    def __init__(self, table: BoxesByImage) -> None:
        self._table = table

    def __getitem__(self, image_id: str) -> list[dict[str, Any]]:
        return _box_rows(self._table[image_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


def boxes_out(table: BoxesByImage) -> Mapping[str, list[dict[str, Any]]]:
    """Return boxes as plain lists and numbers, ready for JSON."""
    return _Rows(table)


def _box_rows(boxes: Boxes) -> list[dict[str, Any]]:
    columns: Mapping[str, Any] = {"id": boxes.ids, "label": boxes.labels, "xyxy": boxes.xyxy}
    if boxes.scores is not None:
        columns = {**columns, "score": boxes.scores}
    values = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]
