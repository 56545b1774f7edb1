"""The stages of dvc.yaml as commands: options around the functions of ``boxloop.pipeline``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from boxloop.cli.app import STAGES, app
from boxloop.cli.options import (
    PARAMS,
    Overrides,
    ParamsFile,
    Processes,
    first_process,
    read,
    share_out,
    stage_params,
    written,
)

WAITED_LONG = 0.2
"""Share of a training's time from which on more processes for its images are worth a word."""

Turn = Annotated[str, typer.Argument(metavar="TURN", help="The iteration, such as b01.")]


IMAGES = read("All images [data/images.json].")


@app.command(rich_help_panel=STAGES)
def dataset(
    images: Path | None = written("all images [data/images.json]."),
    truth: Path | None = written("their annotations [data/truth.json]."),
    faults: Path | None = written("what was wrong [data/faults.json]."),
    drawn: Path | None = written("folder of images that boxloop draws [data/images]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Read the images, and their boxes where there are any."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.datasets import faults_summary
    from boxloop.progress import reporting

    p = stage_params(params, override)
    with reporting("reading images") as progress:
        found = pipeline.dataset(
            CampaignPaths(),
            p,
            images=images,
            truth=truth,
            faults=faults,
            drawn=drawn,
            progress=progress,
        )
    print(faults_summary(found))


@app.command(rich_help_panel=STAGES)
def simnet(
    images: Path | None = IMAGES,
    out: Path | None = written("the trained network [data/simnet.pt]."),
    log: Path | None = written("how the training went [data/simnet.json]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
    processes: Processes = 1,
) -> None:
    """Train SimNet on the halves of all images."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.params import SIMNET
    from boxloop.progress import reporting

    p = stage_params(params, override)
    with reporting(f"SimNet ({p.features.network})", shown=first_process()) as progress:
        result = pipeline.simnet(
            CampaignPaths(),
            p,
            images=images,
            out=out,
            log=log,
            progress=progress,
            share_out=share_out(processes),
        )
    if p.features.weights != SIMNET:
        print(f"not trained, because features.weights is {p.features.weights}")
    elif result is not None and first_process():
        print(
            f"{result.steps} steps on the halves of {result.images} images from"
            f" {result.initial_weights}, {result.images_per_second:.0f} images/s;"
            f" {result.wait_fraction:.0%} of the time waited for images"
        )


@app.command(rich_help_panel=STAGES)
def features(
    images: Path | None = IMAGES,
    simnet: Path | None = read("The trained SimNet, for weights: simnet [data/simnet.pt]."),
    out: Path | None = written("one vector per image [data/features.npz]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
    processes: Processes = 1,
) -> None:
    """Turn every image into a feature vector."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.progress import reporting

    p, paths = stage_params(params, override), CampaignPaths()
    with reporting(f"features by {p.features.network}", shown=first_process()) as progress:
        table = pipeline.features(
            paths,
            p,
            images=images,
            simnet=simnet,
            out=out,
            progress=progress,
            share_out=share_out(processes),
        )
    if table is not None:
        n, d = table.vectors.shape
        print(f"{n} vectors of {d} numbers in {out or paths.features}")


@app.command(rich_help_panel=STAGES)
def order(
    features: Path | None = read("One vector per image [data/features.npz]."),
    out: Path | None = written("the order [data/order.json]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Order all images by their features."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.progress import reporting

    p, paths = stage_params(params, override), CampaignPaths()
    with reporting(f"ordering, {p.order.strategy}") as progress:
        result = pipeline.order(paths, p, features=features, out=out, progress=progress)
    count = len(result.image_ids)
    print(f"{count} images in {p.order.strategy} order in {out or paths.order}")


@app.command(rich_help_panel=STAGES)
def batch(
    order: Path | None = read("The order of all images [data/order.json]."),
    out: Path | None = written("folder of the batches [data/batches]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Cut the order into batches, one for each iteration."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths

    batches, rest = pipeline.batch(
        CampaignPaths(), stage_params(params, override), order=order, out=out
    )
    for item in batches:
        print(f"{item.id}: {len(item.image_ids)} images")
    if rest:
        print(f"{rest} images are in no batch yet: list more iterations to label them")


@app.command(rich_help_panel=STAGES)
def start(
    images: Path | None = IMAGES,
    labeled: Path | None = written("nothing labeled [data/labeled/empty.json]."),
    detector: Path | None = written("the empty detector [data/detectors/empty.pt]."),
    tracked: Path | None = written("nothing tracked [data/tracked/empty.json]."),
) -> None:
    """Write the empty labels and detector of the first turn."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths

    pipeline.start(
        CampaignPaths(), images=images, labeled=labeled, detector=detector, tracked=tracked
    )


@app.command(rich_help_panel=STAGES)
def train(
    turn: Turn,
    images: Path | None = IMAGES,
    labeled: Path | None = read("All labels before the turn [data/labeled/PREVIOUS.json]."),
    previous: Path | None = read("The detector before it [data/detectors/PREVIOUS.pt]."),
    out: Path | None = written("the detector [data/detectors/TURN.pt]."),
    log: Path | None = written("how the training went [data/training/TURN.json]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
    processes: Processes = 1,
) -> None:
    """Train a detector on everything labeled so far."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.progress import reporting

    p = stage_params(params, override)
    job = f"training {turn} ({p.train.detector})"
    with reporting(job, shown=first_process()) as progress:
        result = pipeline.train(
            CampaignPaths(),
            p,
            turn,
            images=images,
            labeled=labeled,
            previous=previous,
            out=out,
            log=log,
            progress=progress,
            share_out=share_out(processes),
        )
    if result is None or not first_process():
        return
    if not result.steps:
        print(f"{turn}: nothing is labeled yet, so this detector proposes nothing")
        return
    print(
        f"{turn}: {result.steps} steps on {result.images} images from"
        f" {result.initial_weights}, {result.images_per_second:.0f} images/s;"
        f" {result.wait_fraction:.0%} of the time waited for images"
    )
    if result.wait_fraction > WAITED_LONG and not p.train.workers:
        print(
            f"{turn}: the model waited long; 'train.workers: 4' has 4 processes decode and"
            " augment images beside it",
            file=sys.stderr,
        )


@app.command(rich_help_panel=STAGES)
def propose(
    turn: Turn,
    images: Path | None = IMAGES,
    batch: Path | None = read("The batch [data/batches/TURN.json]."),
    detector: Path | None = read("The detector [data/detectors/TURN.pt]."),
    out: Path | None = written("the proposals [data/proposals/TURN.json]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
    processes: Processes = 1,
) -> None:
    """Propose boxes for a batch."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.progress import reporting

    p = stage_params(params, override)
    with reporting(f"proposing {turn}", shown=first_process()) as progress:
        found = pipeline.propose(
            CampaignPaths(),
            p,
            turn,
            images=images,
            batch=batch,
            detector=detector,
            out=out,
            progress=progress,
            share_out=share_out(processes),
        )
    if found is not None:
        boxes = sum(map(len, found.boxes.values()))
        print(f"{found.batch}: {boxes} proposals on {len(found.boxes)} images")


@app.command(rich_help_panel=STAGES)
def merge(
    turn: Turn,
    labeled: Path | None = read("All labels before the turn [data/labeled/PREVIOUS.json]."),
    corrections: Path | None = read("The corrected batch [data/corrections/TURN.json]."),
    out: Path | None = written("all labels [data/labeled/TURN.json]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Add a corrected batch to everything labeled so far."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths

    result = pipeline.merge(
        CampaignPaths(),
        stage_params(params, override),
        turn,
        labeled=labeled,
        corrections=corrections,
        out=out,
    )
    print(f"{len(result)} images are labeled")


@app.command(rich_help_panel=STAGES)
def account(
    turn: Turn,
    corrections: Path | None = read("The corrected batch [data/corrections/TURN.json]."),
    out: Path | None = written("the edits [data/workload/TURN.json]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Count the edits of a batch and what they cost."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths

    p = stage_params(params, override)
    result = pipeline.account(CampaignPaths(), p, turn, corrections=corrections, out=out)
    for iou in p.account.iou_thresholds:
        ledger = result.ledger(iou)
        print(
            f"{result.batch} at IoU {iou:g}: {ledger.kept} kept, {ledger.additions} to add,"
            f" {ledger.removals} to remove, of {result.objects} objects"
        )


@app.command(rich_help_panel=STAGES)
def track(
    turn: Turn,
    out: Path | None = written("what was tracked [data/tracked/TURN.json]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Log a turn to MLflow."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths

    pipeline.track(CampaignPaths(), stage_params(params, override), turn, out=out)


@app.command(rich_help_panel=STAGES)
def report(
    metrics: Path | None = written("the campaign's numbers [metrics.json]."),
    out: Path | None = written("folder of the page and its tables [data/report]."),
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Write metrics.json, tables, figures and one HTML page."""
    from boxloop import pipeline
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.report.console import effort_text, where_to_look, workload_text
    from boxloop.report.review_time import read_effort
    from boxloop.tracking.store_uri import ui_hint

    p, paths = stage_params(params, override), CampaignPaths()
    done = pipeline.report(paths, p, metrics=metrics, out=out)
    print(workload_text(done))
    effort = read_effort(paths, done)
    if effort is not None:
        print(f"\n{effort_text(effort, done)}\n")
    print(where_to_look(paths, ui_hint(paths.root) if p.track.enabled else None))
