"""Serve the FiftyOne App for one session, in its own process.

It is started by :mod:`boxloop.review.fiftyone.app_process`, and ends with its parent: whatever
happens to that, its end of the pipe closes.

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

from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import BoxloopError
from boxloop.params import load_params
from boxloop.review.fiftyone.file_lock import lock
from boxloop.review.fiftyone.session_inputs import ReviewRequest

_SECONDS_TO_ANSWER = 180.0


def main(argv: list[str]) -> None:
    """Serve one session until the parent ends it.

    Args:
        argv: one argument, the session as JSON: ``params``, ``overrides``, ``request``, and the
            ``socket`` that listens on ``port``.
    """
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints goes to the log
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _serve(json.loads(argv[1]), events)
    except BoxloopError as error:
        _report(events, event="failed", message=str(error), log=False)
    except Exception as error:
        traceback.print_exc()
        message = f"the App failed ({type(error).__name__}: {error})"
        _report(events, event="failed", message=message, log=True)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _report(events: IO[str], **content: Any) -> None:
    events.write(json.dumps(content) + "\n")
    events.flush()


def _serve(spec: dict[str, Any], events: IO[str]) -> None:
    from boxloop.review.fiftyone import operators, session_inputs
    from boxloop.review.fiftyone.controller import ReviewController
    from boxloop.review.fiftyone.sync import open_dataset

    params, paths = load_params(Path(spec["params"]), spec["overrides"]), CampaignPaths()
    request = ReviewRequest(**spec["request"])
    assignment = session_inputs.read_assignment(paths, params, request)
    # Of sessions that start together, one after the other: they share a batch's dataset, and take
    # images that were begun from each other's.
    with lock(paths.state / "opening.lock"):
        dataset = open_dataset(assignment, session_inputs.display_files(paths, assignment))
    known = session_inputs.SubmissionCache(paths, params)
    controller = ReviewController(
        dataset,
        paths.reviews,
        others=session_inputs.other_batches(
            paths, params, request.batch, known(), redo=request.redo
        ),
        account=params.account,
        versions=session_inputs.versions(),
        known=known,
        idle_seconds=params.review.idle_seconds,
        on_submit=lambda summary: _report(events, event="submitted", summary=summary),
    )
    operators.serve(controller)
    port = spec["port"]
    ready = {"event": "ready", "dataset": assignment.batch, "view": dataset.view}
    _report_when_up(port, lambda: _report(events, **ready))
    _serve_app(spec["socket"], port)


def _report_when_up(port: int, report: Callable[[], None]) -> None:
    """Report when the App answers; until then, requests wait in the socket's queue."""

    def ask() -> None:
        url = f"http://127.0.0.1:{port}/fiftyone"
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(url, timeout=_SECONDS_TO_ANSWER):
            report()

    threading.Thread(target=ask, daemon=True).start()


def _serve_app(socket: int, port: int) -> None:
    """Serve the App as FiftyOne does, but on a socket already bound.

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
