"""Run DVC, the one of this very environment."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from boxloop.campaign import mending, submissions
from boxloop.campaign.at_work import dvc_at_work
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import UserError

DVC = (sys.executable, "-m", "dvc")

_FAULTY = re.compile(r"'[^']+' (is invalid|validation failed)")
"""Begins what DVC prints of its own files."""


def environment() -> dict[str, str]:
    """Return this process's variables, by which the stages find their ``boxloop``."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path}


def bring_into_dvc(root: Path, key: str) -> None:
    """Have DVC finish a batch again, which it takes for done.

    The journal is no dependency of the stage, because labels must not be asked for again when it
    grows; so DVC does not see that a batch which it has locked was submitted anew. Where the
    dataset has changed since, as with a class that was added, nothing is done: the stages before
    have to run first, and a plain ``dvc repro`` runs them, and this one after them.

    Raises:
        UserError: DVC failed; the labels are in the journal all the same.
    """
    stage = f"finish@{key}"
    if _is_stale(root, stage):
        return
    running = dvc_at_work(root)
    if running is not None:
        raise UserError(
            f"the labels of {key} are safe in reviews/, but {running} is at work in this campaign:"
            f" run '{submissions.take_over(key)}' once it has ended"
        )
    command = [*DVC, "repro", "--single-item", "--force", stage]
    try:
        done = subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True)
        output, failed = done.stderr or done.stdout, done.returncode != 0
    except OSError as error:
        output, failed = str(error), True
    if failed:
        reason = reason_of(output, root)
        raise UserError(
            f"the labels of {key} are safe in reviews/, but DVC did not take them over ({reason}):"
            f" run '{submissions.take_over(key)}' once that is put right"
        )


def _is_stale(root: Path, stage: str) -> bool:
    """Whether a stage is locked with other images or classes than those of today."""
    lock: Any = mending.read_lock(root)
    images = Path("data") / "images.json"
    try:
        deps = lock["stages"][stage]["deps"]
        [locked] = [dep["md5"] for dep in deps if dep["path"] == images.as_posix()]
        today = hashlib.md5((root / images).read_bytes(), usedforsecurity=False).hexdigest()
    except (LookupError, TypeError, ValueError, OSError):
        return False
    return bool(locked != today)


def reason_of(output: str, root: Path | None = None) -> str:
    """Return what says most of why DVC failed: the stage's own sentence, else an error.

    Conflicts that a merge left in the pipeline of the campaign in ``root`` come first: of them DVC
    prints an extract of the file.
    """
    fault = None if root is None else mending.conflict(root) or mending.glance(CampaignPaths(root))
    if fault:
        return fault
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for mark in ("boxloop: ", "ERROR: "):
        for line in lines:
            if line.startswith(mark):
                return line.removeprefix(mark)
    faulty = next((line for line in lines if _FAULTY.match(line)), None)
    if faulty is not None:  # and the rest shows where, in several lines
        return faulty.rstrip(".:")
    return lines[-1] if lines else "no reason given"
