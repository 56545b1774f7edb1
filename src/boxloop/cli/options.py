"""What several commands take, and how they read it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boxloop.errors import ParamsError

if TYPE_CHECKING:
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.campaign.results import CampaignResults
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


def campaign_params(path: Path, overrides: list[str] | None) -> Params:
    """Read the parameters of the campaign whose folder this is.

    Raises:
        ParamsError: it is no campaign's folder.
    """
    if not path.exists():
        raise ParamsError(
            f"{path} does not exist: go to a campaign's folder, or make one with"
            " 'boxloop init FOLDER'"
        )
    return stage_params(path, overrides)


def print_results(paths: CampaignPaths, params: Params, done: CampaignResults) -> None:
    """Print the workload of the finished batches, people's time, and where to read on."""
    from boxloop.report.console import effort_text, where_to_look, workload_text
    from boxloop.report.review_time import read_effort
    from boxloop.tracking.store_uri import ui_hint

    print(workload_text(done))
    effort = read_effort(paths, done)
    print("" if effort is None else f"\n{effort_text(effort, done)}\n")
    print(where_to_look(paths, ui_hint(paths.root) if params.track.enabled else None))
