"""The App's process: opens the batch, serves the App on 127.0.0.1, and tells its parent by lines.

It is started by :mod:`boxloop.annotators.fiftyone.session`, and ends with it: whatever happens to
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

from boxloop.annotators.fiftyone.preparing import Terms
from boxloop.errors import BoxloopError
from boxloop.layout import Layout
from boxloop.params import load_params

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
    from boxloop.annotators.fiftyone import operators, preparing
    from boxloop.annotators.fiftyone.desk import Desk
    from boxloop.annotators.fiftyone.opening import open_board

    params, layout = load_params(Path(spec["params"]), spec["overrides"]), Layout()
    work = preparing.plan_work(layout, params, Terms(**spec["terms"]))
    # Of sessions that start together, one after the other: they share a batch's dataset, and take
    # images that were begun from each other's.
    with FileLock(layout.state / "opening.lock"):
        board = open_board(work, preparing.display_files(layout, work))
    known = preparing.Submissions(layout, params)
    desk = Desk(
        board,
        layout.reviews,
        others=preparing.other_batches(layout, params, work.batch, known(), redo=work.redo),
        prices=preparing.prices(params),
        versions=preparing.versions(),
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
