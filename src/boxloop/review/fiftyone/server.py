"""The App's process: opens the batch, serves the App on 127.0.0.1, and tells its parent by lines.

It is started by :mod:`boxloop.review.fiftyone.session`, and ends with it: whatever happens to
the parent, its end of the pipe closes.

Lines on standard output, one JSON object each:

- ``{"event": "ready", "dataset": name, "view": slug or null}``
- ``{"event": "submitted", "summary": text}``
- ``{"event": "failed", "message": sentence, "log": whether the log says more}``
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import traceback
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from filelock import FileLock

from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import BoxloopError
from boxloop.params import load_params
from boxloop.review.fiftyone.assign import Terms

_SECONDS_TO_ANSWER = 180.0


def main(argv: list[str]) -> None:
    """Serves one session until the parent ends it.

    Args:
        argv: one argument, the session as JSON: ``params``, ``overrides``, ``terms``, and the
            ``socket`` that listens on ``port``.
    """
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints goes to the log
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _serve(json.loads(argv[1]), events)
    except BoxloopError as error:
        _tell(events, event="failed", message=str(error), log=False)
    except Exception as error:
        traceback.print_exc()
        message = f"the App failed ({type(error).__name__}: {error})"
        _tell(events, event="failed", message=message, log=True)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _tell(events: IO[str], **content: Any) -> None:
    events.write(json.dumps(content) + "\n")
    events.flush()


def _serve(spec: dict[str, Any], events: IO[str]) -> None:
    from boxloop.review.fiftyone import assign, operators
    from boxloop.review.fiftyone.controller import Desk
    from boxloop.review.fiftyone.sync import open_board

    params, paths = load_params(Path(spec["params"]), spec["overrides"]), CampaignPaths()
    work = assign.plan_work(paths, params, Terms(**spec["terms"]))
    # Of sessions that start together, one after the other: they share a batch's dataset, and take
    # images that were begun from each other's.
    with FileLock(paths.state / "opening.lock"):
        board = open_board(work, assign.display_files(paths, work))
    known = assign.SubmissionCache(paths, params)
    desk = Desk(
        board,
        paths.reviews,
        others=assign.other_batches(paths, params, work.batch, known(), redo=work.redo),
        prices=assign.prices(params),
        versions=assign.versions(),
        known=known,
        idle_seconds=params.review.idle_seconds,
        on_submit=lambda summary: _tell(events, event="submitted", summary=summary),
    )
    operators.serve(desk)
    port = spec["port"]
    _tell_when_up(port, lambda: _tell(events, event="ready", dataset=board.name, view=board.view))
    _serve_app(spec["socket"], port)


def _tell_when_up(port: int, tell: Callable[[], None]) -> None:
    """Tells when the App answers; until then, what asks for it waits in the socket's queue."""

    def ask() -> None:
        url = f"http://127.0.0.1:{port}/fiftyone"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(url, timeout=_SECONDS_TO_ANSWER):
            tell()

    threading.Thread(target=ask, daemon=True).start()


def _serve_app(socket: int, port: int) -> None:
    """Serves the App, as FiftyOne's ``start_server`` does, but on a socket that is ours already.

    Between the search for a free port and the moment when a server would bind it lie seconds, in
    which somebody else's session could take it.
    """
    from fiftyone.server.app import app
    from fiftyone.server.events import set_port
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{socket}"]
    set_port(port)
    asyncio.run(serve(app, config))


if __name__ == "__main__":
    main(sys.argv)
