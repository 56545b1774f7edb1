"""The command that searches finished batches for label errors."""

from __future__ import annotations

from typing import Annotated

import typer

from boxloop.cli.app import PEOPLE, app
from boxloop.cli.options import PARAMS, Overrides, ParamsFile, campaign_params


@app.command(rich_help_panel=PEOPLE)
def qa(
    count: Annotated[int, typer.Option(min=1, help="How many images to list.")] = 40,
    params: ParamsFile = PARAMS,
    override: Overrides = None,
) -> None:
    """List the images whose labels are most likely wrong."""
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.pipeline.qa import qa_text

    print(qa_text(CampaignPaths(), campaign_params(params, override), count))
