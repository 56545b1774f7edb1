"""The stage ``track``: bring MLflow in line with the files of one iteration."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from boxloop import __version__
from boxloop.campaign import artifacts
from boxloop.campaign.digests import campaign_fingerprint, dataset_digest, settings_digest
from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.campaign.results import CampaignResults
from boxloop.errors import ArtifactError, ParamsError
from boxloop.params import SIMNET, Params
from boxloop.report.tables import flatten
from boxloop.terminal import percent, saving
from boxloop.tracking.mlflow_store import NAME, NOTE, PARENT, Store, open_store
from boxloop.tracking.notes import as_text, turn_note
from boxloop.tracking.store_uri import campaign_identity, ui_hint
from boxloop.tracking.turn_model import keep_model
from boxloop.tracking.turn_record import Point, TurnRecord, progress_values, read_turn, turn_digest

CAMPAIGN_TAG = "boxloop.campaign"
BATCH_TAG = "boxloop.batch"
CONTENT_TAG = "boxloop.content"
DELIVERED_TAG = "boxloop.delivered"
LIVE_TAG = "boxloop.live"
"""Of a run that began with the training: the digest of what is trained by."""


def track(
    paths: CampaignPaths,
    params: Params,
    key: str,
    out: Path,
    *,
    say: Callable[[str], object] = print,
) -> None:
    """Log one iteration to MLflow, from its files alone.

    Running it again changes nothing. Changed files replace the iteration's run; changed parameters
    make a new parent run. After a kill at any moment, running it again leaves exactly one complete
    run.

    Args:
        paths: where the campaign's files are.
        params: of the campaign.
        key: the iteration, which must be labeled and accounted, as must all before it.
        out: a small file that says what was tracked, the same on every machine.
        say: called with messages for the user.

    Raises:
        ParamsError: params.yaml does not list the iteration.
        ArtifactError: a file of the iteration is missing or damaged.
        TrackingError: MLflow cannot be written to.
    """
    if key not in params.iterations:
        raise ParamsError(f"iterations does not list '{key}': {', '.join(params.iterations)}")
    # The next turn watches this file in place of the parameters, so it changes with any of them.
    summary: dict[str, Any] = {
        "batch": key,
        "enabled": params.track.enabled,
        "params": settings_digest(params),
    }
    if not params.track.enabled:
        artifacts.write(out, "tracked", summary)
        say(f"{key}: not tracked, because track.enabled is false")
        return
    fingerprint = campaign_fingerprint(params, dataset_digest(paths))
    workspace = workspace_of(paths.root)
    campaign_id = campaign_identity(fingerprint, workspace)
    turn = read_turn(paths, params, key)
    with open_store(workspace, params.track.experiment, say) as store:
        log_turn(store, turn, paths, params, campaign_id)
    summary |= {
        "campaign": fingerprint,
        "content": turn.content,
        "images_labeled": sum(w.images for w in turn.campaign.workloads),
    }
    artifacts.write(out, "tracked", summary)
    say(f"{key}: tracked; to look at it: {ui_hint(paths.root)}")


def log_turn(
    store: Store, turn: TurnRecord, paths: CampaignPaths, params: Params, campaign_id: str
) -> str:
    """Leave exactly one complete run of an iteration under the campaign's run.

    Returns:
        The id of the campaign's run.
    """
    last = turn.key == list(params.iterations)[-1]
    parent = _parent(store, params, campaign_id, turn, last=last)
    origin = origin_tags(paths.root)
    run_id = _child(store, parent, turn, origin)
    keep_model(store, run_id, turn, paths, params)
    store.set_tags(parent, origin)
    _update_parent(store, parent, params, turn, _final_content(paths, params))
    return parent


def _parent_points(turn: TurnRecord) -> list[Point]:
    """Return the parent's curves: the totals of the first one, two, ... batches."""
    points, images = [], 0
    for i, workload in enumerate(turn.campaign.workloads):
        images += workload.labeled_images  # else two batches could share a step
        part = replace(turn.campaign, workloads=turn.campaign.workloads[: i + 1])
        points += [Point(n, v, images, turn.ended) for n, v in progress_values(part).items()]
    return [*points, *turn.simnet]


# --- the parent run -------------------------------------------------------------------------------


