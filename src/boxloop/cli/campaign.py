"""Commands of those who label: a campaign from its folder to its exported labels."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from boxloop.cli.app import PEOPLE, app
from boxloop.cli.options import PARAMS, Overrides, ParamsFile, campaign_params, stage_params
from boxloop.errors import BoxloopError, UserError

Reviewer = Annotated[
    str | None, typer.Option(help="Your name; that of your account, unless given.")
]
Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Port of the App; 5151 or the next free.")
]
Host = Annotated[
    str,
    typer.Option(
        help="Address that the App listens on; others than 127.0.0.1 open it to other machines,"
        " with a password (BOXLOOP_PASSWORD, or asked for)."
    ),
]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the App in a browser.")]


@app.command(rich_help_panel=PEOPLE)
def check(
    path: Path,
    override: Overrides = None,
) -> None:
    """Say what a folder of images holds, and how to begin with it."""
    from boxloop.datasets.check import check_path
    from boxloop.terminal import reporting

    try:
        with reporting("reading images") as report:
            said = check_path(path, override or (), report)
    except UserError as error:
        raise BoxloopError(str(error)) from None
    print(said)


@app.command(rich_help_panel=PEOPLE)
def init(
    folder: Path,
    data: Annotated[
        Path | None,
        typer.Option(help="The images: fills 'dataset' by what 'boxloop check' finds there."),
    ] = None,
    batches: Annotated[int | None, typer.Option(min=1, help="Number of turns to list.")] = None,
    params: Annotated[Path | None, typer.Option(help="A params.yaml to begin with.")] = None,
    override: Overrides = None,
) -> None:
    """Make a folder for a new campaign."""
    from boxloop.campaign import init

    notes = init.create(folder, params=params, batches=batches, overrides=override or (), data=data)
    for note in notes:
        print(note, file=sys.stderr)
    print(f"{folder} is ready. Next:\n  cd {folder}\n  dvc repro")


@app.command(rich_help_panel=PEOPLE)
def run(
    reviewer: Reviewer = None,
    port: Port = None,
    host: Host = "127.0.0.1",
    browser: Browser = True,
    params: ParamsFile = PARAMS,
) -> None:
    """Train and review in turn until all is labeled."""
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.campaign.run import alternate
    from boxloop.review.fiftyone import session
    from boxloop.review.fiftyone.addresses import choose_password

    p = campaign_params(params, None)
    choose_password(host)  # asked for before the trainings, and once

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
            host=host,
            browser=browser,
        )

    alternate(CampaignPaths(), review_batch, print, Path(p.dataset.path))


@app.command(rich_help_panel=PEOPLE)
def review(
    batch: Annotated[
        str | None, typer.Argument(metavar="BATCH", help="The batch; the one that waits.")
    ] = None,
    reviewer: Reviewer = None,
    part: Annotated[
        str | None, typer.Option(metavar="1/2", help="Only this share of the batch.")
    ] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Open a submitted batch again, with its labels.")
    ] = False,
    wanted: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="CLASS",
            help="Open what was reviewed before this class was added, with its labels.",
        ),
    ] = None,
    qa: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="COUNT",
            help="Open the worst images that 'boxloop qa' lists, with their labels.",
        ),
    ] = None,
    port: Port = None,
    host: Host = "127.0.0.1",
    browser: Browser = True,
    collect: Annotated[
        bool,
        typer.Option(
            "--collect", help="Open nothing: put the corrections together, as 'dvc repro' does."
        ),
    ] = False,
    images: Annotated[Path | None, typer.Option(help="--collect reads it: all images.")] = None,
    proposals: Annotated[Path | None, typer.Option(help="It reads: proposals.")] = None,
    truth: Annotated[Path | None, typer.Option(help="It reads: annotations.")] = None,
    out: Annotated[Path | None, typer.Option(help="It writes: corrections.")] = None,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Correct the proposals for a batch in the FiftyOne App."""
    from boxloop.campaign.paths import CampaignPaths

    options = {"images": images, "proposals": proposals, "truth": truth, "out": out}
    files = {name: file for name, file in options.items() if file is not None}
    if collect:
        from boxloop import pipeline
        from boxloop.campaign.campaign import Campaign

        if batch is None:
            raise UserError("--collect needs the batch, as in 'boxloop review b01 --collect'")
        campaign = Campaign(CampaignPaths(), stage_params(params, override), files)
        pipeline.review(campaign, batch)
        return
    if files:
        raise UserError(f"--{min(files)} is for --collect: leave it out, or add --collect")
    from boxloop.review.fiftyone import session

    session.review(
        params,
        override or (),
        campaign_params(params, override),
        batch=batch,
        reviewer=reviewer,
        part=part,
        redo=redo,
        port=port,
        host=host,
        browser=browser,
        wanted=wanted,
        qa=qa,
    )


