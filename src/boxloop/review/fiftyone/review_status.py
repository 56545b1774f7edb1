"""What boxloop notes about an image while people work: reviewed or not, and active seconds.

It lies beside the image's own record, in a collection of boxloop's: the App writes that record as a
whole whenever it saves an edit, and would take back what was noted in that very moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bson import ObjectId
from pymongo import ReplaceOne, UpdateOne

COLLECTION = "boxloop_marks"


@dataclass(frozen=True)
class Mark:
    """The note about one image.

    Attributes:
        reviewed: whether the person is done with it.
        seconds: active seconds of this session and of those that it goes on with.
    """

    reviewed: bool = False
    seconds: float = 0.0


class Marks:
    """The notes of a campaign, by the App's ids of the images."""

    def __init__(self, database: Any) -> None:
        """Takes the campaign's database."""
        self._collection = database[COLLECTION]

    def read(self, ids: Iterable[ObjectId]) -> dict[ObjectId, Mark]:
        """The notes about some images; those that are missing are about images without any."""
        found = self._collection.find({"_id": {"$in": list(ids)}})
        return {row["_id"]: _mark(row) for row in found}

    def set_reviewed(self, ids: Iterable[ObjectId], reviewed: bool) -> None:
        """Notes that images are reviewed, or are not."""
        change = {"$set": {"reviewed": reviewed}}
        self._write([UpdateOne({"_id": i}, change, upsert=True) for i in ids])

    def add_seconds(self, seconds: Mapping[ObjectId, float]) -> None:
        """Adds active seconds."""
        self._write(
            [
                UpdateOne({"_id": i}, {"$inc": {"seconds": s}}, upsert=True)
                for i, s in seconds.items()
            ]
        )

    def replace(self, marks: Mapping[ObjectId, Mark]) -> None:
        """Replaces whole notes."""
        self._write([ReplaceOne({"_id": i}, asdict(m), upsert=True) for i, m in marks.items()])

    def _write(self, requests: list[Any]) -> None:
        if requests:
            self._collection.bulk_write(requests, ordered=False)


def _mark(row: Mapping[str, Any]) -> Mark:
    seconds = row.get("seconds", 0.0)
    valid = isinstance(seconds, int | float) and 0 <= seconds < math.inf
    return Mark(row.get("reviewed") is True, float(seconds) if valid else 0.0)
