"""Where a scheduler of Dask is: its address, or the file that it has written. Loads no Dask."""

from __future__ import annotations

import json
import os
import re
import time
from importlib.metadata import entry_points

from boxloop.errors import ParamsError, ProcessError

_SCHEMES = ("tcp", "tls", "ws", "wss", "ucx")
_PLACE = re.compile(r"(?:\[[^\[\]\s]+\]|[^\[\]\s:/]+):(\d{1,5})")
_LIKE = "such as tcp://host:8786"

_MOST_BYTES = 2**26
"""Of a scheduler's file, which lists its workers."""

_SECONDS_TO_WRITE = 1.0
"""A scheduler has begun its file for less than that before it is whole."""


def find(where: str) -> str:
    """Return the address of a scheduler.

    Args:
        where: it is: its address ("tcp://host:8786", "host:8786"), or its file. What has neither a
            scheme nor a port is a file.

    Raises:
        ParamsError: it is neither an address nor the file of a scheduler.
        ProcessError: the file is not there yet.
    """
    if not where.strip():
        raise ParamsError(f"--on names no scheduler: give its address, {_LIKE}, or its file")
    place = "://" in where or _PLACE.fullmatch(where) is not None
    if place and not os.path.exists(where):
        _require_address(where)
        return where
    if not os.path.exists(where):
        raise ProcessError(
            f"the scheduler {where} has not written its file: start it, or name another, or its"
            f" address, {_LIKE}"
        )
    return _written(where)


def _require_address(address: str) -> None:
    """Refuse what Dask would not take, or would take half a minute to refuse.

    Raises:
        ParamsError: it is no address.
    """
    scheme, _, place = address.rpartition("://")
    if scheme and scheme not in _SCHEMES:
        if entry_points(group="distributed.comm.backends", name=scheme):
            return  # of another package, whose addresses may look otherwise
        found = None
    else:
        found = _PLACE.fullmatch(place)
    if found is None or not 0 < int(found[1]) < 2**16:
        raise ParamsError(
            f"{address} is no address of a scheduler, {_LIKE}: give that, or the scheduler's file"
        )


def _written(file: str) -> str:
    """Return the address in a scheduler's file.

    Raises:
        ParamsError: it is the file of something else.
    """
    limit = time.monotonic() + _SECONDS_TO_WRITE
    # A pipe without a writer would wait, and a device has no end.
    while os.path.isfile(file) and os.path.getsize(file) <= _MOST_BYTES:
        try:
            with open(file, "rb") as opened:
                address = str(json.load(opened)["address"])
            _require_address(address)
            return address
        except (ValueError, KeyError, TypeError, IndexError, RecursionError, ParamsError):
            if time.monotonic() > limit:
                break
        time.sleep(0.1)
    raise ParamsError(
        f"{file} is no file of a scheduler, as it holds no address of one: name what 'dask"
        f" scheduler --scheduler-file' has written, or its address, {_LIKE}"
    )
