"""Run a review session from the terminal: ``boxloop review``.

Three processes take part: this one, the App's (``server.py``), and the database's, which sessions
of one campaign share. Both of the others end when this one does, also after a kill.
"""

from __future__ import annotations

import getpass
import os
import shlex
import signal
import sys
import threading
import webbrowser
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boxloop.campaign import artifacts, committed, submissions
from boxloop.campaign.dvc import bring_into_dvc
from boxloop.campaign.later import session_name
from boxloop.campaign.missed import missed_images
from boxloop.campaign.paths import CampaignPaths
from boxloop.core.names import fault_of_reviewer
from boxloop.errors import ReviewPending, UserError
from boxloop.params import Params
from boxloop.review.fiftyone.addresses import (
    choose_password,
    exposure,
    page_address,
    with_token,
)
from boxloop.review.fiftyone.app_process import AppProcess, app_environment, bind
from boxloop.review.fiftyone.assignment import Assignment
from boxloop.review.fiftyone.controller import KIND
from boxloop.review.fiftyone.database_name import database_name
from boxloop.review.fiftyone.guard.access import Keys
from boxloop.review.fiftyone.guard.hosts import LOOPBACK
from boxloop.review.fiftyone.mongodb import DatabaseWatch, open_database
from boxloop.review.fiftyone.qa import SESSION
from boxloop.review.fiftyone.session_inputs import (
    ALSO,
    ReviewRequest,
    display_files,
    free_part,
    read_assignment,
    require_same_pixels,
)
from boxloop.review.fiftyone.session_registry import Session, claim
from boxloop.review.fiftyone.wanted import known_to_dvc
from boxloop.review.people import read_submissions, submission_notes
from boxloop.terminal import counted

DEFAULT_PORT = 5151
Say = Callable[[str], object]


def pending_batch(paths: CampaignPaths, params: Params, *, planted: bool = False) -> str | None:
    """Return the first batch with proposals that is not fully submitted, or waits for another look.

    With ``planted``, the first of those that wait for another look.
    """
    known = read_submissions(paths, params.iterations)
    for key in params.iterations:
        path = paths.proposals(key)
        images = list(artifacts.read_proposals(path).boxes) if path.exists() else []
        if missed_images(known, images) or (submissions.missing(known, images) and not planted):
            return key
    return None


def _waits_for_another_look(paths: CampaignPaths, params: Params, key: str) -> bool:
    """Return whether all that is left of a batch is planted errors that were missed."""
    if not paths.proposals(key).exists():
        return False
    images = list(artifacts.read_proposals(paths.proposals(key)).boxes)
    known = read_submissions(paths, params.iterations)
    return not submissions.missing(known, images) and bool(missed_images(known, images))


