"""Name the files of a journal: no two of different labels are called alike, in any clone."""

from __future__ import annotations

import re
import shlex
import unicodedata
from datetime import datetime
from pathlib import Path

from boxloop.campaign.digests import digest
from boxloop.core.types import Corrections

LOOK = ".look.json"
"""Ends the names of second looks; those of submissions have none before theirs."""


def stem(corrections: Corrections, when: datetime, *, kept: bool = False) -> str:
    """Return what the name of a submission begins with: batch, time and reviewer.

    What is ``kept`` has the time and the person of the submission that it is a part of, which
    another clone may hold whole, or keep another part of: git would find both added by one name.
    """
    reviewer = _slug(corrections.reviewer or "unnamed")
    found = f"{_slug(corrections.batch)}-{when.strftime('%Y%m%dT%H%M%S%fZ')}-{reviewer}"
    if not kept:
        return found
    rows = {i: [b.xyxy.tolist(), b.labels.tolist()] for i, b in corrections.boxes.items()}
    # It sorts after the whole one, which names the person alone.
    return f"{found}.kept-{digest([rows, dict(corrections.digests)])[:8]}"


def keep_both(path: Path) -> str:
    """Say how the other side of a conflict in a submission is kept as well."""
    end = LOOK if path.name.endswith(LOOK) else ".json"
    beside = shlex.quote(f"{str(path).removesuffix(end)}-theirs{end}")
    folder, name = shlex.quote(str(path.parent)), shlex.quote(path.name)
    return (
        "both hold labels, so keep the other one in a file beside it:"
        f" 'git -C {folder} show :3:./{name} > {beside}'"
    )


def _slug(text: str) -> str:
    """Return text that can be a part of any file's name."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9_]+", "-", plain).strip("-")[:40] or "unnamed"
