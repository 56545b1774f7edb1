"""Store which images are reviewed, and the active seconds spent on each.

It lies beside the samples, in a MongoDB collection of boxloop's: the App writes a whole sample
whenever it saves an edit, and would undo what was stored there in that very moment.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bson import ObjectId
from pymongo import ReplaceOne, UpdateOne

COLLECTION = "boxloop_review_status"


@dataclass(frozen=True)
class ReviewStatus:
    """State of one image's review.

    Attributes:
        reviewed: whether the person is done with it.
        seconds: active seconds of this session and of those that it goes on with.
    """

    reviewed: bool = False
    seconds: float = 0.0


class ReviewStatuses:
    """Statuses of a campaign's images, by sample id."""

    def __init__(self, database: Any) -> None:
        """Use the collection of a campaign's pymongo database."""
        self._collection = database[COLLECTION]

    def read(self, ids: Iterable[ObjectId]) -> dict[ObjectId, ReviewStatus]:
        """Read the statuses of some images; those nobody has touched are left out."""
        found = self._collection.find({"_id": {"$in": list(ids)}})
        return {row["_id"]: _parse(row) for row in found}

    def set_reviewed(self, ids: Iterable[ObjectId], reviewed: bool) -> None:
        """Set images as reviewed, or as not."""
        change = {"$set": {"reviewed": reviewed}}
        self._write([UpdateOne({"_id": i}, change, upsert=True) for i in ids])

    def add_seconds(self, seconds: Mapping[ObjectId, float]) -> None:
        """Add active seconds."""
        self._write(
            [
                UpdateOne({"_id": i}, {"$inc": {"seconds": s}}, upsert=True)
                for i, s in seconds.items()
            ]
        )

    def replace(self, statuses: Mapping[ObjectId, ReviewStatus]) -> None:
        """Replace whole statuses."""
        self._write([ReplaceOne({"_id": i}, asdict(s), upsert=True) for i, s in statuses.items()])

    def _write(self, requests: list[Any]) -> None:
        if requests:
            self._collection.bulk_write(requests, ordered=False)


def _parse(row: Mapping[str, Any]) -> ReviewStatus:
    seconds = row.get("seconds", 0.0)
    valid = isinstance(seconds, int | float) and 0 <= seconds < math.inf
    return ReviewStatus(row.get("reviewed") is True, float(seconds) if valid else 0.0)
