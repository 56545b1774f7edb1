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
    from boxloop.campaign.doubts import find_suspects
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.core.types import SIMULATED
    from boxloop.report.doubts import write_page

    p, paths = campaign_params(params, override), CampaignPaths()
    suspects = find_suspects(paths, p, count)
    if not suspects:
        print("Every image that there are proposals for had its second look.")
        return
    for suspect in suspects:
        print(f"{suspect.rank:>3}  {suspect.image.id}  {suspect.batch}  {suspect.doubt.kind}:")
        print(f"     {suspect.reason}")
    write_page(paths.doubts, suspects, paths.root)
    print(f"\nPictures: {paths.doubts}")
    if p.review.annotator != SIMULATED:
        print(f"Next: boxloop review --qa {len(suspects)}   (opens exactly these)")
