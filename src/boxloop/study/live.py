"""Finished cells in MLflow, while others are computed."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

from boxloop.campaign.digests import digest
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import BoxloopError
from boxloop.study.grid import Cell
from boxloop.study.study import Study

if TYPE_CHECKING:
    from boxloop.tracking.track_study import TrackedCell

Print = Callable[[str], object]


def tracked(cell: Cell, paths: CampaignPaths) -> TrackedCell:
    """A cell as MLflow takes it."""
    from boxloop.tracking.track_study import TrackedCell  # MLflow takes seconds

    track = cell.params.track.model_copy(update={"campaign": cell.name})
    params = cell.params.model_copy(update={"track": track})
    tags = {
        "approach": cell.approach.name,
        "detector": cell.detector,
        "seed": str(cell.seed),
        **({} if cell.label is None else {"class": cell.label}),
    }
    return TrackedCell(paths, params, digest([cell.folder, cell.counted]), tags)


class Tracking:
    """Brings cells to MLflow while others are computed; what fails here is done in the end."""

    def __init__(self, study: Study, done: SimpleQueue[Cell], say: Print) -> None:
        """Takes over what finishes.

        Args:
            study: whose cells they are.
            done: cells, as they finish.
            say: told what went wrong.
        """
        self._study, self._done, self._say = study, done, say
        self._enabled = study.spec.track.enabled

    def __call__(self) -> None:
        """Tracks one cell, if there is one."""
        if not self._enabled or self._done.empty():
            return
        from boxloop.tracking.track_study import track_cell  # MLflow takes seconds

        cell, track = self._done.get(), self._study.spec.track
        try:
            one = tracked(cell, self._study.paths(cell))
            title = self._study.spec.axes.title
            track_cell(self._study.root, title, track.experiment, one, self._say)
        except BoxloopError as error:
            self._enabled = False
            self._say(f"note: not in MLflow yet: {error}")
