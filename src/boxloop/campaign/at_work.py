"""Tell what is at work in a campaign's folder, and keep two commands from changing it at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from boxloop.campaign.mending import dvc_is_writing, running_dvc
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import UserError
from boxloop.files import make_folder

_POLL_SECONDS = 1.0
_SECONDS_TO_SAY = 2.0


def dvc_at_work(root: Path) -> str | None:
    """Return the DVC that runs in a campaign's folder, in words.

    None where none does, or this process is a part of it.
    """
    ours, found = _with_ancestors(), running_dvc(root)
    if any(pid in ours for pid, _ in found):
        return None
    for pid, command in found:
        return f"DVC (process {pid}, '{command}')"
    return "DVC" if dvc_is_writing(root) else None


def _with_ancestors() -> set[int]:
    """Return the ids of this process and of those that it was started by, up to one that ended."""
    process: psutil.Process | None = psutil.Process()
    found = set[int]()
    with contextlib.suppress(psutil.Error):
        while process is not None:
            found.add(process.pid)
            process = process.parent()
    return found


def require_no_dvc(root: Path, why: str) -> None:
    """Refuse while DVC runs the stages, which would go by two states of the campaign.

    Args:
        root: the campaign's folder.
        why: what must not change meanwhile, as the end of a sentence.

    Raises:
        UserError: it runs.
    """
    found = dvc_at_work(root)
    if found is not None:
        raise UserError(
            f"{found} is at work in this campaign, {why}: let it end, or stop it there by Ctrl-C,"
            " then type this again; nothing was changed"
        )


def wait_for_dvc(root: Path, say: Callable[[str], object]) -> None:
    """Wait until no other DVC runs in a campaign's folder."""
    told = False
    while (found := dvc_at_work(root)) is not None:
        if not told:
            say(f"{found} is at work in this campaign: waiting until it has ended ...")
            told = True
        time.sleep(_POLL_SECONDS)


@contextmanager
def only_run(paths: CampaignPaths) -> Iterator[None]:
    """Be the only ``boxloop run`` of a campaign, as long as it lasts.

    Raises:
        UserError: there is another one.
    """
    with _held(paths, "run.lock") as lock:
        try:
            lock(0.0)
        except Timeout:
            raise UserError(
                "another 'boxloop run' is at work in this campaign: go on there, or end it by"
                " Ctrl-C first"
            ) from None
        yield


@contextmanager
def changing(paths: CampaignPaths, say: Callable[[str], object]) -> Iterator[None]:
    """Wait until no other command changes the campaign's labels or parameters, and keep others out.

    What a command looked at, such as which images are submitted, then holds until it has written.
    """
    with in_turn(paths, "change", say, "another command changes this campaign"):
        yield


@contextmanager
def in_turn(
    paths: CampaignPaths, name: str, say: Callable[[str], object], what: str
) -> Iterator[None]:
    """Let one process at a time do the work of a ``name``; another says ``what`` it waits for."""
    with _held(paths, f"{name}.lock") as lock:
        try:
            lock(_SECONDS_TO_SAY)
        except Timeout:
            say(f"{what}: waiting until it has ended ...")
            lock(-1.0)
        yield


@contextmanager
def _held(paths: CampaignPaths, name: str) -> Iterator[Callable[[float], object]]:
    """Yield what takes a lock within some seconds, which is given back at the end."""
    make_folder(paths.state)
    lock = FileLock(paths.state / name)

    def take(seconds: float) -> None:
        with contextlib.suppress(NotImplementedError):  # some file systems know no locks
            lock.acquire(timeout=seconds)

    try:
        yield take
    finally:
        lock.release()
