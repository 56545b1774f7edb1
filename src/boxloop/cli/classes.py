"""Commands that list and change the classes of a campaign."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boxloop.cli.app import PEOPLE, app
from boxloop.cli.options import PARAMS, ParamsFile, campaign_params
from boxloop.errors import SessionError

if TYPE_CHECKING:
    from boxloop.campaign.class_changes import Kind
    from boxloop.params import Params

classes = typer.Typer(invoke_without_command=True, rich_markup_mode=None)
app.add_typer(classes, name="classes", rich_help_panel=PEOPLE)


@classes.callback()
def list_classes(context: typer.Context, params: ParamsFile = PARAMS) -> None:
    """List the classes; add, rename or merge some."""
    if context.invoked_subcommand is not None:
        return
    from boxloop.campaign.class_editing import table
    from boxloop.campaign.paths import CampaignPaths

    rows = table(CampaignPaths(), campaign_params(params, None))
    width = max(5, *(len(row.name) for row in rows))
    print(f"{'Class':<{width}}  Objects  Images  Incomplete")
    for row in rows:
        print(f"{row.name:<{width}}  {row.objects:>7}  {row.images:>6}  {row.incomplete:>10}")


@classes.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The class.")],
    params: ParamsFile = PARAMS,
) -> None:
    """Add a class: what was reviewed before is not complete for it."""
    from boxloop.campaign.at_work import changing
    from boxloop.campaign.class_editing import add
    from boxloop.campaign.paths import CampaignPaths

    campaign_params(params, None)
    with changing(CampaignPaths(), print):
        _require_idle()
        print(add(CampaignPaths(), params, name, _reread))


@classes.command()
def rename(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The class.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Its new name.")],
    params: ParamsFile = PARAMS,
) -> None:
    """Rename a class; labels are read by the new name."""
    _change(params, "rename", old, new)


@classes.command()
def merge(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The class that is to be no more.")],
    into: Annotated[str, typer.Argument(metavar="INTO", help="The class that takes it in.")],
    params: ParamsFile = PARAMS,
) -> None:
    """Make a class a part of another one."""
    _change(params, "merge", old, into)


def _change(params: Path, kind: Kind, old: str, new: str) -> None:
    from boxloop.campaign.at_work import changing
    from boxloop.campaign.class_editing import change
    from boxloop.campaign.paths import CampaignPaths

    campaign_params(params, None)
    with changing(CampaignPaths(), print):
        _require_idle()
        print(change(CampaignPaths(), params, kind, old, new, _reread))


def _reread(params: Params) -> None:
    from boxloop import pipeline
    from boxloop.campaign.campaign import Campaign
    from boxloop.campaign.paths import CampaignPaths

    pipeline.dataset(Campaign(CampaignPaths(), params))


def _require_idle() -> None:
    """Refuse while people review, or DVC trains: what they go by stays as it was."""
    from boxloop.campaign.at_work import require_no_dvc
    from boxloop.campaign.paths import CampaignPaths
    from boxloop.review.fiftyone.session_registry import open_sessions

    sessions = open_sessions(CampaignPaths().state / "sessions")
    if sessions:
        raise SessionError(
            f"{sessions[0].reviewer} is reviewing {sessions[0].batch}, by the classes of before:"
            " end that session first ('boxloop review' goes on with it afterwards)"
        )
    require_no_dvc(CampaignPaths().root, "by the classes of before")
