"""The command that compares experiments of DVC's."""

from __future__ import annotations

from typing import Annotated

import typer

from boxloop.cli.app import PEOPLE, app


@app.command(
    rich_help_panel=PEOPLE,
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": ["-h", "--help"],  # else DVC answers the short one
    },
)
def experiments(
    options: Annotated[
        list[str] | None,
        typer.Argument(metavar="OPTIONS", help="Of 'dvc exp show', such as -A or -n 3."),
    ] = None,
) -> None:
    """Compare experiments: what each saved, and which parameters differ."""
    from boxloop.campaign.experiments import experiments_text
    from boxloop.campaign.paths import CampaignPaths

    print(experiments_text(CampaignPaths().root, options or ()))
