"""Read what MLflow logs of one iteration, from the campaign's files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from boxloop.campaign.artifacts import read_proposals, read_simnet, read_training
from boxloop.campaign.digests import digest, training_digest
from boxloop.campaign.paths import CampaignPaths
from boxloop.campaign.results import CampaignResults, read_results
from boxloop.core.edits import EDITS
from boxloop.core.training_log import TrainingLog
from boxloop.core.workload import BatchWorkload
from boxloop.files import file_digest
from boxloop.params import SIMNET, Params
from boxloop.report.tables import flatten, measured_hours
from boxloop.tracking.class_values import class_values

_FORMAT = 4
"""Incremented when other things are logged, so that runs of an older boxloop are replaced."""


_TRAINING = ("seconds", "images_per_second", "wait_fraction", "images", "boxes", "parameters")


@dataclass(frozen=True)
class Point:
    """One value of a metric.

    Attributes:
        name: of the metric.
        value: finite.
        step: the x axis.
        time: Unix time, milliseconds.
    """

    name: str
    value: float
    step: int
    time: int


@dataclass(frozen=True)
class InputData:
    """Data that went into a run.

    Attributes:
        name: of the data.
        digest: the first half of the SHA-256 of its file.
        path: of the file, from the campaign's folder.
        context: what it was used for.
        columns: its fields, by MLflow's type of each.
        counts: how much there is, by what is counted.
    """

    name: str
    digest: str
    path: str
    context: str
    columns: Mapping[str, str]
    counts: Mapping[str, int]


@dataclass(frozen=True)
class TurnRecord:
    """What MLflow logs of one iteration.

    Attributes:
        key: of the iteration, and of its batch.
        content: digest of everything that the run is made from; an equal one needs no new run.
        campaign: the batches up to this one.
        images: of the batches up to this one, given labels too: the step of its metrics.
        params: name to text.
        points: metrics of the iteration's own run.
        simnet: loss curve of SimNet's training, which the campaign's run shows.
        files: artifacts, with the folder that each goes to.
        inputs: the data that went in.
        training: digest of what the detector was trained by.
        started: Unix time in milliseconds at which the training began.
        ended: Unix time in milliseconds at which the batch was accounted.
    """

    key: str
    content: str
    campaign: CampaignResults
    images: int
    params: Mapping[str, str]
    points: tuple[Point, ...]
    simnet: tuple[Point, ...]
    files: tuple[tuple[Path, str], ...]
    inputs: tuple[InputData, ...]
    training: str
    started: int
    ended: int


def turn_digest(paths: CampaignPaths, params: Params, key: str) -> str:
    """Return the digest of everything that an iteration's run is made from.

    Raises:
        ArtifactError: one of the files is missing.
    """
    keys = list(params.iterations)
    before = keys[: keys.index(key) + 1]
    files = [paths.workload(k) for k in before]
    files += [paths.training(key), paths.images, paths.labeled(params.iterations[key].previous)]
    digests = [file_digest(path) for path in files]
    settings = params.model_dump(mode="json", include={"train", "propose", "review"})
    checkpoint = _checkpoint_digest(paths, key)
    return digest([_FORMAT, before, digests, settings, params.track.checkpoints, checkpoint])


def _checkpoint_digest(paths: CampaignPaths, key: str) -> str:
    """Return the checkpoint's digest; where a study deleted it, from the proposals."""
    path, proposals = paths.detector(key), paths.proposals(key)
    if path.exists() or not proposals.exists():
        return file_digest(path)
    return read_proposals(proposals).checkpoint


def read_turn(paths: CampaignPaths, params: Params, key: str) -> TurnRecord:
    """Read everything that MLflow logs of an iteration.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    content = turn_digest(paths, params, key)
    campaign = read_results(paths, params, through=key)
    training = read_training(paths.training(key))
    previous = params.iterations[key].previous
    images = sum(w.labeled_images for w in campaign.workloads)
    # The log counts seconds from the training's beginning, and was written at its end.
    began = paths.training(key).stat().st_mtime - training.seconds
    started = round(1000 * began)
    ended = round(1000 * max(began, paths.workload(key).stat().st_mtime))
    workload = campaign.workloads[-1]
    values = {**_training_values(training), **_batch_values(campaign), **progress_values(campaign)}
    values |= class_values(paths, campaign)
    points = [Point(name, value, images, ended) for name, value in values.items()]
    settings = params.model_dump(mode="json", include={"train", "propose", "review"})
    files = [(paths.workload(key), "record"), (paths.training(key), "record")]
    if params.track.checkpoints:
        files.append((paths.detector(key), "checkpoint"))
    return TurnRecord(
        key=key,
        content=content,
        campaign=campaign,
        images=images,
        params={
            **flatten(settings),
            "batch": key,
            "previous": previous,
            "detector": workload.detector,
            "detector.digest": _checkpoint_digest(paths, key),
            "annotator": workload.annotator,
            **({} if training.seen is None else {"trained_ahead_on": training.seen.in_words()}),
            **({} if workload.reviewer is None else {"reviewer": workload.reviewer}),
            **_judged_by(workload, campaign.iou_thresholds),
        },
        points=(*_curves(training, started), *points),
        simnet=tuple(_simnet_points(paths, params)),
        files=tuple(files),
        inputs=_inputs(paths, campaign, key, previous),
        training=training_digest(training.made_of),
        started=started,
        ended=ended,
    )


def _simnet_points(paths: CampaignPaths, params: Params) -> list[Point]:
    """Return the loss curve of SimNet's training; empty where it was not trained."""
    if params.features.weights != SIMNET:
        return []
    log = read_simnet(paths.simnet_log)
    started = paths.simnet_log.stat().st_mtime - (log.seconds or 0.0)
    return [
        Point("simnet/loss", row["loss"], int(row["step"]), round(1000 * (started + row["time"])))
        for row in log.losses
    ]


