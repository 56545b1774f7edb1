"""The command line, run within the test's own process."""

import sys

from boxloop import cli


def run_program(monkeypatch, capsys, *arguments):
    """Give the exit code, and what it said."""
    monkeypatch.setattr(sys, "argv", ["boxloop", *map(str, arguments)])
    capsys.readouterr()
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = stop.code or 0
    captured = capsys.readouterr()
    return code, captured.out + captured.err
