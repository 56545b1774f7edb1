"""The command line: one subcommand per stage of dvc.yaml, and a few for people.

Every stage names the files it reads and writes, and works without DVC. Heavy libraries are
imported by the commands that need them, so that ``boxloop --help`` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from contextlib import AbstractContextManager, nullcontext

# isort: off
# In the order in which --help lists their commands.
from boxloop.cli import before, turn, campaign, study

# isort: on
from boxloop.cli.app import app
from boxloop.errors import BoxloopError, told

__all__ = ["app", "before", "campaign", "main", "study", "turn"]


def main() -> None:
    """Runs the command line; a BoxloopError becomes one sentence and an exit code."""
    # Whoever reads a long command through a pipe or in a log sees each line when it is said.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    # What is wrong with an image is boxloop's own to say, by file.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    together: AbstractContextManager[None] = nullcontext()
    if "TORCHELASTIC_ERROR_FILE" in os.environ:  # one of several processes
        from boxloop.distributed import report_to_launcher

        together = report_to_launcher()
    try:
        with together:
            app()
    except (BoxloopError, OSError) as error:
        sentence, code = told(error)
        print(f"boxloop: {sentence}", file=sys.stderr)
        sys.exit(code)
