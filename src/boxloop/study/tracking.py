"""Bring the cells of a study to MLflow, also while others are still computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from boxloop.campaign.digests import digest
from boxloop.errors import BoxloopError
from boxloop.study.grid import Cell
from boxloop.study.study import Study

if TYPE_CHECKING:
    from boxloop.tracking.track_study import TrackedCampaign


class StudyTracker:
    """Track a study, unless ``track.enabled`` is false.

    Attributes:
        done: cells, put in as they finish.
    """

    def __init__(self, study: Study, say: Callable[[str], object]) -> None:
        """Prepare; ``say`` is called with messages for the user."""
        self._study, self._say = study, say
        self._place = (study.root, study.spec.axes.title, study.spec.track.experiment)
        self._enabled = self._early = study.spec.track.enabled
        self.done: SimpleQueue[Cell] = SimpleQueue()

    def track_one(self) -> None:
        """Track one cell, if one is waiting; after an error, the end tracks the rest."""
        if not self._early or self.done.empty():
            return
        from boxloop.tracking.track_study import track_cell  # MLflow takes seconds

        try:
            track_cell(*self._place, self._as_campaign(self.done.get()), self._say)
        except BoxloopError as error:
            self._early = False
            self._say(f"note: not in MLflow yet: {error}")

    def track_all(
        self, finished: Sequence[Cell], values: Mapping[str, float], files: Sequence[Path]
    ) -> None:
        """Bring MLflow in line with the study, see ``boxloop.tracking.track_study``."""
        if not self._enabled:
            return
        from boxloop.tracking.track_study import track_study  # MLflow takes seconds

        campaigns = [self._as_campaign(cell) for cell in finished]
        track_study(*self._place, campaigns, values, files, self._say)

    def _as_campaign(self, cell: Cell) -> TrackedCampaign:
        from boxloop.tracking.track_study import TrackedCampaign

        track = cell.params.track.model_copy(update={"campaign": cell.name})
        params = cell.params.model_copy(update={"track": track})
        tags = {
            "approach": cell.approach.name,
            "detector": cell.detector,
            "seed": str(cell.seed),
            **({} if cell.label is None else {"class": cell.label}),
        }
        identity = digest([cell.folder, cell.counted])
        return TrackedCampaign(self._study.paths(cell), params, identity, tags)
