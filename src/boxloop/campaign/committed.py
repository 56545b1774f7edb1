"""Hold the journal against the latest commit: nothing else takes files out of ``reviews/``.

``dvc exp apply`` of an experiment does: it makes the folder what it was when the experiment began,
without the submissions that were committed since.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from boxloop.campaign.paths import CampaignPaths, workspace_of
from boxloop.terminal import counted

_DELETED = shlex.split("git diff --relative --name-only --diff-filter=D -z HEAD -- reviews")
_MOST_NAMED = 3

_PATIENCE = 2.0
"""Seconds in which git has to answer; it takes milliseconds, except on a disk that hangs."""


@dataclass(frozen=True)
class Lacking:
    """Files of the journal that the latest commit has, and the folder has not.

    Attributes:
        names: of the files, sorted; at least one.
    """

    names: tuple[str, ...]

    @property
    def command(self) -> str:
        """What brings them back, and touches nothing else: others may be edited, or in conflict."""
        if len(self.names) > _MOST_NAMED:
            return f"{' '.join(_DELETED)} | xargs -0 git checkout HEAD --"
        return shlex.join(["git", "checkout", "HEAD", "--", *(f"reviews/{n}" for n in self.names)])

    def __str__(self) -> str:
        one = len(self.names) == 1
        verb, them = ("is", "it") if one else ("are", "them")
        first = self.names[0] if one else f"{self.names[0]}, ..."
        return (
            f"the latest commit has {counted(len(self.names), 'file')} in reviews/ that {verb} not"
            f" there now ({first}): 'dvc exp apply' of an older experiment takes people's labels"
            f" away like that; '{self.command}' brings {them} back, or commit the removal"
        )


def lacking(paths: CampaignPaths) -> Lacking | None:
    """Return what the latest commit has in ``reviews/``, and the folder has not; None without any.

    Where git is missing, fails or does not answer in time, and where there is no repository or no
    such commit, nothing is known to be lacking; nor what a sparse checkout leaves out.
    """
    if paths.study is not None:  # its cells are of no people
        return None
    try:
        there = {name for folder in paths.journals for name in _names_in(folder)}
    except OSError:  # told by those who read it
        return None
    names = sorted(_deleted(workspace_of(paths.root)) - there)
    return Lacking(tuple(names)) if names else None


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        if folder.is_symlink():
            raise  # to a disk that is not mounted
        return []


def _deleted(root: Path) -> set[str]:
    """Return the names of the journal's files that the latest commit has more, by git."""
    # In a file: a pipe could stay open in what git started, and would be waited for.
    with suppress(OSError, subprocess.SubprocessError), tempfile.TemporaryFile() as out:
        done = subprocess.run(
            _DELETED,
            cwd=root,
            env={**os.environ, "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"},
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
