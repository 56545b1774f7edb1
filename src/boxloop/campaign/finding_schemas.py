"""Check what a file of findings holds: faults of a dataset, and how good a detector is."""

from __future__ import annotations

from boxloop.campaign.schemas import Count, Record


class _Fault(Record):
    kind: str
    file: str
    image: str | None
    detail: str


class FaultsFile(Record):
    """``faults.json``."""

    images: Count
    boxes: Count
    left_out: dict[str, Count]
    counts: dict[str, Count]
    faults: list[_Fault]


class PrecisionFile(Record):
    """How good the detector of a study's turn is on the held-out set."""

    trained_on_images: Count
    map: float | None = None
    map_50: float | None = None
    map_75: float | None = None
    voc07_map: float | None = None
    voc_map: float | None = None
