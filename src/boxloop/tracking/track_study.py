"""A study in MLflow: one run, below it a run for each cell, below that one for each turn."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from boxloop.campaign import digests
from boxloop.campaign.paths import CampaignPaths
from boxloop.files import file_digest
from boxloop.params import Params
from boxloop.tracking.mlflow_store import PARENT, Store, opened
from boxloop.tracking.track_turn import CAMPAIGN_TAG, CONTENT_TAG, log_turn, origin_tags, read_turn
from boxloop.tracking.turn_record import Point
from boxloop.tracking.turn_record import content_digest as turn_digest

STUDY_TAG = "boxloop.study"


@dataclass(frozen=True)
class TrackedCell:
    """A finished cell.

    Attributes:
        paths: of its folder.
        params: of its campaign; ``track.campaign`` names it.
        identity: digest of everything that its results depend on.
        tags: where it stands in the grid, by axis.
    """

    paths: CampaignPaths
    params: Params
    identity: str
    tags: Mapping[str, str]


def track_study(
    root: Path,
    title: str,
    experiment: str,
    cells: Sequence[TrackedCell],
    values: Mapping[str, float],
    files: Sequence[Path],
    say: Callable[[str], object],
) -> None:
    """Brings MLflow in line with a study; running it again changes nothing.

    Cells that the study no longer has are deleted, as ``mlflow gc`` understands it.

    Args:
        root: the study's folder, which has the store unless MLFLOW_TRACKING_URI names another.
        title: of the study.
        experiment: of MLflow.
        cells: the finished ones.
        values: metrics of the study's own run.
        files: its artifacts.
        say: told what a person may want to know.

    Raises:
        TrackingError: MLflow cannot be written to.
        ArtifactError: a file of a cell is missing or damaged.
    """
    study_id = _study_id(root, title)
    content = digests.digest([sorted(values.items()), [file_digest(path) for path in files]])
    with opened(root, experiment, say) as store:
        own = {_cell(store, cell, digests.campaign_identity(cell.identity, root)) for cell in cells}
        found = store.runs({STUDY_TAG: study_id})
        same = [
            run
            for run in found
            if run.info.status == "FINISHED" and run.data.tags.get(CONTENT_TAG) == content
        ]
        if same:
            run_id = str(same[0].info.run_id)
        else:
            run_id = _study(store, title, root, study_id, values, files)
        for child in own:
            store.set_tags(child, {PARENT: run_id})
        for run in found:
            for child in store.runs({PARENT: run.info.run_id}):
                if child.info.run_id not in own:
                    _delete(store, str(child.info.run_id))
            if run.info.run_id != run_id:
                store.delete(run.info.run_id)
        if not same:
            store.set_tags(run_id, {CONTENT_TAG: content})
            store.finish(run_id, _now())
        hint = digests.ui_hint(root).replace("sqlite:///mlflow.db", store.uri)
    say(f"in MLflow, experiment '{experiment}'; to look at it: {hint}")


def track_cell(
    root: Path, title: str, experiment: str, cell: TrackedCell, say: Callable[[str], object]
) -> None:
    """Logs a cell of a study that is not finished, so that it can be looked at meanwhile.

    Raises:
        TrackingError: MLflow cannot be written to.
        ArtifactError: a file of the cell is missing or damaged.
    """
    study_id = _study_id(root, title)
    with opened(root, experiment, say) as store:
        found = store.runs({STUDY_TAG: study_id})
        run_id = (
            str(found[0].info.run_id) if found else _study(store, title, root, study_id, {}, [])
        )
        child = _cell(store, cell, digests.campaign_identity(cell.identity, root))
        store.set_tags(child, {PARENT: run_id})


def _study_id(root: Path, title: str) -> str:
    return digests.campaign_identity(digests.digest(["study", title]), root)


def _study(
    store: Store,
    title: str,
    root: Path,
    study_id: str,
    values: Mapping[str, float],
    files: Sequence[Path],
) -> str:
    tags = {STUDY_TAG: study_id, **origin_tags(root), "mlflow.source.name": "boxloop study"}
    now = _now()
    run_id = store.create(title, tags, now)
    store.log_points(run_id, [Point(name, value, 0, now) for name, value in values.items()])
    for path in files:
        folder = path.relative_to(root).parent.as_posix()
        store.log_file(run_id, path, "" if folder == "." else folder)
    return run_id


def _cell(store: Store, cell: TrackedCell, campaign_id: str) -> str:
    """The run of a cell, with one below it for each turn."""
    keys = list(cell.params.iterations)
    content = turn_digest(cell.paths, cell.params, keys[-1])
    for run in store.runs({CAMPAIGN_TAG: campaign_id}):
        if run.info.status == "FINISHED" and run.data.tags.get(CONTENT_TAG) == content:
            return str(run.info.run_id)
    run_id = ""
    for key in keys:
        turn = read_turn(cell.paths, cell.params, key)
        run_id = log_turn(store, turn, cell.paths, cell.params, campaign_id)
    tags = {f"boxloop.{name}": value for name, value in cell.tags.items()}
    store.set_tags(run_id, {**tags, CONTENT_TAG: content})
    return run_id


def _delete(store: Store, cell: str) -> None:
    for turn in store.runs({PARENT: cell}):
        store.delete(turn.info.run_id)
    store.delete(cell)


def _now() -> int:
    return round(1000 * time.time())
