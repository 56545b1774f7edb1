"""Choose who can reach a session's App, and say it: its addresses, and the password of others."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from functools import cache

from boxloop.errors import UserError
from boxloop.review.fiftyone.guard.access import SHORTEST_PASSWORD
from boxloop.review.fiftyone.guard.gate import TOKEN
from boxloop.review.fiftyone.guard.hosts import LOOPBACK, is_everywhere, is_loopback

PASSWORD_VARIABLE = "BOXLOOP_PASSWORD"


def choose_password(host: str) -> str | None:
    """Return the password for reviewers on other machines; None where none can come.

    It is that of the environment variable BOXLOOP_PASSWORD, or asked for in the terminal: not an
    option, as other users of the machine can read the options of a command.

    Raises:
        UserError: it is too short, or there is none and nobody to ask.
    """
    if is_loopback(host):
        return None
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is None:
        password = _ask_for_password(host)
    if len(password) < SHORTEST_PASSWORD:
        raise UserError(
            f"the password for --host {host} is too short: it takes {SHORTEST_PASSWORD} characters"
            " or more"
        )
    return password


@cache  # 'boxloop run' opens one session after the other
def _ask_for_password(host: str) -> str:
    if not sys.stdin.isatty():
        raise UserError(
            f"--host {host} opens the App to other machines and needs a password for them: set"
            f" the environment variable {PASSWORD_VARIABLE}, or leave --host out"
        )
    password = getpass.getpass("Password for reviewers on other machines: ")
    if getpass.getpass("Once more: ") != password:
        raise UserError("the two passwords differ: type the command again")
    return password


def page_address(host: str, port: int, path: str) -> str:
    """Return the address of a page for this machine, without any key."""
    name = LOOPBACK if is_loopback(host) or is_everywhere(host) else host
    return f"http://{_bracketed(name)}:{port}{path}"


def with_token(address: str, token: str) -> str:
    """Return an address of a page, with a key."""
    return f"{address}&{TOKEN}={token}"


def exposure(host: str, port: int, what: str = "sees and changes the boxes of this batch") -> str:
    """Return what ``--host`` opens, to whom, and what that means."""
    name = socket.gethostname() if is_everywhere(host) else host
    return (
        f"On other machines: http://{_bracketed(name)}:{port}/ and the password.\nWhoever reaches"
        f" port {port} of this machine and knows the password {what}. The connection is NOT"
        " encrypted: who can listen in the network can read all of it, the password included. An"
        " SSH tunnel is safer (see docs/review.md)."
    )


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name else name
