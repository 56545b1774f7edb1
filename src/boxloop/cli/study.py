"""Commands of those who compare: studies, and what they can choose from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from boxloop.cli.app import PEOPLE, app
from boxloop.cli.options import On, Overrides
from boxloop.errors import ParamsError


@app.command(rich_help_panel=PEOPLE)
def study(
    spec: Path,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the study; named after SPEC, here.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", min=1, help="Cells side by side here; one for each GPU, or one."),
    ] = None,
    on: On = None,
    override: Overrides = None,
) -> None:
    """Compare orderings, features, detectors over seeds."""
    from boxloop.study.run import run as run_study
    from boxloop.study.spec import load_spec

    if on is not None and jobs is not None:
        raise ParamsError("--jobs is for this machine, and --on for others: give one of the two")
    folder = out or Path(spec.stem)
    run_study(load_spec(spec, override or ()), folder, jobs=jobs, on=on)


@app.command(name="detectors", rich_help_panel=PEOPLE)
def list_detectors() -> None:
    """List the detectors that params.yaml may name, with their sizes and weights."""
    from boxloop.models.detectors.listing import listing

    print(listing())
