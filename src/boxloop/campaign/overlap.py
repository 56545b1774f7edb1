"""Have another process train the next turn's detector while a batch is reviewed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator

from boxloop.campaign.ahead import following, is_current
from boxloop.campaign.dvc import environment, reason_of
from boxloop.campaign.paths import CampaignPaths
from boxloop.files import make_folder, read_text
from boxloop.params import Params

_SECONDS_TO_END = 10.0


@contextlib.contextmanager
def training_ahead(
    paths: CampaignPaths, params: Params, key: str, say: Callable[[str], object]
) -> Iterator[None]:
    """Run ``boxloop ahead`` beside the review of a batch.

    At the end, wait for a first training that runs; end one that would only replace another by the
    same parameters. What it says is in ``.boxloop/ahead.log``.

    Args:
        paths: of the campaign.
        params: of the campaign.
        key: the batch that is reviewed.
        say: told what a person may want to know.
    """
    turn = following(params, key)
    if turn is None:
        yield
        return
    log = paths.state / "ahead.log"
    make_folder(paths.state)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "boxloop", "ahead", key, "--wait"],
            cwd=paths.root,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
        if not is_current(paths, params, turn):
            _wait(process, turn, say)
            if process.returncode != 0:
                reason = reason_of(read_text(log))
                say(f"{turn}: was not trained ahead ({reason}); now it trains on everything")
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], turn: str, say: Callable[[str], object]) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_SECONDS_TO_END)
        return
    say(f"{turn}: its detector is still training on what was submitted first")
    process.wait()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
