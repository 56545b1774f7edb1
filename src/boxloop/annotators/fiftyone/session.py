"""A review session as the terminal sees it: starts what is needed, waits, and says how it went.

Three processes take part: this one, the App's (``server.py``), and the database's, which sessions
of one campaign share. Both of the others end when this one does, also after a kill.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from filelock import FileLock

from boxloop import journal, storage
from boxloop.annotators.fiftyone.desk import KIND
from boxloop.annotators.fiftyone.environment import FAREWELL_SECONDS, environment
from boxloop.annotators.fiftyone.locks import Session, claim
from boxloop.annotators.fiftyone.preparing import Terms, plan_work, submissions
from boxloop.annotators.fiftyone.work import Work
from boxloop.database import open_database
from boxloop.errors import ReviewPending, SessionError, UserError
from boxloop.layout import Layout
from boxloop.params import Params
from boxloop.reviewing import bring_into_dvc

DEFAULT_PORT = 5151
_SECONDS_TO_START = 180.0
_SECONDS_TO_END = 5.0
Say = Callable[[str], object]


def pending_batch(layout: Layout, params: Params) -> str | None:
    """The first batch with proposals whose images are not all submitted; None where none waits."""
    known = submissions(layout, params)
    for key in params.iterations:
        path = layout.proposals(key)
        if path.exists() and journal.missing(known, storage.read_proposals(path).boxes):
            return key
    return None


def review(
    params_file: Path,
    overrides: Sequence[str],
    params: Params,
    *,
    batch: str | None,
    reviewer: str | None,
    part: str | None,
    redo: bool,
    port: int | None,
    browser: bool,
    say: Say = print,
) -> None:
    """The command ``boxloop review``: one session, from the pending batch to the summary.

    Raises:
        UserError: nothing is to be reviewed, or the session cannot be opened; says why.
        ReviewPending: the person stopped before the end.
    """
    layout = Layout()
    if params.review.annotator != KIND:
        raise UserError(
            f"review.annotator is '{params.review.annotator}', which needs no person: set it to"
            f" '{KIND}' in params.yaml to review batches yourself"
        )
    if batch is None and redo:
        raise UserError(
            "--redo needs the batch that is to be opened again: boxloop review b00 --redo"
        )
    key = batch or pending_batch(layout, params)
    if key is None:
        say("No batch waits for review. Next: dvc repro")
        return
    terms = Terms(key, (reviewer or getpass.getuser()).strip(), part, redo)
    summary = run_session(
        params_file, overrides, params, terms, port=port, browser=browser, say=say
    )
    say(f"\n{summary}")
    if redo:
        say("Handing the new labels to DVC ...")
        bring_into_dvc(layout.root, key)
    waiting = journal.missing(
        submissions(layout, params), storage.read_proposals(layout.proposals(key)).boxes
    )
    if waiting:
        say(f"{len(waiting)} images of {key} still wait: boxloop review {key}")
    else:
        say("Next: dvc repro")


def run_session(
    params_file: Path,
    overrides: Sequence[str],
    params: Params,
    terms: Terms,
    *,
    port: int | None,
    browser: bool,
    say: Say = print,
) -> str:
    """Opens a batch in the App, and waits until it is submitted.

    Args:
        params_file: the campaign's parameters, for the App's process.
        overrides: of ``--set``.
        params: the same, read.
        terms: what is reviewed, and by whom.
        port: where the App should be; a free one is taken where that is in use.
        browser: whether to open one.
        say: told what the person at the terminal needs to know.

    Returns:
        The summary of the submission.

    Raises:
        UserError: there is nothing to review, or no database.
        SessionError: the images are open elsewhere, or the App failed.
        ReviewPending: the person stopped before the end; nothing is lost.
    """
    layout = Layout()
    work = plan_work(layout, params, terms)
    images = tuple(item.image.id for item in work.items)
    session = Session(terms.batch, terms.part, terms.reviewer, None, images)
    spec: dict[str, Any] = {
        "params": str(params_file),
        "overrides": list(overrides),
        "terms": vars(terms),
    }
    try:
        with _stopped_by_signals(), claim(layout.state / "sessions", session) as claimed:
            say(_greeting(work))
            with open_database(layout.state) as uri:
                spec["port"] = free = _free_port(port or DEFAULT_PORT)
                if port is not None and free != port:
                    say(f"Port {port} is in use; {free} is used instead.")
                log = layout.state / f"app-{terms.batch}-{free}.log"
                env = environment(os.environ, uri=uri, database=_name(layout))
                with _app(spec, env, log) as app:
                    url = _wait_for_app(app, free, log)
                    claimed.publish(url)
                    say(_invitation(url))
                    if browser:
                        _open_browser(url)
                    return _wait_for_submission(app, terms, log)
    except _Stopped:
        raise ReviewPending(
            f"stopped; batch {terms.batch} is not submitted yet, and what was saved in the App is"
            f" kept: '{again(terms)}' goes on from there"
        ) from None


class _Stopped(Exception):
    """The person, or the system, ended the session."""


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Turns Ctrl-C, SIGTERM and a closed terminal into an ordinary end."""
    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

    def stop(number: int, frame: object) -> None:
        for other in signals:  # once is enough: putting things in order is not to be cut short
            signal.signal(other, signal.SIG_IGN)
        raise _Stopped

    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- the App's process ----------------------------------------------------------------------------