@app.command(rich_help_panel=PEOPLE)
def browse(
    port: Port = None,
    host: Host = "127.0.0.1",
    browser: Browser = True,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Look at the whole campaign in the FiftyOne App; nothing can be changed there."""
    from boxloop.review.browse import session

    campaign_params(params, override)  # what is wrong with it is said before the App starts
    session.browse(params, override or (), port=port, host=host, browser=browser)


@app.command(rich_help_panel=PEOPLE)
def mend() -> None:
    """Move files aside that a kill left half-written."""
    from boxloop.campaign import mending
    from boxloop.campaign.paths import CampaignPaths

    if mending.mend(CampaignPaths(), print):
        print("Next: dvc repro")
    else:
        print("nothing is damaged")


@app.command(rich_help_panel=PEOPLE)
def status(
    table: Annotated[
        bool, typer.Option("--table", help="Also the edits of each batch, and where to look.")
    ] = False,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Say where each batch is and what to do next."""
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.campaign.results import read_results
    from boxloop.campaign.status import status_text

    p, paths = campaign_params(params, override), CampaignPaths()
    print(status_text(paths, p))
    if table:
        from boxloop.campaign.campaign import Campaign
        from boxloop.pipeline import results_text

        print(f"\n{results_text(Campaign(paths, p), read_results(paths, p))}")


@app.command(name="install-mongod", rich_help_panel=PEOPLE)
def install_mongod() -> None:
    """Set up the review App's database, without root."""
    from boxloop.review.fiftyone.install_mongod import install_mongod as install

    install()


@app.command(rich_help_panel=PEOPLE)
def export(
    out: Path,
    format: Annotated[str, typer.Option(help="coco, fiftyone, voc or yolo.")],
    images: Annotated[str, typer.Option(help="link, copy or none.")] = "link",
    proposals: Annotated[
        str | None,
        typer.Option(
            metavar="BATCH",
            help="Instead, the proposals of a batch, to be corrected in another tool.",
        ),
    ] = None,
    incomplete: Annotated[
        str | None,
        typer.Option(
            metavar="keep|mark|skip",
            help="What to do with images that were reviewed before a class was added: coco marks"
            " them, unless given, voc and yolo keep them.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="by-batch, random or group: train and val apart, and no clip cut."),
    ] = None,
    val: Annotated[float, typer.Option(help="Fraction of the images for val.")] = 0.2,
    seed: Annotated[int, typer.Option(min=0, help="Of --split random and group.")] = 0,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Write the labels for other tools: COCO, VOC, YOLO or FiftyOne."""
    from boxloop.campaign import export
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.terminal import reporting

    p = campaign_params(params, override)
    with reporting("images") as report:
        said = export.export(
            CampaignPaths(),
            p,
            out,
            format_=format,
            images=images,
            proposals=proposals,
            incomplete=incomplete,
            split=None if split is None else export.Split(split, val, seed),
            progress=report,
        )
    print(said)


@app.command(rich_help_panel=PEOPLE)
def import_corrections(
    file: Path,
    batch: Annotated[str | None, typer.Option(help="Take the images of this batch only.")] = None,
    reviewer: Annotated[str | None, typer.Option(help="Who corrected it.")] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Also images that were submitted before.")
    ] = False,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Take in a batch that another tool corrected (COCO)."""
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.review.external.corrections import import_file

    p, paths = campaign_params(params, override), CampaignPaths()
    taken = import_file(paths, p, file, batch=batch, reviewer=reviewer, redo=redo)
    print(taken.summary())
    if taken.known_to_dvc and not taken.missing:
        from boxloop.campaign.dvc import bring_into_dvc

        bring_into_dvc(paths.root, taken.submission.batch)


@app.command(rich_help_panel=PEOPLE)
def import_proposals(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="The batch, such as b00.")],
    file: Annotated[
        Path,
        typer.Argument(
            help="COCO's results, a COCO file with scores, a folder of YOLO's texts, or a"
            " FiftyOne dataset on disk."
        ),
    ],
    images: Annotated[
        Path | None, typer.Option(help="The COCO file that image and category ids count in.")
    ] = None,
    names: Annotated[
        Path | None, typer.Option(help="data.yaml or classes.txt that YOLO's numbers count in.")
    ] = None,
    field: Annotated[
        str, typer.Option(help="Field of a FiftyOne dataset that holds the boxes.")
    ] = "predictions",
    params: ParamsFile = PARAMS,
) -> None:
    """Begin a batch with another model's boxes."""
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.review.external.import_proposals import import_proposals as take

    p = campaign_params(params, None)
    taken = take(CampaignPaths(), p, params, batch, file, listing=images, names=names, field=field)
    print(taken.summary())


@app.command(rich_help_panel=PEOPLE)
def import_labels(
    file: Annotated[
        Path, typer.Argument(help="A COCO file, a folder of VOC's XML files, or a YOLO folder.")
    ],
    use: Annotated[
        str,
        typer.Option(
            "--as", help="trusted: they need no review. proposed: people are shown them to check."
        ),
    ],
    names: Annotated[
        Path | None, typer.Option(help="data.yaml or classes.txt that YOLO's numbers count in.")
    ] = None,
    params: ParamsFile = PARAMS,
) -> None:
    """Use labels that images have already."""
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.review.external.import_labels import import_labels as take

    p = campaign_params(params, None)
    print(take(CampaignPaths(), p, params, file, use=use, names=names).summary())
