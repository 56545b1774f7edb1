"""The unix socket of a campaign's mongod: in a folder that nobody but its owner can enter.

On a port of 127.0.0.1, every user of the machine would reach the database.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path
from urllib.parse import quote

from boxloop.errors import DatabaseError

_NAME = "mongod.sock"  # MongoDB's clients tell a socket by its ending
_FOLDER = "socket"
_TEMPORARY = "boxloop-db-"


def make_socket_folder(campaign: Path, wanted: Path | None = None) -> Path:
    """Make a folder for the socket, and return the path that the socket is to have.

    It lies in the campaign's ``.boxloop``. Where that path is too long for a socket (about 100
    bytes), or its disk has none, it lies in the system's folder for temporary files.

    Args:
        campaign: the campaign's ``.boxloop``.
        wanted: what this returned to a keeper that was killed; it is taken again where its folder
            is still there, and nobody else's.

    Raises:
        DatabaseError: there is no place for it.
    """
    if wanted is not None and _is_closed(wanted.parent) and _holds_sockets(wanted.parent):
        return wanted
    own = campaign / _FOLDER
    own.mkdir(mode=0o700, exist_ok=True)
    own.chmod(0o700)
    if _holds_sockets(own):
        return own / _NAME
    for parent in (tempfile.gettempdir(), "/tmp"):
        with contextlib.suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent))  # of mode 0700
            if _holds_sockets(folder):
                return folder / _NAME
            folder.rmdir()
    raise DatabaseError(
        f"the review's database has no place for its socket: neither {own} nor"
        f" {tempfile.gettempdir()} takes one; set TMPDIR to a folder of this machine's own disk"
    )


def remove_socket_folder(path: Path) -> None:
    """Remove what :func:`make_socket_folder` made, by the path that it returned."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    if path.parent.name.startswith(_TEMPORARY):
        with contextlib.suppress(OSError):
            if path.parent.lstat().st_uid == os.geteuid():
                shutil.rmtree(path.parent)


def remove_leftover(path: Path) -> None:
    """Remove the folder of a socket that a record names, where nobody listens on it.

    The record may be a copy of another campaign's.
    """
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            remove_socket_folder(path)
        except OSError:
            return


def _is_closed(folder: Path) -> bool:
    """Return whether nobody but its owner, who runs this, can enter a folder."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    mode = stat.S_IMODE(found.st_mode)
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and mode == 0o700


def socket_uri(path: Path) -> str:
    """Return the URI of a MongoDB that listens on a socket."""
    return f"mongodb://{quote(os.fspath(path), safe='')}"


def _holds_sockets(folder: Path) -> bool:
    """Try it, at a path as long as the real one."""
    path = folder / _NAME
    if "," in os.fspath(path):  # mongod takes a list
        return False
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(os.fspath(path))
    except OSError:
        return False
    path.unlink(missing_ok=True)
    return True
