"""Commands of what is done before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boxloop.campaign import artifacts
from boxloop.cli.app import app
from boxloop.cli.options import PARAMS, Overrides, ParamsFile, Processes, stage_params
from boxloop.core.types import LabeledSet
from boxloop.files import file_digest, require_writable, write_json, write_text
from boxloop.params import SIMNET
from boxloop.progress import reporting


@app.command()
def dataset(
    images: Path,
    truth: Path,
    faults: Path,
    drawn: Path,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Read a dataset: its images, its boxes where it has any, and its faults."""
    from boxloop import datasets

    p = stage_params(params, override).dataset
    for path, kind in ((images, "images"), (truth, "truth"), (faults, "faults")):
        require_writable(path, f"boxloop/{kind}")
    with reporting("reading images") as report:
        found = datasets.load(p, drawn, report)
    if not any(drawn.iterdir()):
        # DVC warns of an output that is an empty folder, and people wonder about one.
        write_text(drawn / "README.txt", "The images are where images.json says.\n")
    payload, summary = datasets.faults_payload(found), datasets.faults_summary(found)
    artifacts.write_images(images, found.images)
    artifacts.write_truth(truth, found.truth)
    write_json(faults, payload, depth=3)
    print(summary)


@app.command()
def simnet(
    images: Path,
    out: Path,
    log: Path,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
    processes: Processes = 1,
) -> None:
    """Train SimNet on the halves of all images, where `features.weights` is simnet."""
    p = stage_params(params, override)
    image_set = artifacts.read_images(images)
    require_writable(out)
    require_writable(log, "boxloop/simnet")
    if p.features.weights != SIMNET:
        write_text(out, "")
        write_json(log, {"format": "boxloop/simnet@1", "steps": 0, "losses": []})
        print(f"not trained, because features.weights is {p.features.weights}")
        return
    from boxloop import distributed
    from boxloop.models import checkpoint
    from boxloop.models.simnet import training

    if distributed.launch_processes(processes):
        return
    job = f"SimNet ({p.features.network})"
    with distributed.join() as world, reporting(job, shown=world.is_main) as report:
        trained, result = training.train(
            image_set.images,
            p.simnet,
            p.features,
            lambda step, steps, loss: report(step, steps, loss=loss),
        )
    if not world.is_main:
        return
    checkpoint.write_simnet(out, trained)
    write_json(log, {"format": "boxloop/simnet@1", **result.to_json()})
    print(
        f"{result.steps} steps on the halves of {result.images} images from"
        f" {result.initial_weights}, {result.images_per_second:.0f} images/s;"
        f" {result.wait_fraction:.0%} of the time waited for images"
    )


@app.command()
def features(
    images: Path,
    out: Path,
    simnet: Annotated[
        Path | None, typer.Option(help="What `boxloop simnet` wrote, for weights: simnet.")
    ] = None,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
    processes: Processes = 1,
) -> None:
    """Turn every image into a vector, by a CNN of torchvision's."""
    p = stage_params(params, override).features
    image_set = artifacts.read_images(images)
    require_writable(out)
    from boxloop import distributed
    from boxloop.models.features import extract

    # One batch is no work to share.
    if len(image_set.images) > p.batch_size and distributed.launch_processes(processes):
        return
    job = f"features by {p.network}"
    with distributed.join() as world, reporting(job, shown=world.is_main) as report:
        table = extract(image_set.images, p, report, simnet=simnet)
    if not world.is_main:
        return
    artifacts.write_features(out, table)
    print(f"{len(table.image_ids)} vectors of {table.vectors.shape[1]} numbers in {out}")


@app.command()
def order(
    features: Path, out: Path, params: ParamsFile = PARAMS, override: Overrides = None
) -> None:
    """Order all images by the distances between their features."""
    from boxloop.core.ordering import order as order_images

    p = stage_params(params, override).order
    table = artifacts.read_features(features)
    require_writable(out, "boxloop/order")
    with reporting(f"ordering, {p.strategy}") as report:
        result = order_images(
            table,
            p.strategy,
            seed=p.seed,
            query_size=p.query_size,
            linkage=p.linkage,
            progress=report,
        )
    artifacts.write_order(out, result)
    print(f"{len(result.image_ids)} images in {p.strategy} order in {out}")


@app.command()
def batch(order: Path, out: Path, params: ParamsFile = PARAMS, override: Overrides = None) -> None:
    """Cut the order into the batches that params.yaml lists under `iterations`."""
    from boxloop.core import batching

    p = stage_params(params, override)
    image_ids = artifacts.read_order(order).image_ids
    batches = batching.plan(image_ids, p.batch, list(p.iterations))
    artifacts.write_batches(out, batches)
    for item in batches:
        print(f"{item.id}: {len(item.image_ids)} images")
    rest = len(image_ids) - sum(len(item.image_ids) for item in batches)
    if rest:
        print(f"{rest} images are in no batch yet: list more iterations to label them")


@app.command()
def start(images: Path, labeled: Path, detector: Path, tracked: Path) -> None:
    """Write what the first turn starts from: nothing labeled, and the empty detector."""
    from boxloop.models.detectors import empty
    from boxloop.tracking.track_turn import NOTHING_TRACKED

    classes = artifacts.read_images(images).classes
    artifacts.write_labeled(labeled, LabeledSet(classes, (), {}))
    empty.EmptyDetector(classes).save(detector, labeled_digest=file_digest(labeled))
    write_json(tracked, NOTHING_TRACKED)