def _parent(store: Store, params: Params, campaign_id: str, turn: TurnRecord, *, last: bool) -> str:
    """Return the campaign's only parent run, with the curves up to this iteration.

    MLflow keeps every value ever logged. So a run whose curves contradict the files, because labels
    were amended, is replaced by a new one, which takes over its children.
    """
    points = _parent_points(turn)
    found = store.runs({CAMPAIGN_TAG: campaign_id})
    chosen = next((r for r in found if _agrees(store, r, points, turn.images, last)), None)
    if chosen is None:
        run_id = store.create(params.track.campaign, {CAMPAIGN_TAG: campaign_id}, turn.started)
        known: Mapping[str, str] = {}
    else:
        run_id, known = str(chosen.info.run_id), chosen.data.params
    left_out = {"iterations", "track", "report"} | params.unused
    settings = flatten(params.model_dump(mode="json", exclude=left_out))
    store.log_params(run_id, {k: v for k, v in settings.items() if k not in known})
    store.log_points(run_id, _missing(store, run_id, points))
    others = [other for other in found if other.info.run_id != run_id]
    # Of one that a person deleted by itself the children are still there.
    for other in (*others, *store.runs({CAMPAIGN_TAG: campaign_id}, deleted=True)):
        for child in store.runs({PARENT: other.info.run_id}):
            store.set_tags(child.info.run_id, {PARENT: run_id})
    for other in others:
        store.delete(other.info.run_id)
    return run_id


def _missing(store: Store, run_id: str, points: Sequence[Point]) -> list[Point]:
    """Return the points that a run does not have yet."""
    names = sorted({p.name for p in points})
    logged = {(name, step) for name in names for step, _ in store.history(run_id, name)}
    return [p for p in points if (p.name, p.step) not in logged]


def _agrees(store: Store, run: Any, points: list[Point], images: int, last: bool) -> bool:
    """Return whether a run's curves are part of ``points``, each value once."""
    wanted: dict[str, dict[int, float]] = {}
    for point in points:
        wanted.setdefault(point.name, {})[point.step] = point.value
    for name, values in wanted.items():
        history = [(s, v) for s, v in store.history(run.info.run_id, name) if last or s <= images]
        if len({step for step, _ in history}) != len(history):
            return False
        if any(values.get(step) != value for step, value in history):
            return False
    return True


def _name(params: Params, campaign: CampaignResults) -> str:
    """Return the run's name, the saving first, as MLflow cuts long names at the end."""
    iou = campaign.iou_thresholds[0]
    effect = saving(campaign.totals(iou).wt_reduction)
    return f"{params.track.campaign}: {effect}, {_approach(params)}, {params.train.detector}"


def _approach(params: Params) -> str:
    """Return the ordering's name as in the paper's tables, with SimNet where it is used."""
    if params.features.weights != SIMNET:
        return params.order.strategy
    from boxloop.core.ordering import find_strategy  # which imports scipy

    simnet = " (SimNet)" if find_strategy(params.order.strategy).needs_features else ""
    return f"{params.order.strategy}{simnet}"


