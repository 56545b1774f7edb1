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
        from boxloop.campaign.paths import CampaignPaths
        from boxloop.review.collect import collect as collect_review

        collect_review(CampaignPaths(), p.review, *collect)
        return
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
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.campaign.run import alternate
    from boxloop.review.fiftyone import session

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

    alternate(CampaignPaths(), review_batch, print)


@app.command()
def status(
    table: Annotated[
        bool, typer.Option("--table", help="Also the edits of each batch, and where to look.")
    ] = False,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Say which batch is where, what was saved so far, and what to do next."""
    from boxloop.campaign.paths import CampaignPaths, read_results
    from boxloop.campaign.status import status_text

    p, paths = campaign_params(params, override), CampaignPaths()
    print(status_text(paths, p))
    if table:
        from boxloop.campaign.digests import ui_hint
        from boxloop.report.console import effort_text, where_to_look, workload_text
        from boxloop.report.review_time import read_effort

        done = read_results(paths, p)
        print(f"\n{workload_text(done)}\n")
        effort = read_effort(paths, done)
        if effort is not None:
            print(f"{effort_text(effort, done)}\n")
        print(where_to_look(paths, ui_hint(paths.root) if p.track.enabled else None))


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
    from boxloop.campaign import init

    init.create(folder, params=params, batches=batches, overrides=override or ())
    print(f"{folder} is ready. Next:\n  cd {folder}\n  dvc repro")


@app.command(name="install-mongod")
def install_mongod() -> None:
    """Set up the database of the review App, without root, where none runs yet."""
    from boxloop.review.fiftyone.install_mongod.install import install_mongod as install

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
    from boxloop.campaign import export
    from boxloop.campaign.paths import CampaignPaths

    p = campaign_params(params, override)
    with reporting("images") as report:
        said = export.export(
            CampaignPaths(),
            p,
            out,
            format_=format,
            images=images,
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
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.review.external.corrections import import_file

    p, paths = campaign_params(params, override), CampaignPaths()
    taken = import_file(paths, p, file, batch=batch, reviewer=reviewer, redo=redo)
    print(taken.summary())
    if taken.known_to_dvc and not taken.missing:
        from boxloop.review.collect import bring_into_dvc

        bring_into_dvc(paths.root, taken.submission.batch)
