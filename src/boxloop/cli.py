"""The command line: one subcommand per stage of dvc.yaml, and a few for people.

Every stage names the files it reads and writes, and works without DVC. Heavy libraries are
imported by the commands that need them, so that ``boxloop --help`` answers at once.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from boxloop import __version__, storage
from boxloop.errors import (
    ArtifactError,
    BoxloopError,
    ParamsError,
    UserError,
    told,
)
from boxloop.params import SIMNET, Params, load_params
from boxloop.progress import reporting
from boxloop.types import ImageRef, ImageSet, LabeledSet

app = typer.Typer(
    help="Label a pile of images with a fraction of the boxes drawn by hand.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

ParamsFile = Annotated[Path, typer.Option("--params", help="Parameters file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", help="Override a parameter: section.key=value. May be repeated."),
]
Processes = Annotated[
    int,
    typer.Option(
        "--processes",
        min=1,
        envvar="BOXLOOP_PROCESSES",
        help="Processes on this machine that share the work, one for each GPU.",
    ),
]
PARAMS = Path("params.yaml")
WAITED_LONG = 0.2
"""Share of a training's time from which on more processes for its images are worth a word."""


def main() -> None:
    """Runs the command line; a BoxloopError becomes one sentence and an exit code."""
    # What is wrong with an image is boxloop's own to say, by file.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    together: AbstractContextManager[None] = nullcontext()
    if "TORCHELASTIC_ERROR_FILE" in os.environ:  # one of several processes
        from boxloop.distribution import failing_quietly

        together = failing_quietly()
    try:
        with together:
            app()
    except (BoxloopError, OSError) as error:
        sentence, code = told(error)
        print(f"boxloop: {sentence}", file=sys.stderr)
        sys.exit(code)


def _params(path: Path, overrides: list[str] | None) -> Params:
    """The parameters; those of a stage by hand may be defaults, but no named file may be missing.

    Raises:
        ParamsError: the file that ``--params`` names does not exist.
    """
    if path != PARAMS and not path.exists():
        raise ParamsError(f"{path} does not exist: name a params.yaml, or leave --params out")
    return load_params(path, overrides or ())


def _campaign_params(path: Path, overrides: list[str] | None) -> Params:
    """The parameters of the campaign whose folder this is.

    Raises:
        ParamsError: it is no campaign's folder.
    """
    if not path.exists():
        raise ParamsError(
            f"{path} does not exist: go to a campaign's folder, or make one with"
            " 'boxloop init FOLDER'"
        )
    return _params(path, overrides)


def _listed(images: ImageSet, source: Path, image_ids: Sequence[str]) -> tuple[ImageRef, ...]:
    """The images that the file ``source`` lists."""
    with storage.faults_of(source):
        return images.subset(image_ids)


def _same_classes(
    images: ImageSet, images_file: Path, classes: Sequence[str], source: Path
) -> None:
    """Refuses to bring together what was made for different classes."""
    if tuple(classes) != images.classes:
        raise ArtifactError(
            f"{source} is for the classes {', '.join(classes)}, but {images_file} has"
            f" {', '.join(images.classes)}: run the stages after 'dataset' again"
        )


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


# --- before the loop ------------------------------------------------------------------------------


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

    p = _params(params, override).dataset
    for path, kind in ((images, "images"), (truth, "truth"), (faults, "faults")):
        storage.require_writable(path, f"boxloop/{kind}")
    with reporting("reading images") as report:
        found = datasets.load(p, drawn, report)
    if not any(drawn.iterdir()):
        # DVC warns of an output that is an empty folder, and people wonder about one.
        storage.write_text(drawn / "README.txt", "The images are where images.json says.\n")
    payload, summary = datasets.faults_payload(found), datasets.faults_summary(found)
    storage.write_images(images, found.images)
    storage.write_truth(truth, found.truth)
    storage.write_json(faults, payload, depth=3)
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
    p = _params(params, override)
    image_set = storage.read_images(images)
    storage.require_writable(out)
    storage.require_writable(log, "boxloop/simnet")
    if p.features.weights != SIMNET:
        storage.write_text(out, "")
        storage.write_json(log, {"format": "boxloop/simnet@1", "steps": 0, "losses": []})
        print(f"not trained, because features.weights is {p.features.weights}")
        return
    from boxloop import distribution
    from boxloop.simnet import checkpoint, training

    if distribution.launched(processes):
        return
    job = f"SimNet ({p.features.network})"
    with distribution.joined() as world, reporting(job, shown=world.leads) as report:
        trained, result = training.train(
            image_set.images,
            p.simnet,
            p.features,
            lambda step, steps, loss: report(step, steps, loss=loss),
        )
    if not world.leads:
        return
    checkpoint.write(out, trained)
    storage.write_json(log, {"format": "boxloop/simnet@1", **result.to_json()})
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
    p = _params(params, override).features
    image_set = storage.read_images(images)
    storage.require_writable(out)
    from boxloop import distribution
    from boxloop.features import extract

    if distribution.launched(processes):
        return
    job = f"features by {p.network}"
    with distribution.joined() as world, reporting(job, shown=world.leads) as report:
        table = extract(image_set.images, p, report, simnet=simnet)
    if not world.leads:
        return
    storage.write_features(out, table)
    print(f"{len(table.image_ids)} vectors of {table.vectors.shape[1]} numbers in {out}")


