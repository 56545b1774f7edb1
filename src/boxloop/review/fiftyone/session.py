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

from boxloop.campaign import artifacts, submissions
from boxloop.campaign.paths import CampaignPaths
from boxloop.errors import ReviewPending, SessionError, UserError
from boxloop.files import write_text
from boxloop.params import Params
from boxloop.review.collect import bring_into_dvc
from boxloop.review.fiftyone.assign import Terms, all_submissions, display_files, plan_work
from boxloop.review.fiftyone.assignment import Work
from boxloop.review.fiftyone.controller import KIND
from boxloop.review.fiftyone.environment import FAREWELL_SECONDS, environment
from boxloop.review.fiftyone.mongodb import open_database
from boxloop.review.fiftyone.session_registry import Session, claim

DEFAULT_PORT = 5151
_SECONDS_TO_START = 180.0
_SECONDS_TO_END = 5.0
Say = Callable[[str], object]


def pending_batch(paths: CampaignPaths, params: Params) -> str | None:
    """The first batch with proposals whose images are not all submitted; None where none waits."""
    known = all_submissions(paths, params)
    for key in params.iterations:
        path = paths.proposals(key)
        if path.exists() and submissions.missing(known, artifacts.read_proposals(path).boxes):
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
    paths = CampaignPaths()
    if params.review.annotator != KIND:
        raise UserError(
            f"review.annotator is '{params.review.annotator}', which needs no person: set it to"
            f" '{KIND}' in params.yaml to review batches yourself"
        )
    if batch is None and redo:
        raise UserError(
            "--redo needs the batch that is to be opened again: boxloop review b00 --redo"
        )
    name = reviewer_name(reviewer)
    key = batch or pending_batch(paths, params)
    if key is None:
        say("No batch waits for review. Next: dvc repro")
        return
    terms = Terms(key, name, part, redo)
    summary = run_session(
        params_file, overrides, params, terms, port=port, browser=browser, say=say
    )
    say(f"\n{summary}")
    if redo:
        say("Handing the new labels to DVC ...")
        bring_into_dvc(paths.root, key)
    waiting = submissions.missing(
        all_submissions(paths, params), artifacts.read_proposals(paths.proposals(key)).boxes
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
    paths = CampaignPaths()
    work = plan_work(paths, params, terms)
    images = tuple(item.image.id for item in work.items)
    session = Session(terms.batch, terms.part, terms.reviewer, None, images)
    spec: dict[str, Any] = {
        "params": str(params_file),
        "overrides": list(overrides),
        "terms": vars(terms),
    }
    app = None
    try:
        with _stopped_by_signals(), claim(paths.state / "sessions", session) as claimed:
            say(_greeting(work))
            display_files(paths, work)  # an image that is gone is told now, and not in ten seconds
            with open_database(paths.state) as uri, _listening(port or DEFAULT_PORT) as server:
                spec["port"], spec["socket"] = server.getsockname()[1], server.fileno()
                if port is not None and spec["port"] != port:
                    say(f"Port {port} is in use; {spec['port']} is used instead.")
                log = paths.state / f"app-{terms.batch}-{spec['port']}.log"
                env = environment(os.environ, uri=uri, database=_name(paths))
                with _app(spec, env, log) as app:
                    url = _wait_for_app(app, spec["port"], log)
                    claimed.publish(url)
                    say(_invitation(url))
                    if browser:
                        _open_browser(url)
                    _wait_for_submission(app, terms, log)
    except _Stopped:
        if app is None or app.submitted is None:
            raise ReviewPending(
                f"stopped; batch {terms.batch} is not submitted yet, and what was saved in the App"
                f" is kept: '{again(terms)}' goes on from there"
            ) from None
    return str(app.submitted)


class _Stopped(Exception):
    """The person, or the system, ended the session."""


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Turns Ctrl-C, SIGTERM and a closed terminal into an ordinary end."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signals.append(signal.SIGHUP)

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
    """The process, and the lines that it says.

    Attributes:
        submitted: the summary, once it was submitted, whether anybody waited for that or not.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.submitted: str | None = None
        self._process = process
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        assert process.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=(process.stdout,), daemon=True)
        self._listener.start()

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                event = json.loads(line)
                if event["event"] == "submitted":
                    self.submitted = str(event["summary"])
                self._events.put(event)
        self._events.put(None)

    def next(self, seconds: float | None) -> dict[str, Any] | None:
        """The next event; None where the process ended.

        Raises:
            TimeoutError: nothing came in time.
        """
        try:
            return self._events.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None

    def end(self) -> None:
        """Ends it, and hears what it said last."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(_SECONDS_TO_END)


@contextmanager
def _app(spec: dict[str, Any], env: dict[str, str], log: Path) -> Iterator[_App]:
    # -P: files of the campaign's folder are no modules.
    command = [sys.executable, "-P", "-m", "boxloop.review.fiftyone.server", json.dumps(spec)]
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            pass_fds=[spec["socket"]],
            start_new_session=True,  # Ctrl-C in the terminal is for this process to handle
        )
    app = _App(process)
    try:
        yield app
    finally:
        app.end()


def _wait_for_app(app: _App, port: int, log: Path) -> str:
    try:
        event = app.next(_SECONDS_TO_START)
    except TimeoutError:
        raise SessionError(f"the App did not start in time: {log} may say why") from None
    if event is None:
        raise SessionError(f"the App ended by itself while it started: {log} may say why")
    if event["event"] != "ready":
        raise SessionError(f"{event['message']}" + (f": see {log}" if event["log"] else ""))
    query = "workspace=review" + (f"&view={event['view']}" if event["view"] else "")
    return f"http://127.0.0.1:{port}/datasets/{event['dataset']}?{query}"


def _wait_for_submission(app: _App, terms: Terms, log: Path) -> None:
    while app.submitted is None:
        if app.next(None) is None and app.submitted is None:
            raise SessionError(
                "the App ended by itself; what was saved in it is kept, and"
                f" '{again(terms)}' goes on from there (its log is {log})"
            )
    with contextlib.suppress(TimeoutError):
        app.next(FAREWELL_SECONDS)


# --- small things ---------------------------------------------------------------------------------


def reviewer_name(given: str | None) -> str:
    """The reviewer's name, by default that of the account.

    Raises:
        UserError: there is none, or it cannot be shown.
    """
    try:
        name = getpass.getuser() if given is None else given.strip()
    except (KeyError, OSError):  # an account without a name, as in some containers
        name = ""
    if not name:
        raise UserError("say who reviews: --reviewer NAME")
    if not name.isprintable():
        raise UserError(f"--reviewer {name!r} has characters that cannot be shown")
    return name


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


@contextmanager
def _listening(wanted: int) -> Iterator[socket.socket]:
    """A socket on the wanted port, or on the next one that nothing listens on."""
    for port in range(wanted, min(wanted + 100, 65_536)):
        with socket.socket() as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind(("127.0.0.1", port))
                server.listen(100)
            except OSError:
                continue
            yield server
            return
    raise SessionError(f"no port is free from {wanted} on: name another with --port")


def _name(paths: CampaignPaths) -> str:
    """The campaign's name among the databases of one MongoDB; it stays when the folder moves."""
    path = paths.state / "id"
    with FileLock(paths.state / "id.lock"):
        if not path.exists():
            write_text(path, f"boxloop_{uuid4().hex[:12]}\n")
    return path.read_text(encoding="utf-8").strip()
