"""Serve the FiftyOne App for one session, in its own process.

It is started by :mod:`boxloop.review.fiftyone.app_process`, and ends with its parent: whatever
happens to that, its end of the pipe closes. The first line of that pipe is the keys of the session
as JSON: other users of the machine can read a process's arguments.

Lines on standard output, one JSON object each:

- ``{"event": "ready", "path": path and query of the page}``
- ``{"event": "note", "message": what a person should know}``, before that
- ``{"event": "submitted", "summary": text}``
- ``{"event": "failed", "message": sentence, "log": whether the log says more}``
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
import traceback
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import BoxloopError
from boxloop.params import load_params
from boxloop.review.fiftyone.file_lock import lock
from boxloop.review.fiftyone.guard.access import Access, Keys
from boxloop.review.fiftyone.guard.app_requests import AppRequests, ReviewScope
from boxloop.review.fiftyone.guard.gate import TOKEN, App, Gate
from boxloop.review.fiftyone.guard.hosts import LOOPBACK, Hosts, is_everywhere
from boxloop.review.fiftyone.session_inputs import ReviewRequest

_SECONDS_TO_ANSWER = 180.0


@dataclass(frozen=True)
class Served:
    """What an App serves: its page (path and query), and what requests may touch."""

    path: str
    scope: ReviewScope


Report = Callable[..., None]
"""Reports an event, whose fields are the keywords."""


def run(argv: list[str], prepare: Callable[[dict[str, Any], Report], Served]) -> None:
    """Serve one session until the parent ends it.

    Args:
        argv: one argument, the session as JSON: ``params``, ``overrides``, what ``prepare`` needs,
            and the ``socket`` that listens on ``port``, for ``host``.
        prepare: brings the database up to date for a session, and limits FiftyOne to it.
    """
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints goes to the log
    keys = Keys(**json.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _serve(json.loads(argv[1]), keys, events, prepare)
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


def _serve(
    spec: dict[str, Any],
    keys: Keys,
    events: IO[str],
    prepare: Callable[[dict[str, Any], Report], Served],
) -> None:
    served = prepare(spec, lambda **content: _report(events, **content))
    ready = {"event": "ready", "path": served.path}
    _report_when_up(spec["socket"], keys, lambda: _report(events, **ready))
    gate = Gate(
        AppRequests(_fiftyone_app(spec["port"]), served.scope),
        Access(keys),
        Hosts.of(spec["host"], spec["port"]),
        start=served.path,
    )
    _serve_app(gate, spec["socket"])


def prepare_review(spec: dict[str, Any], report: Report) -> Served:
    """Open the dataset of a batch, and put the reviewer's operators to work."""
    from boxloop.review.fiftyone import operators, session_inputs
    from boxloop.review.fiftyone.controller import ReviewController
    from boxloop.review.fiftyone.guard import fiftyone_limits
    from boxloop.review.fiftyone.sync import open_dataset

    params, paths = load_params(Path(spec["params"]), spec["overrides"]), CampaignPaths()
    request = ReviewRequest(**spec["request"])
    assignment = session_inputs.read_assignment(paths, params, request)
    # Of sessions that start together, one after the other: they share a batch's dataset, and take
    # images that were begun from each other's.
    with lock(paths.state / "opening.lock"):
        files = session_inputs.display_files(paths, assignment)
        dataset = open_dataset(assignment, files, lambda note: report(event="note", message=note))
    known = session_inputs.known_submissions(paths, params, assignment)
    controller = ReviewController(
        dataset,
        paths.reviews,
        others=session_inputs.other_batches(
            paths, params, assignment.batch, known(), redo=request.redo
        ),
        account=params.account,
        versions=session_inputs.versions(),
        known=known,
        idle_seconds=params.review.idle_seconds,
        on_submit=lambda summary: report(event="submitted", summary=summary),
    )
    operators.serve(controller)
    fiftyone_limits.limit(assignment.batch, operators.NEEDED)
    images = session_inputs.batch_files(paths, assignment)
    path = app_path(assignment.batch, dataset.view)
    return Served(path, dataset.scope(images, operators.NEEDED))


def app_path(dataset: str, view: str | None) -> str:
    """Return where a session's images are in the App: path and query of the address."""
    return f"/datasets/{dataset}?workspace=review" + (f"&view={view}" if view else "")


def _report_when_up(listening: int, keys: Keys, report: Callable[[], None]) -> None:
    """Report when the App answers; until then, requests wait in the socket's queue."""
    with socket.socket(fileno=os.dup(listening)) as server:
        address, port = server.getsockname()[:2]
    host = LOOPBACK if is_everywhere(address) and ":" not in address else address

    def ask() -> None:
        place = f"[{host}]" if ":" in host else host
        query = urllib.parse.urlencode({TOKEN: keys.secret})
        # The secret is exchanged for a cookie, as a browser does it.
        cookies = urllib.request.HTTPCookieProcessor()
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)
        with direct.open(f"http://{place}:{port}/fiftyone?{query}", timeout=_SECONDS_TO_ANSWER):
            report()

    threading.Thread(target=ask, daemon=True).start()


def _fiftyone_app(port: int) -> App:
    from fiftyone.server.app import app
    from fiftyone.server.events import set_port

    set_port(port)
    return cast(App, app)


def _serve_app(app: App, listening: int) -> None:
    """Serve an app on a socket that is bound already.

    Between the search for a free port and the moment when a server would bind it lie seconds, in
    which somebody else's session could take it.
    """
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    config = Config()
    config.bind = [f"fd://{listening}"]
    asyncio.run(serve(cast(Any, app), config))


if __name__ == "__main__":
    run(sys.argv, prepare_review)
