"""Hold the journal against the latest commit: nothing else takes files out of ``reviews/``.

``dvc exp apply`` of an experiment does: it makes the folder what it was when the experiment began,
without the submissions that were committed since.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.terminal import counted

COMMAND = "git checkout HEAD -- reviews"
"""Brings back what the latest commit has in the journal, and changes nothing else."""

_PATIENCE = 2.0
"""Seconds in which git has to answer; it takes milliseconds, except on a disk that hangs."""


def lacking(paths: CampaignPaths) -> str | None:
    """Say what the latest commit has in ``reviews/``, and the folder has not; None where nothing.

    Where git is missing, fails or does not answer in time, and where there is no repository or no
    such commit, nothing is known to be lacking.
    """
    if paths.study is not None:  # its cells are of no people
        return None
    try:
        there = {name for folder in paths.journals for name in _names_in(folder)}
    except OSError:  # told by those who read it
        return None
    names = sorted(_names_in_head(workspace_of(paths.root)) - there)
    if not names:
        return None
    one = len(names) == 1
    verb, them, first = ("is", "it", names[0]) if one else ("are", "them", f"{names[0]}, ...")
    return (
        f"the latest commit has {counted(len(names), 'file')} in reviews/ that {verb} not there"
        f" now ({first}): 'dvc exp apply' of an older experiment takes people's labels away like"
        f" that; '{COMMAND}' brings {them} back, or commit the removal"
    )


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        if folder.is_symlink():
            raise  # to a disk that is not mounted
        return []


def _names_in_head(root: Path) -> set[str]:
    """Return the names of the journal's files in the latest commit, by git."""
    command = ["git", "ls-tree", "--name-only", "-z", "HEAD", "reviews/"]
    # In a file: a pipe could stay open in what git started, and would be waited for.
    with suppress(OSError, subprocess.SubprocessError), tempfile.TemporaryFile() as out:
        done = subprocess.run(
            command,
            cwd=root,
            env={**os.environ, "GIT_NO_LAZY_FETCH": "1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            start_new_session=True,  # no terminal, at which it could ask for a password
        )
        if done.returncode == 0:
            out.seek(0)
            found = (os.path.split(os.fsdecode(name)) for name in out.read().split(b"\0"))
            return {
                name
                for folder, name in found
                if folder == "reviews" and name.endswith(".json") and name[0] != "."
            }
    return set()
