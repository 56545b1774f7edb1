"""The command line: commands for people, and one per stage of dvc.yaml.

A stage takes its turn, and each of its files as an option, and works without DVC. Everything but
Typer is imported by the commands that need it, so that ``boxloop --help`` answers at once.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import sys
import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

# isort: off
# In the order in which --help lists their commands.
from boxloop.cli import campaign, qa, ahead, exchange, classes, experiments, predict, study, stages

# isort: on
from boxloop.cli.app import app
from boxloop.errors import BoxloopError, UserError, told

__all__ = [
    "ahead",
    "app",
    "campaign",
    "classes",
    "exchange",
    "experiments",
    "main",
    "predict",
    "qa",
    "run",
    "stages",
    "study",
]

USAGE = 2
"""Exit code of a command that was called in a way that it does not have."""

_NEW_OBJECTS = 100_000
"""How many more objects than before make Python look for cycles: an import makes a million."""


def run() -> NoReturn:
    """Run the command line as a process of its own, which starts and ends without delay.

    A stage of a second or two would otherwise spend half of its time on looking for garbage among
    the modules of torch or MLflow, and on taking them apart at its end.
    """
    gc.set_threshold(_NEW_OBJECTS, 50, 100)
    code: Any = 0
    try:
        main()
    except SystemExit as end:
        code = end.code
    if isinstance(code, str):  # a sentence, which the interpreter would print
        print(code, file=sys.stderr)
    private: Any = threading
    private._shutdown()  # waits for threads and pools, as the interpreter does when it ends
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads any more
            code = code or 1
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Runs the command line; a BoxloopError becomes one sentence and an exit code."""
    # Whoever reads a long command through a pipe or in a log sees each line when it is said.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    # A terminal that is not UTF-8 shows what it lacks as its escape: no reason to stop.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # What is wrong with an image is boxloop's own to say, by file.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    together: AbstractContextManager[None] = nullcontext()
    if "TORCHELASTIC_ERROR_FILE" in os.environ:  # one of several processes
        from boxloop.distributed import report_to_launcher

        together = report_to_launcher()
    from boxloop.terminal import plain_output, printable

    try:
        with together, plain_output():
            try:
                app()
            except SystemExit as stop:
                if stop.code == USAGE:
                    _blame_older_pipeline()
                raise
    except (BoxloopError, OSError) as error:
        sentence, code = told(error)
    except MemoryError:
        sentence = "there is not enough memory: lower input_size or batch_size in params.yaml"
        code = UserError.exit_code
    else:
        return
    print(f"boxloop: {printable(sentence)}", file=sys.stderr)
    sys.exit(code)


def _blame_older_pipeline() -> None:
    """Say it where DVC has called a stage as the dvc.yaml of an older boxloop does."""
    from boxloop.campaign import mending

    older = mending.older_pipeline(Path.cwd())
    if older is not None:
        print(f"boxloop: {older}", file=sys.stderr)
