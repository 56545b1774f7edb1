"""The App's process: opens the batch, serves the App on 127.0.0.1, and tells its parent by lines.

It is started by :mod:`boxloop.annotators.fiftyone.session`, and ends with it: whatever happens to
the parent, its end of the pipe closes.

Lines on standard output, one JSON object each:

- ``{"event": "ready", "dataset": name, "view": slug or null}``
- ``{"event": "submitted", "summary": text}``
- ``{"event": "failed", "message": sentence}``
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import IO, Any

from boxloop.annotators.fiftyone.preparing import Terms
from boxloop.errors import BoxloopError
from boxloop.layout import Layout
from boxloop.params import load_params


def main(argv: list[str]) -> None:
    """Serves one session until the parent ends it.

    Args:
        argv: one argument, the session as JSON: ``params``, ``overrides``, ``terms``, ``port``.
    """
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints goes to the log
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _serve(json.loads(argv[1]), events)
    except BoxloopError as error:
        _tell(events, event="failed", message=str(error))
    except Exception as error:
        traceback.print_exc()
        _tell(events, event="failed", message=f"the App did not start ({error})")


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _tell(events: IO[str], **content: Any) -> None:
    events.write(json.dumps(content) + "\n")
    events.flush()


def _serve(spec: dict[str, Any], events: IO[str]) -> None:
    from boxloop.annotators.fiftyone import operators, preparing
    from boxloop.annotators.fiftyone.board import open_board
    from boxloop.annotators.fiftyone.desk import Desk

    params, layout = load_params(Path(spec["params"]), spec["overrides"]), Layout()
    work = preparing.plan_work(layout, params, Terms(**spec["terms"]))
    board = open_board(work, preparing.display_files(layout, work))
    desk = Desk(
        board,
        layout.reviews,
        previous=preparing.previous_workloads(layout, params, work.batch),
        prices=preparing.prices(params),
        versions=preparing.versions(),
        known=lambda: preparing.submissions(layout, params),
        idle_seconds=params.review.idle_seconds,
        first=work.batch == next(iter(params.iterations)),
    )
    operators.serve(desk, lambda summary: _tell(events, event="submitted", summary=summary))
    _tell_when_up(spec["port"], events, board.name, board.view_name)
    from fiftyone.server.main import start_server

    start_server(port=spec["port"], address="127.0.0.1")


def _tell_when_up(port: int, events: IO[str], dataset: str, view: str | None) -> None:
    def wait() -> None:
        import socket

        while True:
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        _tell(events, event="ready", dataset=dataset, view=view)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    main(sys.argv)