def _waiting(paths: CampaignPaths, params: Params, key: str) -> list[str]:
    """Return the images of a batch that nobody has submitted; none where it has no proposals."""
    path, known = paths.proposals(key), read_submissions(paths, params.iterations)
    return submissions.missing(known, artifacts.read_proposals(path).boxes) if path.exists() else []


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
    host: str = LOOPBACK,
    wanted: str | None = None,
    propose_for: Callable[[str], object] = lambda wanted: None,
    planted: bool = False,
    look: str | None = None,
    qa: int | None = None,
    say: Say = print,
) -> None:
    """Run ``boxloop review``: one session, from the pending batch to the summary.

    With ``wanted``, of the images that are not complete for that class, for which ``propose_for``
    is called first: it may leave proposals of it (:mod:`boxloop.campaign.later`). With ``planted``,
    or where nothing else is left of the batch, of those whose planted errors were missed; with
    ``look``, a second or third one at a batch; with ``qa``, of so many whose labels are likely to
    hold errors.

    Raises:
        UserError: nothing is to be reviewed, or there is no database; says why.
        SessionError: the images are open elsewhere, or the App failed.
        ReviewPending: the person stopped before the end; nothing is lost.
    """
    paths = CampaignPaths()
    if params.review.annotator != KIND:
        raise UserError(
            f"review.annotator is '{params.review.annotator}', which needs no person: set it to"
            f" '{KIND}' in params.yaml to review batches yourself"
        )
    _require_one_kind(batch, redo=redo, wanted=wanted, planted=planted, look=look, qa=qa)
    name = reviewer_name(reviewer)
    if lost := committed.lacking(paths):
        say(f"Take note: {lost}.")
    if wanted is not None:
        propose_for(wanted)
        key: str | None = session_name(wanted)
    elif qa is not None:
        key = SESSION
    else:
        key = batch or pending_batch(paths, params, planted=planted)
        if key is not None and not redo and look is None:
            planted = planted or _waits_for_another_look(paths, params, key)
    if key is None:
        waits = pending_batch(paths, params)
        if waits is None:
            say("No batch waits for review. Next: dvc repro")
        else:
            say(f"No planted error waits for another look. Next: boxloop review {waits}")
        return
    if paths.proposals(key).exists():
        offered = artifacts.read_proposals(paths.proposals(key))
        for note in submission_notes(paths, params.iterations, offered):
            say(f"Take note: {note}.")
    across = wanted is not None or qa is not None
    again = redo or planted or across
    request = ReviewRequest(key, name, part, again, wanted, planted, look, qa)
    # Whatever was submitted, the same session would not find it again.
    assignment = read_assignment(paths, params, request) if across else None
    keys = Keys.make(choose_password(host))
    summary = _run_session(
        params_file,
        overrides,
        params,
        request,
        keys,
        host=host,
        port=port,
        browser=browser,
        say=say,
    )
    say(f"\n{summary}")
    if assignment is not None:
        for done in known_to_dvc(paths, assignment):
            if _waiting(paths, params, done):
                continue  # the stage would only say so
            say(f"Handing the new labels of {done} to DVC ...")
            bring_into_dvc(paths.root, done)
        say("Next: dvc repro")
        return
    if look == ALSO:
        say("'boxloop status' says where two people differ, the report how far they agree")
        say("Next: dvc repro --single-item --force report")
        return
    waiting = _waiting(paths, params, key)
    if (redo or look is not None) and paths.corrections(key).exists() and not waiting:
        say("Handing the new labels to DVC ...")
        bring_into_dvc(paths.root, key)
    if waiting:
        wait = "waits" if len(waiting) == 1 else "wait"
        say(f"{counted(len(waiting))} of {key} still {wait}: boxloop review {key}")
    elif _waits_for_another_look(paths, params, key):
        say(f"Next: boxloop review {key} --planted")
    else:
        say("Next: dvc repro")


def _require_one_kind(
    batch: str | None,
    *,
    redo: bool,
    wanted: str | None,
    planted: bool,
    look: str | None,
    qa: int | None,
) -> None:
    """Refuse options of different sessions together.

    Raises:
        UserError: says which, and what to leave out.
    """
    across = {f"--for {wanted}": wanted is not None, "--qa": qa is not None}
    of_batch = {"--planted": planted, f"--{look}": look is not None}
    kinds = [kind for kind, asked in (across | of_batch).items() if asked]
    if len(kinds) > 1:
        raise UserError(f"{' and '.join(kinds)} open different images: leave out all but one")
    if any(across.values()) and (batch is not None or redo):
        raise UserError(
            f"{kinds[0]} opens images of all batches again: leave the batch and --redo out"
        )
    if planted and redo:
        raise UserError("--planted opens images again by itself: leave --redo out")
    if look is not None and batch is None:
        raise UserError(f"--{look} needs a batch: boxloop review b00 --{look}")
    if batch is None and redo:
        raise UserError(
            "--redo needs the batch that is to be opened again: boxloop review b00 --redo"
        )


