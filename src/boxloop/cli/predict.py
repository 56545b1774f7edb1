"""The command that uses a delivered model; it needs no campaign."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from boxloop.cli.app import PEOPLE, app
from boxloop.terminal import counted

_NAMED = 20
"""Images that could not be read, to name one by one."""


@app.command(rich_help_panel=PEOPLE)
def predict(
    images: Annotated[list[Path], typer.Argument(help="Images, and folders of images.")],
    out: Annotated[Path, typer.Option(help="A JSON file (coco) or a folder (yolo, voc).")],
    model: Annotated[Path, typer.Option(help="The folder of a delivered model.")] = Path("model"),
    format: Annotated[str, typer.Option(help="coco, yolo or voc.")] = "coco",
    threshold: Annotated[
        str, typer.Option(help="f1, least-wt, or a score from 0 to 1 for all classes.")
    ] = "f1",
    batch_size: Annotated[int, typer.Option(min=1, help="Images at once.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:0, ... or mps.")] = "auto",
) -> None:
    """Find boxes on images with a delivered model."""
    from boxloop.models.detectors.delivered import load_model
    from boxloop.pipeline.predict import predict as run
    from boxloop.terminal import printable, reporting

    loaded = load_model(model, device=device)
    with reporting("finding boxes") as report:
        done = run(
            images,
            loaded,
            out,
            format_=format,
            threshold=threshold,
            batch_size=batch_size,
            report=report,
        )
    if done.resumed:
        print(f"went on after {done.resumed} images that were done before", file=sys.stderr)
    for said in done.skipped[:_NAMED]:
        print(f"skipped {printable(said)}", file=sys.stderr)
    if len(done.skipped) > _NAMED:
        print(f"skipped {len(done.skipped) - _NAMED} more, which {out} lists", file=sys.stderr)
    skipped = f", {len(done.skipped)} skipped" if done.skipped else ""
    print(f"{done.out}: {counted(done.images)}, {counted(done.boxes, 'box')} ({format}){skipped}")
