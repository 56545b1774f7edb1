"""Alternate in one sitting: DVC trains and proposes, a person reviews."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import UserError


def alternate(
    paths: CampaignPaths, review: Callable[[str], object], say: Callable[[str], object]
) -> None:
    """Run ``dvc repro`` and ``review`` a batch in turn, until every batch is done.

    ``review`` opens the session of a batch, and returns when it is submitted.

    Raises:
        UserError: DVC failed for another reason than a batch that waits; its own output says why.
    """
    while True:
        paths.pending.unlink(missing_ok=True)
        if _repro(paths.root) == 0:
            say("Every batch is done. Results: data/report/report.html")
            return
        if not paths.pending.exists():
            raise UserError(
                "'dvc repro' failed, see above: put that right, and 'boxloop run' goes on"
            )
        review(paths.pending.read_text(encoding="utf-8").strip())


def _repro(folder: Path) -> int:
    # The stages call `boxloop`: the one of this very environment.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    command = [sys.executable, "-m", "dvc", "repro"]
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, "PATH": path})
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        return process.wait()
    except BaseException:
        # Ctrl-C reaches DVC from the terminal as well; a signal to this process alone does not.
        process.send_signal(signal.SIGINT)
        process.wait()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
