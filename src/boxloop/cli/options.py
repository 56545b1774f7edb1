"""What several commands take, and how they read it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boxloop.errors import ParamsError

if TYPE_CHECKING:
    from boxloop.params import Params

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
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="ADDRESS",
        help="Compute on the workers of a Dask scheduler: its tcp:// address, or its file.",
    ),
]
PARAMS = Path("params.yaml")


def stage_params(path: Path, overrides: list[str] | None) -> Params:
    """Read the parameters of a stage: defaults, unless there is a file.

    Raises:
        ParamsError: the file that ``--params`` names does not exist, or is wrong.
    """
    from boxloop.params import load_params

    if path != PARAMS and not path.exists():
        raise ParamsError(f"{path} does not exist: name a params.yaml, or leave --params out")
    return load_params(path, overrides or ())


def campaign_params(path: Path, overrides: list[str] | None, *, note_older: bool = True) -> Params:
    """Read the parameters of the campaign whose folder this is.

    With ``note_older``, it is said where an older boxloop's pipeline, or a conflict, is in it.

    Raises:
        ParamsError: it is no campaign's folder.
    """
    if not path.exists():
        raise ParamsError(
            f"{path} does not exist: go to a campaign's folder, or make one with"
            " 'boxloop init FOLDER'"
        )
    from boxloop.campaign import mending
    from boxloop.campaign.paths import CampaignPaths

    found = [mending.glance(CampaignPaths(path.parent))]
    if note_older:
        found += [mending.older_pipeline(path.parent), mending.conflict(path.parent)]
    for note in filter(None, found):
        print(f"note: {note}", file=sys.stderr)
    return stage_params(path, overrides)
