"""Find the files that boxloop sets aside, and DVC, which watches the folder, stops at."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def find_obstacle(folder: Path) -> str | None:
    """Say which file of a dataset stops DVC, which reads the whole folder before any stage runs.

    ``boxloop dataset`` sets such files aside; DVC ends at them, with an error of its own, or waits.
    """
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where) / name
            why = _obstacle(path)
            if why is not None:
                return f"{path} {why}, and DVC, which watches {folder}, stops at it: {_WAY[why]}"
    return None


_WAY = {
    "has a name that is not UTF-8": "rename it",
    "is a link that leads nowhere": "remove it",
    "is a pipe or a device": "remove it",
}


def _obstacle(path: Path) -> str | None:
    try:
        os.fspath(path).encode("utf-8")
    except UnicodeEncodeError:
        return "has a name that is not UTF-8"
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return "is a link that leads nowhere" if os.path.islink(path) else None
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else "is a pipe or a device"
