"""Name a campaign in a MongoDB, so that it outlasts a move and no two campaigns share it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from boxloop.campaign.paths import CampaignPaths
from boxloop.files import read_bytes, write_text
from boxloop.review.fiftyone.file_lock import lock
from boxloop.review.fiftyone.mongodb import URI_VARIABLE


def database_name(paths: CampaignPaths, say: Callable[[str], object]) -> str:
    """Return the campaign's name in a MongoDB, which is made where it has none.

    A copy of the folder brings the name along. In a MongoDB of the user's, which both can reach,
    the copy then gets a name of its own; a mongod of the campaign's own was copied with it.
    """
    with lock(paths.state / "id.lock"):
        path, here = paths.state / "id", os.fspath(paths.root.resolve())
        name, folder = _read(path)
        is_copy = folder not in ("", here) and _read(Path(folder, ".boxloop", "id"))[0] == name
        if is_copy and os.environ.get(URI_VARIABLE):
            say(
                f"This folder is a copy of {folder}: what is edited here stays apart from there,"
                " and begins from what was submitted."
            )
            name = ""
        if not name or (folder != here and not is_copy):
            name = name or f"boxloop_{uuid4().hex[:12]}"
            write_text(path, f"{name}\n{here}\n")
        return name


def _read(path: Path) -> tuple[str, str]:
    """Return the name and the folder that has it; empty where there is none."""
    try:
        text = read_bytes(path).decode("utf-8", "replace")
    except OSError:
        return "", ""
    name, _, folder = text.partition("\n")
    return name.strip(), folder.strip("\n")
