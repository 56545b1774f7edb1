"""The command line itself, which the modules beside this one add their commands to."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

PEOPLE = "Commands"
STAGES = "Stages, which 'dvc repro' runs"
STEPS = (
    "Steps of a turn: 'learn' trains and proposes; 'finish' reviews, merges, accounts and tracks"
)


class _Sections(TyperGroup):
    """Lists commands in sections, without Rich: it takes longer to import than help to read."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write people's commands first, then the stages, then what those of a turn are made of."""
        width = max(map(len, self.commands))
        for title in (PEOPLE, STAGES, STEPS):
            rows = [
                (name.ljust(width), command.get_short_help_str(formatter.width - width - 6))
                for name, command in self.commands.items()
                if getattr(command, "rich_help_panel", None) == title
            ]
            with formatter.section(title):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=_Sections,
    help="Label a pile of images with a fraction of the boxes drawn by hand.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from boxloop import __version__

        print(__version__)
        raise typer.Exit
