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
    """Whether an image is reviewed, and its active seconds, of earlier sessions too."""

    reviewed: bool = False
    seconds: float = 0.0


class ReviewStatuses:
    """Statuses of a campaign's images, by sample id."""

    def __init__(self, database: Any) -> None:
        """Use the collection of a campaign's pymongo database."""
        self._collection = database[COLLECTION]

    def read(self, ids: Iterable[ObjectId]) -> dict[ObjectId, ReviewStatus]:
        """Read the statuses of some images; that of an image nobody has touched is the default."""
        statuses = {i: ReviewStatus() for i in ids}
        found = self._collection.find({"_id": {"$in": list(statuses)}})
        return statuses | {row["_id"]: _parse(row) for row in found}

    def set_reviewed(self, ids: Iterable[ObjectId], reviewed: bool) -> None:
        """Set images as reviewed, or as not."""
        change = {"$set": {"reviewed": reviewed}}
        self._write([UpdateOne({"_id": i}, change, upsert=True) for i in ids])

    def add_seconds(self, seconds: Mapping[ObjectId, float]) -> None:
        """Add active seconds."""
        changes = {i: {"$inc": {"seconds": s}} for i, s in seconds.items()}
        self._write([UpdateOne({"_id": i}, c, upsert=True) for i, c in changes.items()])

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
