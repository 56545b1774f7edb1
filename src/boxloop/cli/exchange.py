"""Commands that take labels and proposals to other tools, and bring them from there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boxloop.cli.app import PEOPLE, app
from boxloop.cli.options import PARAMS, Overrides, ParamsFile, campaign_params

_BEFORE = "by the params.yaml of before"


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
            help="What to do with images that were reviewed before a class was added: unless given,"
            " coco marks them, and the others, which cannot, keep them.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="by-batch, random or group: train and val apart, and no clip cut."),
    ] = None,
    val: Annotated[
        float | None,
        typer.Option(help="With --split: fraction of the images for val, 0.2 unless given."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of --split random and group, 0 unless given."),
    ] = None,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Write the labels for other tools: COCO, VOC, YOLO or FiftyOne."""
    from boxloop.campaign import export
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.errors import ParamsError
    from boxloop.terminal import reporting

    for option, value in (("--val", val), ("--seed", seed)):
        if split is None and value is not None:
            raise ParamsError(f"{option} {value:g} splits nothing by itself: add --split random")
    way = None if split is None else export.Split(split, 0.2 if val is None else val, seed or 0)
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
            split=way,
            progress=report,
        )
    print(said)


@app.command(rich_help_panel=PEOPLE)
def import_corrections(
    file: Path,
    batch: Annotated[str | None, typer.Option(help="Take the images of this batch only.")] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Who corrected it; nobody's name unless given.")
    ] = None,
    redo: Annotated[
        bool, typer.Option("--redo", help="Also images that were submitted before.")
    ] = False,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """Take in a batch that another tool corrected (COCO)."""
    from boxloop.campaign.at_work import changing
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.review.external.corrections import import_file

    p, paths = campaign_params(params, override), CampaignPaths()
    with changing(paths, print):
        taken = import_file(paths, p, file, batch=batch, reviewer=reviewer, redo=redo)
    print(taken.summary())
    if taken.known_to_dvc and not taken.missing:
        from boxloop.campaign.dvc import bring_into_dvc

        bring_into_dvc(paths.root, taken.batch)


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
    from boxloop.campaign.at_work import changing, require_no_dvc
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.review.external.import_proposals import import_proposals as take

    campaign_params(params, None)  # what is wrong with it is said first
    paths = CampaignPaths()
    with changing(paths, print):
        require_no_dvc(paths.root, _BEFORE)
        p = campaign_params(params, None)  # as another command has left it
        taken = take(paths, p, params, batch, file, listing=images, names=names, field=field)
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
    exif: Annotated[
        str | None,
        typer.Option(
            metavar="raw|upright",
            help="For which pixels the boxes of photos are that EXIF data turn: as they are stored,"
            " or as viewers show them.",
        ),
    ] = None,
    params: ParamsFile = PARAMS,
) -> None:
    """Use labels that images have already."""
    from boxloop.campaign.at_work import changing, require_no_dvc
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.review.external.import_labels import import_labels as take

    campaign_params(params, None)  # what is wrong with it is said first
    paths = CampaignPaths()
    with changing(paths, print):
        require_no_dvc(paths.root, _BEFORE)
        p = campaign_params(params, None)  # as another command has left it
        taken = take(paths, p, params, file, use=use, names=names, exif=exif)
    print(taken.summary())
