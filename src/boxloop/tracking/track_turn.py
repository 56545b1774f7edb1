"""The stage ``track``: brings MLflow in line with the files of one iteration."""

from __future__ import annotations

import getpass
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boxloop import __version__
from boxloop.campaign import artifacts, digests
from boxloop.campaign.paths import CampaignPaths, CampaignResults, workspace_of
from boxloop.core.ordering import find_strategy
from boxloop.errors import ArtifactError, ParamsError
from boxloop.params import SIMNET, Params
from boxloop.report.tables import flatten
from boxloop.text import percent
from boxloop.tracking.mlflow_store import NAME, NOTE, PARENT, Store, opened
from boxloop.tracking.turn_record import (
    Point,
    Record,
    content_digest,
    gather,
    progress_values,
    simnet_points,
)

CAMPAIGN_TAG = "boxloop.campaign"
BATCH_TAG = "boxloop.batch"
CONTENT_TAG = "boxloop.content"


def track(
    paths: CampaignPaths,
    params: Params,
    key: str,
    out: Path,
    *,
    say: Callable[[str], object] = print,
) -> None:
    """Logs one iteration to MLflow, from its files alone.

    Running it again changes nothing; after changed files the iteration's run is replaced; after
    changed parameters there is a new parent run. After a kill at any moment, running it again
    leaves exactly one complete run.

    Args:
        paths: where the campaign's files are.
        params: of the campaign.
        key: the iteration, which must be labeled and accounted, as must all before it.
        out: a small file that says what was tracked, the same on every machine.
        say: told what a person may want to know.

    Raises:
        ParamsError: params.yaml does not list the iteration.
        ArtifactError: a file of the iteration is missing or damaged.
        TrackingError: MLflow cannot be written to.
    """
    if key not in params.iterations:
        raise ParamsError(f"iterations does not list '{key}': {', '.join(params.iterations)}")
    summary: dict[str, Any] = {"batch": key, "enabled": params.track.enabled}
    if not params.track.enabled:
        artifacts.write_tracked(out, summary)
        say(f"{key}: not tracked, because track.enabled is false")
        return
    fingerprint = digests.campaign_fingerprint(params, digests.dataset_digest(paths))
    workspace = workspace_of(paths.root)
    campaign_id = digests.campaign_identity(fingerprint, workspace)
    turn = read_turn(paths, params, key)
    with opened(workspace, params.track.experiment, say) as store:
        log_turn(store, turn, paths, params, campaign_id)
    summary |= {
        "campaign": fingerprint,
        "content": turn.content,
        "images_labeled": turn.record.images,
    }
    artifacts.write_tracked(out, summary)
    say(f"{key}: tracked; to look at it: {digests.ui_hint(paths.root)}")


@dataclass(frozen=True)
class Turn:
    """One iteration as its files tell it.

    Attributes:
        record: what its own run shows.
        campaign: the batches up to it.
        curve: of SimNet's training.
        content: digest of all of it.
    """

    record: Record
    campaign: CampaignResults
    curve: tuple[Point, ...]
    content: str


def read_turn(paths: CampaignPaths, params: Params, key: str) -> Turn:
    """Reads an iteration, before the store is opened.

    Raises:
        ArtifactError: a file of the iteration is missing or damaged.
    """
    content = content_digest(paths, params, key)
    record, campaign = gather(paths, params, key)
    return Turn(record, campaign, tuple(simnet_points(paths, params)), content)


def log_turn(
    store: Store, turn: Turn, paths: CampaignPaths, params: Params, campaign_id: str
) -> str:
    """Leaves exactly one complete run of an iteration under the campaign's.

    Returns:
        The id of the campaign's run.
    """
    record, campaign = turn.record, turn.campaign
    points = [*_campaign_points(campaign, record), *turn.curve]
    last = record.key == list(params.iterations)[-1]
    parent = _parent(store, params, campaign_id, record, points, last=last)
    origin = origin_tags(paths.root)
    _child(store, parent, record, turn.content, origin)
    store.set_tags(parent, origin)
    _settle(store, parent, params, campaign, record, _final_content(paths, params))
    return parent


def _campaign_points(campaign: CampaignResults, record: Record) -> list[Point]:
    """The parent's curves: what the first, the first two, ... batches add up to."""
    points, images = [], 0
    for i, workload in enumerate(campaign.workloads):
        images += workload.images
        part = CampaignResults(
            campaign.workloads[: i + 1],
            campaign.planned,
            campaign.iou_thresholds,
            campaign.seconds_per_box,
        )
        points += [Point(n, v, images, record.ended) for n, v in progress_values(part).items()]
    return points


# --- the parent run -------------------------------------------------------------------------------


def _parent(
    store: Store,
    params: Params,
    campaign_id: str,
    record: Record,
    points: list[Point],
    *,
    last: bool,
) -> str:
    """The one parent run of this campaign, with the curves up to this iteration.

    MLflow keeps every value ever logged. A run whose curves contradict the files (labels were
    amended, say) is therefore replaced by a new one, which takes over its children.
    """
    found = store.runs({CAMPAIGN_TAG: campaign_id})
    chosen = next((r for r in found if _agrees(store, r, points, record.images, last)), None)
    if chosen is None:
        run_id = store.create(params.track.campaign, {CAMPAIGN_TAG: campaign_id}, record.started)
        known: Mapping[str, str] = {}
    else:
        run_id, known = str(chosen.info.run_id), chosen.data.params
    left_out = {"iterations", "track", "report"} | params.unused
    settings = flatten(params.model_dump(mode="json", exclude=left_out))
    store.log_params(run_id, {k: v for k, v in settings.items() if k not in known})
    names = sorted({p.name for p in points})
    logged = {(name, step) for name in names for step, _ in store.history(run_id, name)}
    store.log_points(run_id, [p for p in points if (p.name, p.step) not in logged])
    for other in found:
        if other.info.run_id != run_id:
            for child in store.runs({PARENT: other.info.run_id}):
                store.set_tags(child.info.run_id, {PARENT: run_id})
            store.delete(other.info.run_id)
    return run_id


