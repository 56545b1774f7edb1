"""The command that trains while people review."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from boxloop.cli.app import PEOPLE, app
from boxloop.cli.options import PARAMS, ParamsFile, campaign_params
from boxloop.terminal import counted


@app.command(rich_help_panel=PEOPLE)
def ahead(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="The batch that is reviewed.")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Begin at half of it, and end when all is submitted.")
    ] = False,
    params: ParamsFile = PARAMS,
) -> None:
    """Train the next detector on what is submitted of a batch so far."""
    from boxloop.campaign.campaign import Campaign
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.pipeline.ahead import ahead as train_ahead
    from boxloop.terminal import reporting

    os.nice(10)  # whoever reviews comes first
    campaign = Campaign(CampaignPaths(), campaign_params(params, None), reporting=reporting)
    log = train_ahead(campaign, batch, wait=wait)
    print("nothing to train on yet" if log is None else f"trained on {counted(log.images)}")
