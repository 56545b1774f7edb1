"""The folder of the images that boxloop draws: what may lie in it, which DVC replaces whole."""

from __future__ import annotations

import re
from pathlib import Path

README = "README.txt"
OWN_FILE = re.compile(r"(shot\d+_frame\d+|still_\d+)\.png")


def find_foreign(folder: Path) -> str | None:
    """Return the name of something that boxloop did not put there; None where there is nothing.

    Hidden files do not count: systems and killed writers leave some.
    """
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return next((n for n in names if n != README and not OWN_FILE.fullmatch(n)), None)