def _run_session(
    params_file: Path,
    overrides: Sequence[str],
    params: Params,
    request: ReviewRequest,
    keys: Keys,
    *,
    host: str,
    port: int | None,
    browser: bool,
    say: Say,
) -> str:
    """Open a batch in the App, wait until it is submitted, and return the summary."""
    paths = CampaignPaths()
    assignment = read_assignment(paths, params, request)
    images = tuple(item.image.id for item in assignment.items)
    session = Session(request.batch, request.part, request.reviewer, None, images)
    spec: dict[str, Any] = {
        "params": str(params_file),
        "overrides": list(overrides),
        "request": vars(request),
        "host": host,
    }

    def free(of: int, taken: Collection[str]) -> str | None:
        other = free_part(paths, params, request, of, taken)
        return None if other is None else review_command(other)

    app = None
    try:
        with stopped_by_signals(), claim(paths.state / "sessions", session, free) as publish:
            say(_greeting(assignment))
            display_files(paths, assignment)  # an image that is gone is reported without a wait
            require_same_pixels(paths, assignment)
            name = database_name(paths, say)
            with open_database(paths.state) as uri, bind(port or DEFAULT_PORT, host) as server:
                spec["port"], spec["socket"] = server.getsockname()[1], server.fileno()
                if port is not None and spec["port"] != port:
                    say(f"Port {port} is in use; {spec['port']} is used instead.")
                log = paths.state / f"app-{request.batch}-{spec['port']}.log"
                env = app_environment(os.environ, uri=uri, database=name)
                with AppProcess(spec, keys, env, log) as app:
                    page = page_address(host, spec["port"], app.wait_for_start())
                    publish(page)  # others learn where it is, but not the key
                    for note in app.notes:
                        say(note)
                    say(
                        f"\n  {with_token(page, keys.secret)}\n\nOpen that address, if no window"
                        " has opened. It holds the key to this session: pass it to nobody. The"
                        " panel at its right says what to do.\nThis command ends by itself when the"
                        " batch is submitted; Ctrl-C stops, and loses nothing."
                    )
                    if keys.password is not None:
                        say(exposure(host, spec["port"]))
                    if browser:
                        open_browser(with_token(page, keys.ticket))
                    app.wait_for_submission(review_command(request), DatabaseWatch(paths.state))
    except StoppedBySignal:
        if app is None or app.submitted is None:
            raise ReviewPending(
                f"stopped; batch {request.batch} is not submitted yet, and what was saved in the"
                f" App is kept: '{review_command(request)}' goes on from there"
            ) from None
    return str(app.submitted)


class StoppedBySignal(Exception):
    """The person, or the system, ended the session."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn Ctrl-C, SIGTERM and a closed terminal into an ordinary end."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signals.append(signal.SIGHUP)

    def stop(number: int, frame: object) -> None:
        for other in signals:  # once is enough: nothing may interrupt what is ended in order
            signal.signal(other, signal.SIG_IGN)
        raise StoppedBySignal

    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def reviewer_name(given: str | None) -> str:
    """Return the reviewer's name, by default that of the account.

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
    if (why := fault_of_reviewer(name)) is not None:
        raise UserError(f"--reviewer {name!a:.100} {why}: give another name")
    return name


def review_command(request: ReviewRequest) -> str:
    """Return the command that opens the same session again."""
    part = f" --part {request.part}" if request.part else ""
    if request.wanted is not None:
        return f"boxloop review --for {shlex.quote(request.wanted)}{part}"
    if request.qa is not None:
        return f"boxloop review --qa {request.qa}{part}"
    again = " --planted" if request.planted else " --redo" if request.redo else ""
    if request.look is not None:  # what one person began, nobody else finds
        again = f" --reviewer {shlex.quote(request.reviewer)} --{request.look}{again}"
    return f"boxloop review {request.batch}{part}{again}"


def _greeting(assignment: Assignment) -> str:
    part, count = assignment.part, len(assignment.items)
    share = f"part {part} of batch" if part.of > 1 else "batch"
    rest = len(part.share(assignment.batch_images)) - count
    done = f" ({rest} more are submitted already)" if rest and not assignment.redo else ""
    again = " again" if assignment.redo else ""
    if assignment.look is not None:
        look = assignment.look
        return (
            f"Opening {counted(count)} of {look.batch} for a {look.name} look by"
            f" {assignment.reviewer}. The App takes a few seconds to start."
        )
    if assignment.qa:
        return (
            f"Opening {counted(count)} for {assignment.reviewer} for a second look, with the labels"
            f" that they have: 'boxloop qa --count {len(assignment.batch_images)}' says what may be"
            " wrong with each. The App takes a few seconds to start."
        )
    if assignment.wanted:
        return (
            f"Opening {counted(count)} for {assignment.reviewer}, with the labels that they have:"
            f" they were reviewed when {', '.join(assignment.wanted)} could not be chosen, so look"
            " for that. The App takes a few seconds to start."
            + (f"\n{assignment.shown_title}: {assignment.shown}." if assignment.shown else "")
        )
    if assignment.planted:
        return (
            f"Opening {counted(count)} of {share} {assignment.batch} again for"
            f" {assignment.reviewer}: errors that were planted there were missed. They are undone"
            " now, and the panel names them: look whether the boxes are right. The App takes a few"
            " seconds to start."
        )
    return (
        f"Opening {share} {assignment.batch}{again} for {assignment.reviewer}: {counted(count)}"
        f"{done}. The App takes a few seconds to start."
        + (f"\n{assignment.shown_title}: {assignment.shown}." if assignment.shown else "")
    )


def open_browser(url: str) -> None:
    """Open an address in the person's browser; without a screen, do nothing."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return  # no screen: a text browser would take the terminal over
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
