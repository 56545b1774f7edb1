"""Log a study to MLflow: one run, a child run per cell, and below that one per iteration."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxloop.campaign.digests import digest
from boxloop.campaign.paths import CampaignPaths
from boxloop.files import file_digest
from boxloop.params import Params
from boxloop.tracking.mlflow_store import NOTE, PARENT, Store, open_store
from boxloop.tracking.notes import study_note
from boxloop.tracking.store_uri import campaign_identity, ui_hint
from boxloop.tracking.track_turn import (
    CAMPAIGN_TAG,
    CONTENT_TAG,
    is_complete,
    log_turn,
    origin_tags,
)
from boxloop.tracking.turn_record import Point, read_turn, turn_digest

STUDY_TAG = "boxloop.study"


@dataclass(frozen=True)
class TrackedCampaign:
    """A finished cell of a study, as MLflow shows it.

    Attributes:
        paths: of its folder.
        params: of its campaign; ``track.campaign`` names it.
        identity: digest of everything that its results depend on.
        tags: its values on the axes of the grid.
    """

    paths: CampaignPaths
    params: Params
    identity: str
    tags: Mapping[str, str]


def track_study(
    root: Path,
    title: str,
    experiment: str,
    cells: Sequence[TrackedCampaign],
    values: Mapping[str, float],
    files: Sequence[Path],
    say: Callable[[str], object],
) -> None:
    """Bring MLflow in line with a study; running it again changes nothing.

    Cells that the study no longer has are deleted, so that ``mlflow gc`` frees their files.

    Args:
        root: the study's folder; holds the store unless MLFLOW_TRACKING_URI names another.
        title: of the study.
        experiment: of MLflow.
        cells: the finished ones.
        values: metrics of the study's own run.
        files: its artifacts.
        say: called with messages for the user.

    Raises:
        TrackingError: MLflow cannot be written to.
        ArtifactError: a file of a cell is missing or damaged.
    """
    content = digest([sorted(values.items()), [file_digest(path) for path in files]])
    with open_store(root, experiment, say) as store:
        own = {_log_cell(store, cell, root) for cell in cells}
        found = _studies(store, root, title)
        run_id = next((run.info.run_id for run in found if is_complete(run, content)), None)
        same = run_id is not None
        if run_id is None:
            run_id = _create_study(store, title, root, values, files)
        for child in own:
            store.set_tags(child, {PARENT: run_id})
        for run in found:
            for child in store.runs({PARENT: run.info.run_id}):
                if child.info.run_id not in own:
                    _delete_cell(store, str(child.info.run_id))
            if run.info.run_id != run_id:
                store.delete(run.info.run_id)
        if not same:
            note = {NOTE: study_note(title, len(cells), values)}
            store.set_tags(run_id, {**note, CONTENT_TAG: content})
            store.finish(run_id, _now())
        hint = ui_hint(root).replace("sqlite:///mlflow.db", store.uri)
    say(f"in MLflow, experiment '{experiment}'; to look at it: {hint}")


def track_cell(
    root: Path, title: str, experiment: str, cell: TrackedCampaign, say: Callable[[str], object]
) -> None:
    """Log one cell, as :func:`track_study` does, while others are still computed."""
    with open_store(root, experiment, say) as store:
        found = _studies(store, root, title)
        run_id = found[0].info.run_id if found else _create_study(store, title, root, {}, [])
        store.set_tags(_log_cell(store, cell, root), {PARENT: run_id})


def _studies(store: Store, root: Path, title: str) -> list[Any]:
    """Return the runs of this study, newest first."""
    return store.runs({STUDY_TAG: _study_id(root, title)})


def _study_id(root: Path, title: str) -> str:
    return campaign_identity(digest(["study", title]), root)


def _create_study(
    store: Store, title: str, root: Path, values: Mapping[str, float], files: Sequence[Path]
) -> str:
    own = {STUDY_TAG: _study_id(root, title), "mlflow.source.name": "boxloop study"}
    tags, now = {**origin_tags(root), **own}, _now()
    run_id = store.create(title, tags, now)
    store.log_points(run_id, [Point(name, value, 0, now) for name, value in values.items()])
    for path in files:
        folder = path.relative_to(root).parent.as_posix()
        store.log_file(run_id, path, "" if folder == "." else folder)
    return run_id


def _log_cell(store: Store, cell: TrackedCampaign, root: Path) -> str:
    """Return the id of the cell's run, which has a child run per iteration."""
    campaign_id = campaign_identity(cell.identity, root)
    keys = list(cell.params.iterations)
    content = turn_digest(cell.paths, cell.params, keys[-1])
    for run in store.runs({CAMPAIGN_TAG: campaign_id}):
        if is_complete(run, content):
            return str(run.info.run_id)
    run_id = ""
    for key in keys:
        turn = read_turn(cell.paths, cell.params, key)
        run_id = log_turn(store, turn, cell.paths, cell.params, campaign_id)
    tags = {f"boxloop.{name}": value for name, value in cell.tags.items()}
    store.set_tags(run_id, {**tags, CONTENT_TAG: content})
    return run_id


def _delete_cell(store: Store, cell: str) -> None:
    for turn in store.runs({PARENT: cell}):
        store.delete(turn.info.run_id)
    store.delete(cell)


def _now() -> int:
    return round(1000 * time.time())