def _agrees(store: Store, run: Any, points: list[Point], images: int, last: bool) -> bool:
    """Whether a parent's curves are a part of what the files say, each point once."""
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
    """Says in any list of runs how much the campaign saved; MLflow cuts long names at the end."""
    iou = campaign.iou_thresholds[0]
    saved = percent(campaign.totals(iou).wt_reduction)
    return f"{params.track.campaign}: {saved} saved, {_approach(params)}, {params.train.detector}"


def _approach(params: Params) -> str:
    """The ordering as the paper's tables name it: with SimNet, where its features decide."""
    by_features = find_strategy(params.order.strategy).needs_features
    simnet = " (SimNet)" if by_features and params.features.weights == SIMNET else ""
    return f"{params.order.strategy}{simnet}"


def _note(params: Params, campaign: CampaignResults) -> str:
    lines = [
        f"**{params.track.campaign}**: {_approach(params)} ordering, {params.train.detector},"
        f" proposals shown from a score of {params.review.score_threshold:g}.",
        "",
        f"{len(campaign.workloads)} of {len(campaign.planned)} batches are done.",
        "",
        "| IoU | time saved (WT) | boxes saved (WB) | added | removed |",
        "|---|---|---|---|---|",
    ]
    for iou in campaign.iou_thresholds:
        t = campaign.totals(iou)
        cells = (percent(t.wt_reduction), percent(t.wb_reduction), str(t.added), str(t.removed))
        lines.append(f"| {iou:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


# --- the child runs -------------------------------------------------------------------------------


def _child(
    store: Store, parent: str, record: Record, content: str, origin: Mapping[str, str]
) -> None:
    """Leaves exactly one complete run of this iteration under the parent."""
    found = [r for r in store.runs({PARENT: parent}) if r.data.tags.get(BATCH_TAG) == record.key]
    complete = next((r for r in found if _is_complete(r, content)), None)
    if complete:
        run_id = str(complete.info.run_id)
    else:
        run_id = _log(store, record, content, {PARENT: parent, BATCH_TAG: record.key, **origin})
    # Only now, so that at every moment there is a run to look at.
    for other in found:
        if other.info.run_id != run_id:
            store.delete(other.info.run_id)


def _is_complete(run: Any, content: str | None = None) -> bool:
    tag = run.data.tags.get(CONTENT_TAG)
    return run.info.status == "FINISHED" and tag is not None and content in (None, tag)


def _log(store: Store, record: Record, content: str, tags: Mapping[str, str]) -> str:
    run_id = store.create(record.key, tags, record.started)
    store.log_params(run_id, record.params)
    store.log_points(run_id, record.points)
    store.log_inputs(run_id, record.inputs)
    for path, folder in record.files:
        store.log_file(run_id, path, folder)
    # Imported here: matplotlib is needed only where a run is really logged.
    from boxloop.report import figures

    with tempfile.TemporaryDirectory(prefix="boxloop-") as folder:
        pictures = {"edits.svg": figures.one_batch_edits(record.edits)}
        if record.losses:
            pictures["losses.svg"] = figures.losses(record.losses)
        for name, svg in pictures.items():
            path = Path(folder) / name
            path.write_bytes(svg)
            store.log_file(run_id, path, "figures")
    # The content tag and the status come last: without both, the run counts as incomplete.
    store.set_tags(run_id, {CONTENT_TAG: content})
    store.finish(run_id, record.ended)
    return run_id


def _final_content(paths: CampaignPaths, params: Params) -> str | None:
    """Content digest of the last iteration; None while it is not done."""
    try:
        return content_digest(paths, params, list(params.iterations)[-1])
    except ArtifactError:
        return None


def _settle(
    store: Store,
    parent: str,
    params: Params,
    campaign: CampaignResults,
    record: Record,
    final_content: str | None,
) -> None:
    """Brings the parent's children, note and status up to date."""
    children = {}
    for child in store.runs({PARENT: parent}):
        key = child.data.tags.get(BATCH_TAG)
        if key in params.iterations:
            children[key] = child
        else:
            # params.yaml listed it once, and no longer does.
            store.delete(child.info.run_id)
    # The last iteration's content covers all workloads before it, so that its run alone tells
    # whether what is tracked is what the files say now.
    keys = list(params.iterations)
    last = children.get(keys[-1])
    finished = (
        final_content is not None
        and last is not None
        and _is_complete(last, final_content)
        and all(key in children and _is_complete(children[key]) for key in keys)
    )
    if not finished or record.key == keys[-1]:
        texts = {NAME: _name(params, campaign), NOTE: _note(params, campaign)}
        store.set_tags(parent, texts)
    if finished:
        store.finish(parent, record.ended)
    else:
        store.reopen(parent)


def origin_tags(root: Path) -> dict[str, str]:
    """Tags that say where a run comes from: user, commit, program."""
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
        # A container may run under a user id that has no name.
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
