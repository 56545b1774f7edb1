"""Commands of one turn of the loop; ``review`` is among those of people."""

from __future__ import annotations

import sys
from pathlib import Path

from boxloop.campaign import artifacts
from boxloop.cli.app import app
from boxloop.cli.options import (
    PARAMS,
    Overrides,
    ParamsFile,
    Processes,
    listed,
    same_classes,
    stage_params,
)
from boxloop.files import file_digest, require_writable, write_json
from boxloop.progress import reporting

WAITED_LONG = 0.2
"""Share of a training's time from which on more processes for its images are worth a word."""


@app.command()
def train(
    images: Path,
    labeled: Path,
    previous: Path,
    out: Path,
    log: Path,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
    processes: Processes = 1,
) -> None:
    """Train a detector on everything labeled so far."""
    p = stage_params(params, override).train
    labeled_set, image_set = artifacts.read_labeled(labeled), artifacts.read_images(images)
    same_classes(image_set, images, labeled_set.classes, labeled)
    refs = listed(image_set, labeled, list(labeled_set.boxes))
    require_writable(out)
    require_writable(log, "boxloop/training")
    from boxloop import distributed
    from boxloop.models import detectors

    # The empty detector is no work to share.
    if refs and distributed.launch_processes(processes):
        return
    job = f"training {out.stem} ({p.detector})"
    with distributed.join() as world, reporting(job, shown=world.is_main) as report:
        detector, result = detectors.train(
            p,
            labeled_set,
            refs,
            previous=previous,
            progress=lambda step, steps, loss: report(step, steps, loss=loss),
        )
    if not world.is_main:
        return
    detector.save(out, labeled_digest=file_digest(labeled))
    write_json(log, {"format": "boxloop/training@1", **result.to_json()})
    if result.steps:
        print(
            f"{out.stem}: {result.steps} steps on {result.images} images from"
            f" {result.initial_weights}, {result.images_per_second:.0f} images/s;"
            f" {result.wait_fraction:.0%} of the time waited for images"
        )
        if result.wait_fraction > WAITED_LONG and not p.workers:
            print(
                f"{out.stem}: the model waited long; 'train.workers: 4' has 4 processes decode and"
                " augment images beside it",
                file=sys.stderr,
            )
    else:
        print(f"{out.stem}: nothing is labeled yet, so this detector proposes nothing")


@app.command()
def propose(
    images: Path,
    batch: Path,
    detector: Path,
    out: Path,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
    processes: Processes = 1,
) -> None:
    """Let the detector offer boxes for the next batch."""
    from boxloop import distributed
    from boxloop.core.types import Proposals
    from boxloop.models import detectors

    p = stage_params(params, override).propose
    image_set, item = artifacts.read_images(images), artifacts.read_batch(batch)
    refs = listed(image_set, batch, item.image_ids)
    require_writable(out, "boxloop/proposals")
    # One batch is no work to share.
    if len(refs) > p.batch_size and distributed.launch_processes(processes):
        return
    with distributed.join() as world:
        model = detectors.load(detector, p.device)
        same_classes(image_set, images, model.classes, detector)
        share = world.share(len(refs), p.batch_size)
        with reporting(f"proposing {item.id}", shown=world.is_main) as report:
            own = model.propose(
                refs[share.start : share.stop],
                score_floor=p.score_floor,
                batch_size=p.batch_size,
                progress=lambda done, _: report(min(done * world.size, len(refs)), len(refs)),
            )
        parts = distributed.gather(own)
    if not world.is_main:
        return
    boxes = {image_id: found for part in parts for image_id, found in part.items()}
    checkpoint = file_digest(detector)
    artifacts.write_proposals(out, Proposals(item.id, model.name, checkpoint, p.score_floor, boxes))
    print(f"{item.id}: {sum(map(len, boxes.values()))} proposals on {len(boxes)} images")


@app.command()
def merge(labeled: Path, corrections: Path, out: Path) -> None:
    """Add a corrected batch to everything labeled so far."""
    from boxloop.core.labeled_set import merge as merge_batch

    result = merge_batch(artifacts.read_labeled(labeled), artifacts.read_corrections(corrections))
    artifacts.write_labeled(out, result)
    print(f"{len(result)} images are labeled")


@app.command()
def account(
    corrections: Path, out: Path, params: ParamsFile = PARAMS, override: Overrides = None
) -> None:
    """Count the edits of one batch, and what they cost."""
    from boxloop.core.workload import account as account_batch
    from boxloop.models.average_precision import average_precision

    p = stage_params(params, override).account
    corrected = artifacts.read_corrections(corrections)
    precision = average_precision(corrected.proposals.boxes, corrected.boxes)
    result = account_batch(corrected, p.iou_thresholds, p.score_thresholds, precision)
    artifacts.write_workload(out, result)
    for iou in p.iou_thresholds:
        ledger = result.ledger(iou)
        print(
            f"{result.batch} at IoU {iou:g}: {ledger.kept} kept, {ledger.additions} to add,"
            f" {ledger.removals} to remove, of {result.objects} objects"
        )


@app.command()
def track(
    campaign: Path, batch: str, out: Path, params: ParamsFile = PARAMS, override: Overrides = None
) -> None:
    """Log one turn of the loop to MLflow, from the files in a campaign's folder."""
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.tracking.track_turn import track as track_batch

    track_batch(CampaignPaths(campaign), stage_params(params, override), batch, out)