@app.command()
def order(
    features: Path, out: Path, params: ParamsFile = PARAMS, override: Overrides = None
) -> None:
    """Order all images by the distances between their features."""
    from boxloop.ordering import order as order_images

    p = _params(params, override).order
    table = storage.read_features(features)
    storage.require_writable(out, "boxloop/order")
    with reporting(f"ordering, {p.strategy}") as report:
        result = order_images(
            table,
            p.strategy,
            seed=p.seed,
            query_size=p.query_size,
            linkage=p.linkage,
            progress=report,
        )
    storage.write_order(out, result)
    print(f"{len(result.image_ids)} images in {p.strategy} order in {out}")


@app.command()
def batch(order: Path, out: Path, params: ParamsFile = PARAMS, override: Overrides = None) -> None:
    """Cut the order into the batches that params.yaml lists under `iterations`."""
    from boxloop import batching

    p = _params(params, override)
    image_ids = storage.read_order(order).image_ids
    batches = batching.plan(image_ids, p.batch, list(p.iterations))
    storage.write_batches(out, batches)
    for item in batches:
        print(f"{item.id}: {len(item.image_ids)} images")
    rest = len(image_ids) - sum(len(item.image_ids) for item in batches)
    if rest:
        print(f"{rest} images are in no batch yet: list more iterations to label them")


@app.command()
def start(images: Path, labeled: Path, detector: Path, tracked: Path) -> None:
    """Write what the first turn starts from: nothing labeled, and the empty detector."""
    from boxloop.detectors import empty
    from boxloop.tracking.stage import NOTHING_TRACKED

    classes = storage.read_images(images).classes
    storage.write_labeled(labeled, LabeledSet(classes, (), {}))
    empty.EmptyDetector(classes).save(detector, labeled_digest=storage.file_digest(labeled))
    storage.write_json(tracked, NOTHING_TRACKED)


# --- one turn of the loop -------------------------------------------------------------------------


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
    p = _params(params, override).train
    labeled_set, image_set = storage.read_labeled(labeled), storage.read_images(images)
    _same_classes(image_set, images, labeled_set.classes, labeled)
    refs = _listed(image_set, labeled, list(labeled_set.boxes))
    storage.require_writable(out)
    storage.require_writable(log, "boxloop/training")
    from boxloop import detectors, distribution

    # The empty detector is no work to share.
    if refs and distribution.launched(processes):
        return
    job = f"training {out.stem} ({p.detector})"
    with distribution.joined() as world, reporting(job, shown=world.leads) as report:
        detector, result = detectors.train(
            p,
            labeled_set,
            refs,
            previous=previous,
            progress=lambda step, steps, loss: report(step, steps, loss=loss),
        )
    if not world.leads:
        return
    detector.save(out, labeled_digest=storage.file_digest(labeled))
    storage.write_json(log, {"format": "boxloop/training@1", **result.to_json()})
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
    from boxloop import detectors, distribution
    from boxloop.types import Proposals

    p = _params(params, override).propose
    image_set, item = storage.read_images(images), storage.read_batch(batch)
    refs = _listed(image_set, batch, item.image_ids)
    storage.require_writable(out, "boxloop/proposals")
    if distribution.launched(processes):
        return
    with distribution.joined() as world:
        model = detectors.load(detector, p.device)
        _same_classes(image_set, images, model.classes, detector)
        share = world.share(len(refs), p.batch_size)
        with reporting(f"proposing {item.id}", shown=world.leads) as report:
            own = model.propose(
                refs[share.start : share.stop],
                score_floor=p.score_floor,
                batch_size=p.batch_size,
                progress=report,
            )
        parts = distribution.gathered(own)
    if not world.leads:
        return
    boxes = {image_id: found for part in parts for image_id, found in part.items()}
    checkpoint = storage.file_digest(detector)
    storage.write_proposals(out, Proposals(item.id, model.name, checkpoint, p.score_floor, boxes))
    print(f"{item.id}: {sum(map(len, boxes.values()))} proposals on {len(boxes)} images")


