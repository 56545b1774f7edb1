"""Bring the cells of a study to MLflow, also while others are still computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from boxloop.campaign.digests import digest
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import BoxloopError
from boxloop.study.grid import Cell
from boxloop.study.study import Study

if TYPE_CHECKING:
    from boxloop.tracking.track_study import TrackedCampaign

Print = Callable[[str], object]


def track_finished(
    study: Study,
    finished: Sequence[tuple[Cell, CampaignPaths]],
    values: Mapping[str, float],
    files: Sequence[Path],
    say: Print,
) -> None:
    """Bring MLflow in line with the study, unless ``track.enabled`` is false.

    Args:
        study: the study.
        finished: cells that are done, with their folders.
        values: metrics of the study's own run.
        files: its artifacts.
        say: called with messages for the user.

    Raises:
        TrackingError: MLflow cannot be written to.
        ArtifactError: a file of a cell is missing or damaged.
    """
    track = study.spec.track
    if not track.enabled:
        return
    from boxloop.tracking.track_study import track_study  # MLflow takes seconds

    campaigns = [_as_campaign(cell, paths) for cell, paths in finished]
    title = study.spec.axes.title
    track_study(study.root, title, track.experiment, campaigns, values, files, say)


class CellTracker:
    """Track finished cells while others are computed; after an error, the end tracks the rest."""

    def __init__(self, study: Study, done: SimpleQueue[Cell], say: Print) -> None:
        """Prepare; nothing is tracked yet.

        Args:
            study: whose cells they are.
            done: cells, put in as they finish.
            say: called with messages for the user.
        """
        self._study, self._done, self._say = study, done, say
        self._enabled = study.spec.track.enabled

    def __call__(self) -> None:
        """Track one cell, if one is waiting."""
        if not self._enabled or self._done.empty():
            return
        from boxloop.tracking.track_study import track_cell  # MLflow takes seconds

        cell, track = self._done.get(), self._study.spec.track
        try:
            campaign = _as_campaign(cell, self._study.paths(cell))
            title = self._study.spec.axes.title
            track_cell(self._study.root, title, track.experiment, campaign, self._say)
        except BoxloopError as error:
            self._enabled = False
            self._say(f"note: not in MLflow yet: {error}")


def _as_campaign(cell: Cell, paths: CampaignPaths) -> TrackedCampaign:
    from boxloop.tracking.track_study import TrackedCampaign

    track = cell.params.track.model_copy(update={"campaign": cell.name})
    params = cell.params.model_copy(update={"track": track})
    tags = {
        "approach": cell.approach.name,
        "detector": cell.detector,
        "seed": str(cell.seed),
        **({} if cell.label is None else {"class": cell.label}),
    }
    return TrackedCampaign(paths, params, digest([cell.folder, cell.counted]), tags)
