"""Commands of those who label: a campaign from its folder to its exported labels."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

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
    batches: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="Number of turns to list; 3, or as params says."),
    ] = None,
    params: Annotated[Path | None, typer.Option(help="A params.yaml to begin with.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say how large batches should be; make nothing.")
    ] = False,
    planned: Annotated[
        bool, typer.Option("--planned", help="Make the batches as large as --plan says.")
    ] = False,
    wait: Annotated[
        float | None,
        typer.Option(min=0, max=1e6, help="For a plan: minutes of waiting per training; 3."),
    ] = None,
    objects: Annotated[
        float | None,
        typer.Option(min=0.01, max=1e6, help="For a plan: objects per image; by labels there are."),
    ] = None,
    override: Overrides = None,
) -> None:
    """Make a folder for a new campaign."""
    from boxloop.campaign import init

    overrides = override or []
    if plan or planned:
        from boxloop.campaign.first_plan import plan_new, require_no_sizes

        if planned:
            require_no_sizes(batches, overrides)
        made = init.preview(folder, params=params, batches=batches, overrides=overrides, data=data)
        found = plan_new(made, minutes=wait, objects=objects)
        print(found.text)
        if not planned:
            print(f"With --planned in place of --plan, {folder} is made with the planned sizes.")
            return
        overrides, batches = [*overrides, found.override], len(found.sizes)
    elif wait is not None or objects is not None:
        raise UserError("--wait and --objects are for a plan: add --plan, or leave them out")
    notes = init.create(
        folder,
        params=params,
        batches=batches,
        overrides=overrides,
        data=data,
        planned=planned,
    )
    for note in notes:
        print(note, file=sys.stderr)
    place = f"./{folder}" if str(folder).startswith("-") else str(folder)
    print(f"{folder} is ready. Next:\n  cd {shlex.quote(place)}\n  dvc repro")


@app.command(rich_help_panel=PEOPLE)
def run(
    reviewer: Reviewer = None,
    overlap: Annotated[
        bool,
        typer.Option(
            "--overlap", help="Review in halves, and train the next detector during the second one."
        ),
    ] = False,
    port: Port = None,
    host: Host = "127.0.0.1",
    browser: Browser = True,
    params: ParamsFile = PARAMS,
) -> None:
    """Train and review in turn until all is labeled."""
    from contextlib import nullcontext

    from boxloop.campaign.overlap import training_ahead
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.campaign.run import alternate
    from boxloop.pipeline.ahead import halves_left
    from boxloop.review.fiftyone import session
    from boxloop.review.fiftyone.addresses import choose_password

    p = campaign_params(params, None, note_older=False)  # `alternate` refuses it
    choose_password(host)  # asked for before the trainings, and once

    paths = CampaignPaths()

    def review_batch(key: str) -> None:
        for part in halves_left(paths, p, key) if overlap else (None,):
            session.review(
                params,
                (),
                p,
                batch=key,
                reviewer=reviewer,
                part=part,
                redo=False,
                port=port,
                host=host,
                browser=browser,
            )

    alternate(
        paths,
        review_batch,
        print,
        Path(p.dataset.path),
        lambda key: training_ahead(paths, p, key, print) if overlap else nullcontext(),
    )


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
    planted: Annotated[
        bool,
        typer.Option("--planted", help="Open the images again whose planted errors were missed."),
    ] = False,
    also: Annotated[
        bool,
        typer.Option("--also", help="A second look at a labeled batch, which replaces no label."),
    ] = False,
    disagreements: Annotated[
        bool,
        typer.Option("--disagreements", help="Decide what two people labeled differently."),
    ] = False,
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
    if also and disagreements:
        raise UserError("--also is a second look, --disagreements a third one: leave one out")
    from boxloop.campaign.campaign import Campaign
    from boxloop.review.fiftyone import session
    from boxloop.terminal import reporting

    p = campaign_params(params, override)

    def propose_for(name: str) -> None:
        from boxloop.pipeline import later  # which imports torch

        later.propose_for(Campaign(CampaignPaths(), p, reporting=reporting), name)

    session.review(
        params,
        override or (),
        p,
        batch=batch,
        reviewer=reviewer,
        part=part,
        redo=redo,
        port=port,
        host=host,
        browser=browser,
        wanted=wanted,
        propose_for=propose_for,
        planted=planted,
        look="also" if also else "disagreements" if disagreements else None,
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
    """Move files aside that a kill or a merge left unreadable, and a dvc.yaml of boxloop 0.1."""
    from boxloop.campaign import mending
    from boxloop.campaign.paths import CampaignPaths

    paths = CampaignPaths()
    older = mending.older_pipeline(paths.root) is not None
    if older:
        from boxloop.campaign.init import renew

        renew(paths.root, print)
    clash = mending.conflict(paths.root)
    if clash is not None:
        print(clash)
    if mending.mend(paths, print) or older:
        print("Next: dvc repro")
    elif clash is None:
        print("nothing is damaged")


@app.command(rich_help_panel=PEOPLE)
def status(
    table: Annotated[
        bool, typer.Option("--table", help="Also the edits of each batch, and where to look.")
    ] = False,
    by: Annotated[
        Literal["class", "reviewer"] | None,
        typer.Option("--by", help="Also the edits and savings of each, and what they took."),
    ] = None,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Say where each batch is and what to do next."""
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.campaign.results import read_results
    from boxloop.campaign.status import status_text

    p, paths = campaign_params(params, override, note_older=False), CampaignPaths()
    print(status_text(paths, p))
    if table:
        from boxloop.campaign.campaign import Campaign
        from boxloop.pipeline import results_text

        print(f"\n{results_text(Campaign(paths, p), read_results(paths, p))}")
    if by is not None:
        from boxloop.campaign.campaign import Campaign
        from boxloop.pipeline import ledger_text

        print(f"\n{ledger_text(Campaign(paths, p), read_results(paths, p), by)}")


@app.command(name="install-mongod", rich_help_panel=PEOPLE)
def install_mongod() -> None:
    """Set up the review App's database, without root."""
    from boxloop.review.fiftyone.install_mongod import install_mongod as install

    install()
