"""The command line itself, which the modules beside this one add their commands to."""

from __future__ import annotations

from typing import Annotated

import typer

from boxloop import __version__

app = typer.Typer(
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
        print(__version__)
        raise typer.Exit
