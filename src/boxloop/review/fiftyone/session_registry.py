"""Register which session reviews which images: none may be open in two sessions.

Every session locks a file of its own as long as it lasts. So a file whose lock can be taken is that
of a session which ended, or was killed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from uuid import uuid4

from boxloop.errors import ArtifactError, SessionError
from boxloop.files import make_folder, read_json, write_text
from boxloop.review.fiftyone.file_lock import lock, open_lock, try_lock
from boxloop.terminal import counted

_SECONDS_TO_REGISTER = 30


@dataclass(frozen=True)
class Session:
    """One open session: ``part`` as "1/2" or None, ``url`` None while the App starts."""

    batch: str
    part: str | None
    reviewer: str
    url: str | None
    images: tuple[str, ...]


FreePart = Callable[[int, Collection[str]], str | None]
"""From (number of parts, images that are open elsewhere), the command that opens a free part."""


@contextmanager
def claim(
    folder: Path, session: Session, free_part: FreePart = lambda of, taken: None
) -> Iterator[Callable[[str], None]]:
    """Claim the images of a session as long as it lasts.

    The folder of the locks is made where it is missing. ``free_part`` finds what a person who is
    refused can do instead.

    Yields:
        A function that lets other sessions know the App's address.

    Raises:
        SessionError: one of the images is open in another session.
    """
    make_folder(folder)
    path = folder / f"{session.batch}-{uuid4().hex[:8]}.json"

    def publish(url: str | None) -> None:
        write_text(path, json.dumps(asdict(replace(session, url=url))))

    with open_lock(path.with_suffix(".lock")) as own:
        try:
            with _registering(folder):
                others = open_sessions(folder)
                for other in others:
                    shared = set(other.images) & set(session.images)
                    if shared:
                        taken = {image_id for each in others for image_id in each.images}
                        way = _way_out(other, session, taken, free_part)
                        raise SessionError(_refusal(other, session, len(shared), way))
                try_lock(own)
                publish(None)
            yield publish
        finally:
            _remove(path)


@contextmanager
def _registering(folder: Path) -> Iterator[None]:
    try:
        with lock(folder / "register.lock", _SECONDS_TO_REGISTER):
            yield
    except TimeoutError:
        raise SessionError(
            f"{folder} is locked by another 'boxloop review' that is starting: try again"
        ) from None


def open_sessions(folder: Path) -> list[Session]:
    """Return the open sessions, and remove the files of ended ones."""
    sessions = []
    for path in sorted(folder.glob("*-*.json")):
        with open_lock(path.with_suffix(".lock")) as file:
            if try_lock(file):
                _remove(path)
                continue
        try:
            content = read_json(path)
            sessions.append(Session(**{**content, "images": tuple(content["images"])}))
        except (ArtifactError, KeyError, TypeError):
            continue  # it is just being written, or removed
    return sessions


def require_closed(folder: Path, image_ids: Collection[str]) -> None:
    """Refuse labels from elsewhere for images that somebody is just reviewing.

    Raises:
        SessionError: one is open in a session, which could not submit what was done there.
    """
    for session in open_sessions(folder):
        shared = [image_id for image_id in session.images if image_id in image_ids]
        if shared:
            raise SessionError(
                f"{session.reviewer} is reviewing {session.batch}, with {counted(len(shared))} of"
                f" this file ({', '.join(shared[:3])}{', ...' if len(shared) > 3 else ''}), and"
                " could not submit them any more: submit that session first, or end it; nothing was"
                " taken in"
            )


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_suffix(".lock").unlink(missing_ok=True)


def _refusal(other: Session, wanted: Session, shared: int, way: str) -> str:
    part = f"part {other.part} of " if other.part else ""
    place = f" at {other.url}" if other.url else ""
    few = f"{shared} of the {len(wanted.images)} images that you want to open are open there"
    return (
        f"{other.reviewer} is reviewing {part}batch {other.batch}{place}: {few}; wait until that"
        f" session is over{way}"
    )


def _way_out(other: Session, wanted: Session, taken: Collection[str], free_part: FreePart) -> str:
    """Return what can be done but wait, in words."""
    sizes = [of for of in map(_parts, (wanted, other)) if of > 1]
    for of in dict.fromkeys(sizes):
        command = free_part(of, taken)
        if command is not None:
            return f", or take another part ({command})"
    if sizes:
        return ": no other part of it is free"
    return ", or share the batch: one opens it with --part 1/2, the other with --part 2/2"


def _parts(session: Session) -> int:
    return int((session.part or "").partition("/")[2] or 1)
