"""Who is reviewing what, now: no image may be open in two sessions.

Every session holds a lock on a file of its own; the operating system lets go of it when the session
ends, however it ends. So a file whose lock can be taken is of a session that is gone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from boxloop.errors import ArtifactError, SessionError
from boxloop.files import read_json, write_text

_SECONDS_TO_REGISTER = 30


@dataclass(frozen=True)
class Session:
    """What is known of a session.

    Attributes:
        batch: key of the batch.
        part: "1/2", or None.
        reviewer: who works there.
        url: where the App is; None while it starts.
        images: ids of the images that are open there.
    """

    batch: str
    part: str | None
    reviewer: str
    url: str | None
    images: tuple[str, ...]


class Claim:
    """A session's right to its images, as long as it lasts."""

    def __init__(self, path: Path, session: Session) -> None:
        """Takes the file that says so; see :func:`claim`."""
        self._path = path
        self._session = session

    def publish(self, url: str) -> None:
        """Tells others where the App is."""
        _write(self._path, self._session, url)


@contextmanager
def claim(folder: Path, session: Session) -> Iterator[Claim]:
    """Claims the images of a session.

    Args:
        folder: of the locks; made where it is missing.
        session: with the images that it opens.

    Raises:
        SessionError: one of the images is open in another session.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{session.batch}-{uuid4().hex[:8]}.json"
    lock = FileLock(path.with_suffix(".lock"))
    try:
        with FileLock(folder / "register.lock", timeout=_SECONDS_TO_REGISTER):
            for other in live(folder):
                shared = set(other.images) & set(session.images)
                if shared:
                    raise SessionError(_taken(other, session, len(shared)))
            lock.acquire(blocking=False)
            _write(path, session, None)
    except Timeout:
        raise SessionError(
            f"{folder} is locked by another 'boxloop review' that is starting: try again"
        ) from None
    try:
        yield Claim(path, session)
    finally:
        path.unlink(missing_ok=True)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def live(folder: Path) -> list[Session]:
    """The sessions that are open now; what others left behind is cleared away."""
    sessions = []
    for path in sorted(folder.glob("*-*.json")):
        lock = FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            try:
                content = read_json(path)
                sessions.append(Session(**{**content, "images": tuple(content["images"])}))
            except (ArtifactError, KeyError, TypeError):
                continue  # it is just being written, or taken away
        else:
            path.unlink(missing_ok=True)
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)
    return sessions


def _write(path: Path, session: Session, url: str | None) -> None:
    content = {
        "batch": session.batch,
        "part": session.part,
        "reviewer": session.reviewer,
        "url": url,
        "images": list(session.images),
    }
    write_text(path, json.dumps(content))


def _taken(other: Session, wanted: Session, shared: int) -> str:
    part = f"part {other.part} of " if other.part else ""
    place = f" at {other.url}" if other.url else ""
    few = f"{shared} of the {len(wanted.images)} images that you want to open are open there"
    return (
        f"{other.reviewer} is reviewing {part}batch {other.batch}{place}: {few}; wait until that"
        f" session is over, or {_side_by_side(other, wanted)}"
    )


def _side_by_side(other: Session, wanted: Session) -> str:
    """How two people can share the batch, in words."""
    number, _, of = (other.part or "").partition("/")
    if of and int(of) > 1 and other.batch == wanted.batch:
        free = int(number) % int(of) + 1
        return f"take another part (boxloop review {wanted.batch} --part {free}/{of})"
    return "share the batch: one opens it with --part 1/2, the other with --part 2/2"