def _note(params: Params, campaign: CampaignResults) -> str:
    # In one paragraph: MLflow folds up what is longer, and the table is to be seen.
    lines = [
        f"**{as_text(params.track.campaign)}**: {as_text(_approach(params))} ordering,"
        f" {as_text(params.train.detector)}, proposals shown from"
        f" {params.review.shown_from_in_words};"
        f" {len(campaign.workloads)} of {len(campaign.planned)} batches are done.",
        "",
        "| IoU | time saved (WT) | boxes saved (WB) | additions (An) | removals (Rn) |",
        "|---|---|---|---|---|",
    ]
    for iou in campaign.iou_thresholds:
        t = campaign.totals(iou)
        cells = (percent(t.wt_reduction), percent(t.wb_reduction), str(t.added), str(t.removed))
        lines.append(f"| {iou:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


# --- the child runs -------------------------------------------------------------------------------


def _child(store: Store, parent: str, turn: TurnRecord, origin: Mapping[str, str]) -> str:
    """Leave exactly one complete run of this iteration under the parent; return its id."""
    found = [r for r in store.runs({PARENT: parent}) if r.data.tags.get(BATCH_TAG) == turn.key]
    complete = next((r for r in found if is_complete(r, turn.content)), None)
    note = {NOTE: turn_note(turn)}
    if complete:
        run_id = str(complete.info.run_id)
        if NOTE not in complete.data.tags:  # of an older boxloop; else it may be a person's
            store.set_tags(run_id, note)
    else:
        tags = {PARENT: parent, BATCH_TAG: turn.key, **note, **origin}
        run_id = _log_child(store, turn, tags, _watched(store, found, turn))
    # Deleted last, so that at every moment there is a run to look at.
    for other in found:
        if other.info.run_id != run_id:
            store.delete(other.info.run_id)
    return run_id


def is_complete(run: Any, content: str | None = None) -> bool:
    """Return whether everything was logged to a run, and of this content where it is given."""
    tag = run.data.tags.get(CONTENT_TAG)
    return run.info.status == "FINISHED" and tag is not None and content in (None, tag)


def _watched(store: Store, found: list[Any], turn: TurnRecord) -> Any | None:
    """Return the run that showed this training while it ran, unless it says otherwise by now."""
    for run in found:
        own = run.data.tags.get(LIVE_TAG) == turn.training and CONTENT_TAG not in run.data.tags
        if own and _agrees(store, run, _known(run, turn), turn.images, last=True):
            return run
    return None


def _known(run: Any, turn: TurnRecord) -> list[Point]:
    """Return the points of metrics that a run has some of."""
    return [point for point in turn.points if point.name in run.data.metrics]


def _log_child(store: Store, turn: TurnRecord, tags: Mapping[str, str], watched: Any | None) -> str:
    """Log an iteration to a new run, or what is missing to the one that showed its training."""
    if watched is None:
        run_id, points = store.create(turn.key, tags, turn.started), list(turn.points)
    else:
        run_id = str(watched.info.run_id)
        known = _known(watched, turn)
        points = [p for p in turn.points if p not in known] + _missing(store, run_id, known)
        store.set_tags(run_id, tags)
    store.log_params(run_id, turn.params)
    store.log_points(run_id, points)
    store.log_inputs(run_id, turn.inputs)
    for path, folder in turn.files:
        store.log_file(run_id, path, folder)
    # The content tag and the status come last: without both, the run counts as incomplete.
    store.set_tags(run_id, {CONTENT_TAG: turn.content})
    store.finish(run_id, turn.ended)
    return run_id


def _final_content(paths: CampaignPaths, params: Params) -> str | None:
    """Return the digest of the last iteration; None while it is not done."""
    try:
        return turn_digest(paths, params, list(params.iterations)[-1])
    except ArtifactError:
        return None


def _update_parent(
    store: Store, parent: str, params: Params, turn: TurnRecord, final_content: str | None
) -> None:
    """Bring the parent's children, note and status up to date."""
    children = {}
    for child in store.runs({PARENT: parent}):
        key = child.data.tags.get(BATCH_TAG)
        if key in params.iterations:
            if CONTENT_TAG in child.data.tags:  # else it is a training that runs, or was killed
                children[key] = child
        elif DELIVERED_TAG not in child.data.tags:
            # params.yaml no longer lists it.
            store.delete(child.info.run_id)
    # The last iteration's content covers all workloads before it, so its run alone shows whether
    # what is tracked agrees with the files.
    keys = list(params.iterations)
    last = children.get(keys[-1])
    finished = (
        final_content is not None
        and last is not None
        and is_complete(last, final_content)
        and all(key in children and is_complete(children[key]) for key in keys)
    )
    if not finished or turn.key == keys[-1]:
        texts = {NAME: _name(params, turn.campaign), NOTE: _note(params, turn.campaign)}
        store.set_tags(parent, texts)
    if finished:
        store.finish(parent, turn.ended)
    else:
        store.reopen(parent)


def origin_tags(root: Path) -> dict[str, str]:
    """Return the tags of a run's origin: user, commit, program."""
    tags = {
        "mlflow.source.name": "boxloop track",
        "mlflow.source.type": "LOCAL",
        "boxloop.version": __version__,
    }
    for tag, command in (
        ("mlflow.source.git.commit", ("git", "rev-parse", "HEAD")),
        ("mlflow.source.git.branch", ("git", "rev-parse", "--abbrev-ref", "HEAD")),
    ):
        text = _output(command, root)
        if text:
            tags[tag] = text
    experiment = os.environ.get("DVC_EXP_NAME")
    if experiment:
        tags["dvc.experiment"] = experiment
    try:
        tags["mlflow.user"] = getpass.getuser()
    except (KeyError, OSError):
        # In a container the user id may have no name.
        tags["mlflow.user"] = "unknown"
    return tags


def _output(command: tuple[str, ...], folder: Path) -> str | None:
    try:
        result = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