@app.command()
def review(
    batch: Annotated[str | None, typer.Argument(help="The batch; the one that waits.")] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Your name; that of your account, unless given.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(metavar="1/2", help="Only this share of the batch.")
    ] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Open a submitted batch again, with its labels.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the App; 5151 or the next free.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the App in a browser.")
    ] = True,
    collect: Annotated[
        tuple[Path, Path, Path, Path] | None,
        typer.Option(
            metavar="IMAGES PROPOSALS TRUTH OUT",
            help="Only put the corrections of a batch together, as the stage of dvc.yaml does.",
        ),
    ] = None,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Have the proposals corrected: by people in the FiftyOne App, or by the truth."""
    p = _params(params, override)
    if collect is not None:
        if batch is not None:
            raise UserError(f"--collect names its files: leave '{batch}' out")
        from boxloop.layout import Layout
        from boxloop.reviewing import collect as collect_review

        collect_review(Layout(), p.review, *collect)
        return
    from boxloop.annotators.fiftyone import session

    session.review(
        params,
        override or (),
        _campaign_params(params, override),
        batch=batch,
        reviewer=reviewer,
        part=part,
        redo=redo,
        port=port,
        browser=browser,
    )


@app.command()
def run(
    reviewer: Annotated[
        str | None, typer.Option(help="Your name; that of your account, unless given.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the App; 5151 or the next free.")
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the App in a browser.")
    ] = True,
    params: ParamsFile = PARAMS,
) -> None:
    """Train, review, train, ...: `dvc repro` and `boxloop review` in turn, in one sitting."""
    from boxloop.annotators.fiftyone import session
    from boxloop.layout import Layout
    from boxloop.running import alternate

    p = _campaign_params(params, None)

    def review_batch(key: str) -> None:
        session.review(
            params,
            (),
            p,
            batch=key,
            reviewer=reviewer,
            part=None,
            redo=False,
            port=port,
            browser=browser,
        )

    alternate(Layout(), review_batch, print)


@app.command()
def merge(labeled: Path, corrections: Path, out: Path) -> None:
    """Add a corrected batch to everything labeled so far."""
    from boxloop.merging import merge as merge_batch

    result = merge_batch(storage.read_labeled(labeled), storage.read_corrections(corrections))
    storage.write_labeled(out, result)
    print(f"{len(result)} images are labeled")


@app.command()
def account(
    corrections: Path, out: Path, params: ParamsFile = PARAMS, override: Overrides = None
) -> None:
    """Count the edits of one batch, and what they cost."""
    from boxloop.evaluation import average_precision
    from boxloop.workload import account as account_batch

    p = _params(params, override).account
    corrected = storage.read_corrections(corrections)
    precision = average_precision(corrected.proposals.boxes, corrected.boxes)
    result = account_batch(corrected, p.iou_thresholds, p.score_thresholds, precision)
    storage.write_workload(out, result)
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
    from boxloop.layout import Layout
    from boxloop.tracking.stage import track as track_batch

    track_batch(Layout(campaign), _params(params, override), batch, out)


# --- after it -------------------------------------------------------------------------------------


@app.command()
def report(
    campaign: Path,
    metrics: Path,
    out: Path,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Write metrics.json, tables for `dvc plots`, figures and one HTML page."""
    from boxloop.layout import Layout
    from boxloop.report.effort import read_effort
    from boxloop.report.stage import write_report
    from boxloop.report.terminal import effort_text, where_to_look, workload_text
    from boxloop.tracking.identity import ui_hint

    p, layout = _params(params, override), Layout(campaign)
    done = write_report(layout, p, metrics, out)
    print(workload_text(done))
    effort = read_effort(layout, done)
    if effort is not None:
        print(f"\n{effort_text(effort, done)}\n")
    print(where_to_look(layout, ui_hint(layout.root) if p.track.enabled else None))


