"""Start, watch and end the process that serves the FiftyOne App (``server.py``)."""

from __future__ import annotations

import contextlib
import errno
import json
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from boxloop.errors import SessionError
from boxloop.review.fiftyone.guard.access import Keys
from boxloop.review.fiftyone.guard.hosts import LOOPBACK

_SECONDS_TO_START = 180.0
_SECONDS_TO_END = 5.0
_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_AFTER_SUBMISSION = 2.0  # the App stays up, so that its panel can show the summary
_PLUGINS = Path(__file__).parent / "plugins"


def app_environment(base: Mapping[str, str], *, uri: str, database: str) -> dict[str, str]:
    """Return ``base`` with the variables of the App, on a named database of a MongoDB."""
    return {
        **base,
        "FIFTYONE_DATABASE_URI": uri,
        "FIFTYONE_DATABASE_NAME": database,
        # Silences the warning that MongoDB 6 is the oldest that is supported.
        "FIFTYONE_DATABASE_VALIDATION": "0",
        "FIFTYONE_DO_NOT_TRACK": "1",
        "FIFTYONE_DEFAULT_APP_ADDRESS": "127.0.0.1",
        "FIFTYONE_ALLOWED_ORIGINS": "",
        "FIFTYONE_PLUGINS_DIR": str(_PLUGINS),
        "FIFTYONE_SHOW_PROGRESS_BARS": "0",
        "FIFTYONE_SERVER": "1",
        "PYTHONUNBUFFERED": "1",
    }


@contextmanager
def bind(first: int, host: str = LOOPBACK) -> Iterator[socket.socket]:
    """Listen on the first free port of an address of this machine from a given one on.

    Raises:
        SessionError: none of a hundred is free, or the host is no address of this machine.
    """
    family, address = _resolve(host)
    for port in range(first, min(first + 100, 65_536)):
        with socket.socket(family) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                server.bind((address, port))
                server.listen(100)
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    raise _not_here(host) from None
                continue
            yield server
            return
    raise SessionError(f"no port is free from {first} on: name another with --port")


def _resolve(host: str) -> tuple[socket.AddressFamily, str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _not_here(host) from None
    family, _, _, _, address = found[0]
    return family, str(address[0])


def _not_here(host: str) -> SessionError:
    return SessionError(
        f"--host {host} is no address of this machine: name one of its own, or 0.0.0.0 for all"
    )


class AppProcess:
    """The App's process, and the events that it reports."""

    def __init__(
        self,
        spec: Mapping[str, Any],
        keys: Keys,
        env: Mapping[str, str],
        log: Path,
        module: str = "boxloop.review.fiftyone.server",
    ) -> None:
        """Start the process on a session as ``server.run`` takes it; standard error is logged."""
        self.submitted: str | None = None  # the summary
        self.notes: list[str] = []  # what a person should know, from its start
        self._log = log
        # -P: files of the campaign's folder are no modules.
        command = [sys.executable, "-P", "-m", module, json.dumps(spec)]
        with log.open("w", encoding="utf-8") as errors:
            self._process = subprocess.Popen(
                command,
                env=dict(env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                pass_fds=[spec["socket"]],
                start_new_session=True,  # Ctrl-C in the terminal is for this process to handle
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):  # it ended already; its log says why
            self._process.stdin.write(json.dumps(asdict(keys)) + "\n")
            self._process.stdin.flush()
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._listener = threading.Thread(
            target=self._listen, args=(self._process.stdout,), daemon=True
        )
        self._listener.start()

    def __enter__(self) -> AppProcess:
        return self

    def __exit__(self, *exception: object) -> None:
        """End the process, and read the events that it reported last."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(_SECONDS_TO_END)

    def wait_for_start(self) -> str:
        """Wait until the App answers, and return the page of the session: path and query.

        Raises:
            SessionError: it did not start; says why, or which log may.
        """
        try:
            event = self._events.get(timeout=_SECONDS_TO_START)
        except queue.Empty:
            raise SessionError(f"the App did not start in time: {self._log} may say why") from None
        if event is None:
            raise SessionError(f"the App ended by itself while it started: {self._log} may say why")
        if event["event"] != "ready":
            hint = f": see {self._log}" if event["log"] else ""
            raise SessionError(f"{event['message']}{hint}")
        return str(event["path"])

    def wait_for_submission(self, command: str, watch: Callable[[], object]) -> None:
        """Wait until the batch is submitted; call ``watch`` every second meanwhile.

        Raises:
            SessionError: the App ended before that; names the command that opens it again.
        """
        while self.submitted is None:
            if self._next_event(watch) is None and self.submitted is None:
                raise SessionError(
                    "the App ended by itself; what was saved in it is kept, and"
                    f" '{command}' goes on from there (its log is {self._log})"
                )
        with contextlib.suppress(queue.Empty):
            self._events.get(timeout=_SECONDS_AFTER_SUBMISSION)

    def wait_for_end(self, command: str, watch: Callable[[], object]) -> None:
        """Wait for the App, which ends when this process is stopped; call ``watch`` every second.

        Raises:
            SessionError: it ended before that; names the command that opens it again.
        """
        while self._next_event(watch) is not None:
            pass
        raise SessionError(
            f"the App ended by itself: '{command}' opens it again (its log is {self._log})"
        )

    def _next_event(self, watch: Callable[[], object]) -> dict[str, Any] | None:
        while True:
            with contextlib.suppress(queue.Empty):
                return self._events.get(timeout=_SECONDS_BETWEEN_LOOKS)
            watch()

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                event = json.loads(line)
                if event["event"] == "note":
                    self.notes.append(str(event["message"]))
                    continue
                if event["event"] == "submitted":
                    self.submitted = str(event["summary"])
                self._events.put(event)
        self._events.put(None)  # the process ended