def progress_values(campaign: CampaignResults) -> dict[str, float]:
    """Return the campaign's totals by metric name; parent and child runs log the same."""
    values: dict[str, float] = {}
    for iou in campaign.iou_thresholds:
        totals = campaign.totals(iou)
        values[f"wt_reduction/iou_{iou:g}"] = totals.wt_reduction
        values[f"wb_reduction/iou_{iou:g}"] = totals.wb_reduction
        values[f"wt_hours/iou_{iou:g}"] = totals.wt * campaign.seconds_per_box / 3600
        values[f"wb_boxes/iou_{iou:g}"] = totals.wb
    for iou, own in campaign.own_prices().items():
        values[f"costs_hours/iou_{iou:g}"] = own.hours
        values[f"costs_reduction/iou_{iou:g}"] = own.reduction
    values |= measured_hours(campaign)
    first = campaign.totals(campaign.iou_thresholds[0])
    values["labeled/images"], values["labeled/objects"] = first.images, first.objects
    precision = campaign.workloads[-1].average_precision
    values |= {f"proposals/{name}": value for name, value in precision.items()}
    return {name: float(value) for name, value in values.items()}


def _batch_values(campaign: CampaignResults) -> dict[str, float]:
    workload = campaign.workloads[-1]
    values: dict[str, float] = {"batch/images": workload.images, "batch/objects": workload.objects}
    for iou in campaign.iou_thresholds:
        values[f"proposals/score_threshold_iou_{iou:g}"] = workload.counted_at(iou)
        if (saving := workload.saving(iou, campaign.cost_model)) is not None:
            values[f"proposals/saving_iou_{iou:g}"] = saving
        fitted = workload.fitted(iou)
        if fitted is not None and fitted.expected_saving is not None:
            values[f"proposals/expected_saving_iou_{iou:g}"] = fitted.expected_saving
        ledger = workload.ledger(iou)
        for kind in (*EDITS, "additions", "removals"):
            values[f"edits/{kind}_iou_{iou:g}"] = getattr(ledger, kind)
    if workload.seconds is not None:
        values["batch/review_seconds"] = workload.seconds
    if workload.edits is not None:
        values["batch/revision"] = workload.revision
        values |= {f"edits/{kind}": getattr(workload.edits, kind) for kind in EDITS}
    return values


def _judged_by(workload: BatchWorkload, ious: Sequence[float]) -> dict[str, str]:
    """Return how the fitted thresholds were found, by name of the parameter."""
    found = {f"review.threshold_judged_by.iou_{iou:g}": workload.fitted(iou) for iou in ious}
    return {name: fitted.found for name, fitted in found.items() if fitted is not None}


def _training_values(training: TrainingLog) -> dict[str, float]:
    # The empty detector was not trained; zeros would distort the scale of a chart.
    names = [*_TRAINING] if training.steps else []
    if training.zoom != 1:
        names.append("zoom")
    return {f"train/{name}": float(getattr(training, name)) for name in names}


def _curves(training: TrainingLog, started: int) -> list[Point]:
    """Return the losses and the learning rate by step."""
    points = []
    for row in training.losses:
        time = started + round(1000 * row["time"])
        for name, value in row.items():
            if name not in ("step", "time"):
                group = "train" if name == "learning_rate" else "loss"
                points.append(Point(f"{group}/{name}", float(value), int(row["step"]), time))
    return points


_TEXT, _PIXELS = "string", "double"
_IMAGE = {"id": _TEXT, "path": _TEXT, "width": "long", "height": "long", "digest": _TEXT}
_BOX = {"image": _TEXT, "label": _TEXT} | dict.fromkeys(("x1", "y1", "x2", "y2"), _PIXELS)


def _inputs(
    paths: CampaignPaths, campaign: CampaignResults, key: str, previous: str
) -> tuple[InputData, ...]:
    *before, own = campaign.workloads
    given = campaign.given or (0, 0)
    labeled = {
        "images": given[0] + sum(w.labeled_images for w in before),
        "objects": given[1] + sum(w.objects + w.given_objects for w in before),
    }
    batch = {"images": own.labeled_images}

    def data(
        name: str, path: Path, context: str, columns: Mapping[str, str], counts: Mapping[str, int]
    ) -> InputData:
        place = path.relative_to(paths.root).as_posix()
        return InputData(name, file_digest(path)[:32], place, context, columns, counts)

    return (
        data("images", paths.images, "campaign", _IMAGE, {}),
        data(f"labeled-{previous}", paths.labeled(previous), "training", _BOX, labeled),
        data(f"batch-{key}", paths.batch(key), "labeling", {"image": _TEXT}, batch),
    )