class _App:
    """The process, and the lines that it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        assert process.stdout is not None
        threading.Thread(target=self._listen, args=(process.stdout,), daemon=True).start()

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                self.events.put(json.loads(line))
        self.events.put(None)

    def next(self, seconds: float | None) -> dict[str, Any] | None:
        """The next event; None where the process ended.

        Raises:
            TimeoutError: nothing came in time.
        """
        try:
            return self.events.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None


@contextmanager
def _app(spec: dict[str, Any], env: dict[str, str], log: Path) -> Iterator[_App]:
    command = [sys.executable, "-m", "boxloop.annotators.fiftyone.server", json.dumps(spec)]
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for this process to handle
        )
    try:
        yield _App(process)
    finally:
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for_app(app: _App, port: int, log: Path) -> str:
    try:
        event = app.next(_SECONDS_TO_START)
    except TimeoutError:
        raise SessionError(f"the App did not start in time: {log} may say why") from None
    if event is None or event["event"] != "ready":
        reason = "it ended by itself" if event is None else event.get("message")
        raise SessionError(f"{reason} (the App's log is {log})" if event is None else str(reason))
    query = "workspace=review" + (f"&view={event['view']}" if event["view"] else "")
    return f"http://127.0.0.1:{port}/datasets/{event['dataset']}?{query}"


def _wait_for_submission(app: _App, terms: Terms, log: Path) -> str:
    while True:
        event = app.next(None)
        if event is None:
            raise SessionError(
                "the App ended by itself; what was saved in it is kept, and"
                f" '{again(terms)}' goes on from there (its log is {log})"
            )
        if event["event"] == "submitted":
            with contextlib.suppress(TimeoutError):
                app.next(FAREWELL_SECONDS)
            return str(event["summary"])


# --- small things ---------------------------------------------------------------------------------


def again(terms: Terms) -> str:
    """The command that opens the same session again."""
    part = f" --part {terms.part}" if terms.part else ""
    redo = " --redo" if terms.redo else ""
    return f"boxloop review {terms.batch}{part}{redo}"


def _greeting(work: Work) -> str:
    share = f"part {work.part} of batch" if work.part.of > 1 else "batch"
    rest = len(work.part.share(work.batch_images)) - len(work.items)
    done = f" ({rest} more are submitted already)" if rest and not work.redo else ""
    again = " again" if work.redo else ""
    return (
        f"Opening {share} {work.batch}{again} for {work.reviewer}: {len(work.items)} images{done}."
        " The App takes a few seconds to start."
    )


def _invitation(url: str) -> str:
    return (
        f"\n  {url}\n\nOpen that address, if no window has opened. The panel at its right says what"
        " to do.\nThis command ends by itself when the batch is submitted; Ctrl-C stops, and loses"
        " nothing."
    )


def _open_browser(url: str) -> None:
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return  # no screen: a text browser would take the terminal over
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def _free_port(wanted: int) -> int:
    """The wanted port, or the next one that nothing listens on."""
    for port in range(wanted, min(wanted + 100, 65_536)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise SessionError(f"no port is free from {wanted} on: name another with --port")


def _name(layout: Layout) -> str:
    """The campaign's name among the databases of one MongoDB; it stays when the folder moves."""
    path = layout.state / "id"
    with FileLock(layout.state / "id.lock"):
        if not path.exists():
            storage.write_text(path, f"boxloop_{uuid4().hex[:12]}\n")
    return path.read_text(encoding="utf-8").strip()
