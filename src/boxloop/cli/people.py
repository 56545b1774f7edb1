"""Commands of those who label, and the stage that waits for them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boxloop.cli.app import app
from boxloop.cli.options import PARAMS, Overrides, ParamsFile, campaign_params, stage_params
from boxloop.errors import UserError
from boxloop.progress import reporting

Reviewer = Annotated[
    str | None, typer.Option(help="Your name; that of your account, unless given.")
]
Port = Annotated[
    int | None, typer.Option(min=1, max=65535, help="Port of the App; 5151 or the next free.")
]
Browser = Annotated[bool, typer.Option("--browser/--no-browser", help="Open the App in a browser.")]


@app.command()
def review(
    batch: Annotated[str | None, typer.Argument(help="The batch; the one that waits.")] = None,
    reviewer: Reviewer = None,
    part: Annotated[
        str | None, typer.Option(metavar="1/2", help="Only this share of the batch.")
    ] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Open a submitted batch again, with its labels.")
    ] = False,
    port: Port = None,
    browser: Browser = True,
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
    p = stage_params(params, override)
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
        campaign_params(params, override),
        batch=batch,
        reviewer=reviewer,
        part=part,
        redo=redo,
        port=port,
        browser=browser,
    )


@app.command()
def run(
    reviewer: Reviewer = None,
    port: Port = None,
    browser: Browser = True,
    params: ParamsFile = PARAMS,
) -> None:
    """Train, review, train, ...: `dvc repro` and `boxloop review` in turn, in one sitting."""
    from boxloop.annotators.fiftyone import session
    from boxloop.layout import Layout
    from boxloop.running import alternate

    p = campaign_params(params, None)

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

    p, layout = campaign_params(params, override), Layout()
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

    p = campaign_params(params, override)
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

    p, layout = campaign_params(params, override), Layout()
    taken = take_in(layout, p, file, batch=batch, reviewer=reviewer, redo=redo)
    print(taken.summary())
    if taken.known_to_dvc and not taken.missing:
        from boxloop.reviewing import bring_into_dvc

        bring_into_dvc(layout.root, taken.batch)