# --- for people -----------------------------------------------------------------------------------


@app.command()
def status(
    table: Annotated[
        bool, typer.Option("--table", help="Also the edits of each batch, and where to look.")
    ] = False,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Say which batch is where, what was saved so far, and what to do next."""
    from boxloop.layout import Layout, read_campaign
    from boxloop.status import status_text

    p, layout = _campaign_params(params, override), Layout()
    print(status_text(layout, p))
    if table:
        from boxloop.report.effort import read_effort
        from boxloop.report.terminal import effort_text, where_to_look, workload_text
        from boxloop.tracking.identity import ui_hint

        done = read_campaign(layout, p)
        print(f"\n{workload_text(done)}\n")
        effort = read_effort(layout, done)
        if effort is not None:
            print(f"{effort_text(effort, done)}\n")
        print(where_to_look(layout, ui_hint(layout.root) if p.track.enabled else None))


@app.command()
def init(
    folder: Path,
    batches: Annotated[int | None, typer.Option(min=1, help="Number of turns to list.")] = None,
    params: Annotated[
        Path | None, typer.Option("--params", help="A params.yaml to begin with.")
    ] = None,
    override: Overrides = None,
) -> None:
    """Make a folder for a new campaign: pipeline, parameters, git and DVC."""
    from boxloop import campaign

    campaign.create(folder, params=params, batches=batches, overrides=override or ())
    print(f"{folder} is ready. Next:\n  cd {folder}\n  dvc repro")


@app.command(name="install-mongod")
def install_mongod() -> None:
    """Set up the database of the review App, without root, where none runs yet."""
    from boxloop.database.install import install_mongod as install

    install()


@app.command()
def export(
    out: Path,
    format: Annotated[str, typer.Option("--format", help="coco, voc or yolo.")],
    images: Annotated[str, typer.Option("--images", help="link, copy or none.")] = "link",
    proposals: Annotated[
        str | None,
        typer.Option(
            "--proposals",
            metavar="BATCH",
            help="Instead, the proposals of a batch, to be corrected in another tool.",
        ),
    ] = None,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Write the labels so far for other programs, as a folder in a format that they read."""
    from boxloop import exchange
    from boxloop.layout import Layout

    p = _campaign_params(params, override)
    with reporting("images") as report:
        said = exchange.export(
            Layout(),
            p,
            out,
            format_=exchange.chosen_format(format),
            images=exchange.chosen_mode(images),
            proposals=proposals,
            progress=report,
        )
    print(said)


@app.command()
def import_corrections(
    file: Path,
    batch: Annotated[
        str | None, typer.Option("--batch", help="Take the images of this batch only.")
    ] = None,
    reviewer: Annotated[str | None, typer.Option("--reviewer", help="Who corrected it.")] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Also images that were submitted before.")
    ] = False,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Take in a batch, or a part of one, that was corrected in another tool (COCO JSON)."""
    from boxloop.exchange.corrections import take_in
    from boxloop.layout import Layout

    p, layout = _campaign_params(params, override), Layout()
    taken = take_in(layout, p, file, batch=batch, reviewer=reviewer, redo=redo)
    print(taken.summary())
    if taken.known_to_dvc and not taken.missing:
        from boxloop.reviewing import bring_into_dvc

        bring_into_dvc(layout.root, taken.batch)


@app.command()
def study(
    spec: Path,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the study; named after SPEC, here.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Cells side by side; one for each GPU.")
    ] = None,
    override: Overrides = None,
) -> None:
    """Compare orderings, features and detectors over several seeds, as study.yaml says."""
    from boxloop.study.run import run as run_study
    from boxloop.study.spec import load_spec

    folder = out or Path(spec.stem)
    run_study(load_spec(spec, override or ()), folder, jobs=jobs)


@app.command(name="detectors")
def list_detectors() -> None:
    """List the detectors that params.yaml may name."""
    from boxloop import detectors

    print("\n".join(detectors.names()))
