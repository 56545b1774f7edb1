"""The stages of dvc.yaml as commands: each parses its options and calls ``boxloop.pipeline``."""

from __future__ import annotations

import inspect
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from boxloop.cli.app import STAGES, STEPS, app
from boxloop.cli.options import PARAMS, On, Overrides, ParamsFile, Processes, stage_params
from boxloop.terminal import counted

if TYPE_CHECKING:
    from boxloop.campaign.campaign import Campaign

WAITED_LONG = 0.2
"""Share of a training's time from which on more processes for its images are worth a word."""


def stage(
    *,
    turn: bool = False,
    processes: bool = False,
    on: bool = False,
    panel: str = STAGES,
    **files: str,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Register a function as the command of a stage; its docstring is the line of --help.

    The stage of its name in ``boxloop.pipeline`` runs; then the function is called with the
    campaign, the turn (empty where there is none) and the result, to tell of it.

    Args:
        turn: whether the stage runs once per iteration.
        processes: whether several processes can share its work.
        panel: where --help lists it.
        on: whether the workers of a Dask scheduler can do it.
        **files: what each file of the stage in ``boxloop.pipeline`` is; each becomes an option, and
            is the campaign's own where the option is not given.
    """

    def register(body: Callable[..., None]) -> Callable[..., None]:
        def command(**given: Any) -> None:
            from boxloop import pipeline
            from boxloop.campaign.campaign import Campaign
            from boxloop.campaign.paths import CampaignPaths
            from boxloop.terminal import reporting

            campaign = Campaign(
                CampaignPaths(),
                stage_params(given["params"], given["override"]),
                {name: given[name] for name in files if given[name] is not None},
                reporting=lambda job: reporting(job, shown=_speaks()),
                share_out=lambda: _launch(given.get("processes", 1)),
                on=given.get("on"),
            )
            run = getattr(pipeline, body.__name__)
            key = given.get("turn", "")
            body(campaign, key, run(campaign, key) if turn else run(campaign))

        parameters: dict[str, tuple[Any, Any]] = {}
        if turn:
            words = typer.Argument(metavar="TURN", help="The iteration, such as b01.")
            parameters["turn"] = (str, words)
        for name, what in files.items():
            parameters[name] = (Path | None, typer.Option(None, help=what))
        parameters |= {"params": (ParamsFile, PARAMS), "override": (Overrides, None)}
        if processes:
            parameters["processes"] = (Processes, 1)
        if on:
            parameters["on"] = (On, None)
        signature = [
            inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d, annotation=t)
            for n, (t, d) in parameters.items()
        ]
        command.__signature__ = inspect.Signature(signature)  # type: ignore[attr-defined]
        command.__annotations__ = {name: kind for name, (kind, _) in parameters.items()}
        app.command(body.__name__, help=body.__doc__, rich_help_panel=panel)(command)
        return body

    return register


def _launch(processes: int) -> bool:
    from boxloop import distributed

    return distributed.launch_processes(processes)


def _speaks() -> bool:
    """Say whether this is the process that talks to people, of those that share the work."""
    return os.environ.get("RANK", "0") == "0"


IMAGES = "Read: all images [data/images.json]."
LABELED = "Read: everything labeled before the turn [data/labeled/PREVIOUS.parquet]."
EVIDENCE = "Read: what the batches before cost at any threshold [data/evidence/PREVIOUS.json]."
CORRECTIONS = "Read: the corrected batch [data/corrections/TURN.json]."


@stage(
    images="Written: all images [data/images.json].",
    truth="Written: their annotations [data/truth.json].",
    faults="Written: what was wrong with single files [data/faults.json].",
    drawn="Written: folder of the images that the demo draws [data/images].",
)
def dataset(campaign: Campaign, turn: str, _: Any) -> None:
    """Read the images, and their boxes where there are any."""


@stage(
    processes=True,
    images=IMAGES,
    out="Written: the trained network [data/simnet.pt].",
    log="Written: how the training went [data/simnet.json].",
)
def simnet(campaign: Campaign, turn: str, log: Any) -> None:
    """Train SimNet on the halves of all images."""
    from boxloop.params import SIMNET

    features = campaign.params.features
    if features.weights != SIMNET:
        print(f"not trained, because features.weights is {features.weights}")
    elif log is not None and _speaks():
        print(f"{log.steps} steps on the halves of {log.images} images {_speed(log)}")


@stage(
    processes=True,
    on=True,
    images=IMAGES,
    simnet="Read: the trained SimNet, for weights: simnet [data/simnet.pt].",
    out="Written: one vector per image [data/features.npz].",
)
def features(campaign: Campaign, turn: str, table: Any) -> None:
    """Turn every image into a feature vector."""
    if table is not None:
        n, d = table.vectors.shape
        print(f"{n} vectors of {d} numbers in {campaign.files.get('out', campaign.paths.features)}")


@stage(
    features="Read: one vector per image [data/features.npz].",
    out="Written: the order [data/order.json].",
)
def order(campaign: Campaign, turn: str, result: Any) -> None:
    """Order all images by their features."""
    strategy = campaign.params.order.strategy
    out = campaign.files.get("out", campaign.paths.order)
    print(f"{len(result.image_ids)} images in {strategy} order in {out}")


@stage(
    order="Read: the order of all images [data/order.json].",
    features="Read: one vector per image, for propose.neighbours [data/features.npz].",
    truth="Read: the dataset's labels, where dataset.labels trusts them [data/truth.json].",
    out="Written: folder of the batches [data/batches].",
)
def batch(campaign: Campaign, turn: str, result: Any) -> None:
    """Cut the order into batches, one for each iteration."""
    from boxloop.campaign import outside

    batches, rest = result
    for size, group in itertools.groupby(batches, lambda item: len(item.image_ids)):
        ids = [item.id for item in group]
        names = ", ".join(ids) if len(ids) < 3 else f"{ids[0]} to {ids[-1]}"
        print(f"{names}: {counted(size)}{' each' if len(ids) > 1 else ''}")
    if rest:
        labeled = 0
        if campaign.params.review.asks_people:  # else there are many corrections, and none is lost
            inside = [image_id for item in batches for image_id in item.image_ids]
            labeled = outside.count_labeled(campaign.paths, inside)
        print(outside.in_words(rest, labeled, "list more iterations to label them", " yet"))


@stage(
    images=IMAGES,
    truth="Read: the dataset's labels, where dataset.labels trusts them [data/truth.json].",
    labeled="Written: nothing labeled [data/labeled/empty.parquet].",
    detector="Written: the empty detector [data/detectors/empty.pt].",
    evidence="Written: no batch to fit a threshold by [data/evidence/empty.json].",
    tracked="Written: nothing tracked [data/tracked/empty.json].",
)
def start(campaign: Campaign, turn: str, _: Any) -> None:
    """Write the empty labels and detector of the first turn."""


@stage(turn=True, processes=True)
def learn(campaign: Campaign, turn: str, result: Any) -> None:
    """Train a detector on all labels, and have it propose for the turn's batch."""
    if result is None or not _speaks():
        return
    log, found = result
    if log is None:
        print(f"{turn}: the detector is kept, because all that it was trained by stayed the same")
    else:
        train(campaign, turn, log)
    propose(campaign, turn, found)


@stage(turn=True)
def finish(campaign: Campaign, turn: str, _: Any) -> None:
    """Take over a reviewed batch: merge its labels, count its edits, log the turn."""


@stage(
    turn=True,
    processes=True,
    panel=STEPS,
    images=IMAGES,
    labeled=LABELED,
    previous="Read: the detector of the turn before [data/detectors/PREVIOUS.pt].",
    out="Written: the detector [data/detectors/TURN.pt].",
    log="Written: how the training went [data/training/TURN.json].",
)
def train(campaign: Campaign, turn: str, log: Any) -> None:
    """Train a detector on everything labeled so far."""
    from boxloop.params import EMPTY

    if log is None or not _speaks():
        return
    if not log.steps:
        asked = campaign.params.train.detector != EMPTY
        why = "nothing is labeled yet" if asked else f"train.detector is {EMPTY}"
        print(f"{turn}: {why}, so no detector is trained")
        return
    print(f"{turn}: {log.steps} steps on {log.images} images{log.enlarged} {_speed(log)}")
    if log.held_out is not None:
        print(
            f"{turn}: {counted(len(log.held_out.boxes))} were held out first, to fit a threshold by"
        )
    if log.wait_fraction > WAITED_LONG and not campaign.params.train.workers:
        print(
            f"{turn}: the model waited long; 'train.workers: 4' has 4 processes decode and"
            " augment images beside it",
            file=sys.stderr,
        )


@stage(
    turn=True,
    processes=True,
    images=IMAGES,
    panel=STEPS,
    batch="Read: the batch [data/batches/TURN.json].",
    detector="Read: the detector [data/detectors/TURN.pt].",
    evidence=EVIDENCE,
    labeled=LABELED,
    training="Read: how the detector was trained [data/training/TURN.json].",
    out="Written: the proposals [data/proposals/TURN.json].",
)
def propose(campaign: Campaign, turn: str, found: Any) -> None:
    """Propose boxes for a batch."""
    from boxloop.campaign import crop_classes, neighbours
    from boxloop.campaign.thresholds import in_words

    if found is not None:
        boxes = sum(map(len, found.boxes.values()))
        print(f"{found.batch}: {counted(boxes, 'proposal')} on {counted(len(found.boxes))}")
        people = campaign.params.review.asks_people
        for fitted in found.thresholds[: 1 if people else None]:
            print(
                f"{found.batch} at IoU {fitted.iou_threshold:g}: {in_words(fitted, found.detector)}"
            )
        if words := crop_classes.in_words(found.crops):
            print(f"{found.batch}: {words}")
        if found.neighbours is not None:
            print(f"{found.batch}: {neighbours.in_words(found.neighbours)}")


@stage(
    turn=True,
    images=IMAGES,
    labeled=LABELED,
    panel=STEPS,
    corrections=CORRECTIONS,
    out="Written: everything labeled [data/labeled/TURN.parquet].",
)
def merge(campaign: Campaign, turn: str, _: Any) -> None:
    """Add a corrected batch to everything labeled so far."""


@stage(
    turn=True,
    images=IMAGES,
    panel=STEPS,
    corrections=CORRECTIONS,
    batch="Read: the batch, for propose.neighbours [data/batches/TURN.json].",
    proposals="Read: its proposals, for what is fitted [data/proposals/TURN.json].",
    labeled=LABELED,
    evidence=EVIDENCE,
    judged="Written: the same with this batch [data/evidence/TURN.json].",
    out="Written: the edits [data/workload/TURN.json].",
)
def account(campaign: Campaign, turn: str, _: Any) -> None:
    """Count the edits of a batch and what they cost."""


@stage(turn=True, panel=STEPS, out="Written: that it is [data/tracked/TURN.json].")
def track(campaign: Campaign, turn: str, _: Any) -> None:
    """Log a turn to MLflow."""


@stage(
    metrics="Written: the campaign's numbers [metrics.json].",
    out="Written: folder of the page and its tables [data/report].",
)
def report(campaign: Campaign, turn: str, done: Any) -> None:
    """Write metrics.json, tables, figures and one HTML page."""
    from boxloop.pipeline import results_text

    print(results_text(campaign, done))


@stage(processes=True, model="Written: folder of the model [model].")
def deliver(campaign: Campaign, turn: str, about: Any) -> None:
    """Train a model on everything labeled, to be used elsewhere."""
    from boxloop.pipeline import model_text

    if about is not None and _speaks():
        print(model_text(campaign, about))


def _speed(log: Any) -> str:
    return (
        f"from {log.initial_weights}, {log.images_per_second:.0f} images/s;"
        f" {log.wait_fraction:.0%} of the time waited for images"
    )
