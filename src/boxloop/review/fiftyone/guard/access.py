"""Decide who may enter a session: by its secret, by a ticket that works once, or by a password."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

SHORTEST_PASSWORD = 8

_ATTEMPTS = 5
_SECONDS_OF_A_BREAK = 30.0
_MOST_ADDRESSES = 10_000


@dataclass(frozen=True)
class Keys:
    """What opens a session; made by the process in the terminal, told to nobody but the App's.

    Attributes:
        secret: is in the address that the terminal prints; works as long as the session lasts.
        ticket: is in the address that the browser is started with, which other users of the
            machine can read from the list of processes; so it works once.
        password: for reviewers on other machines; None where the App is for this machine alone.
    """

    secret: str
    ticket: str
    password: str | None = None

    @classmethod
    def make(cls, password: str | None = None) -> Keys:
        """Return keys that nobody can guess."""
        return cls(secrets.token_urlsafe(32), secrets.token_urlsafe(32), password)


class Access:
    """The cookies of one session, and the ways to get one."""

    def __init__(self, keys: Keys, clock: Callable[[], float] = time.monotonic) -> None:
        """Admit nobody yet."""
        self._keys = keys
        self._clock = clock
        # One for each way in, so that one way can be closed.
        self._by_secret, self._by_ticket, self._by_password = (
            secrets.token_urlsafe(32) for _ in range(3)
        )
        self._ticket_uses = 0
        self._failures: dict[str, tuple[int, float]] = {}  # by address: how many, the last when

    @property
    def asks_for_password(self) -> bool:
        """Whether there is a password."""
        return self._keys.password is not None

    def exchange(self, token: str) -> str | None:
        """Return the cookie for a token of an address; None where it is wrong.

        A ticket that comes back was read by somebody else before or after its owner used it: then
        the cookie that it gave is worth nothing any more, whoever has it.
        """
        if _same(token, self._keys.secret):
            return self._by_secret
        if _same(token, self._keys.ticket):
            self._ticket_uses += 1
            return self._by_ticket if self._ticket_uses == 1 else None
        return None

    def log_in(self, password: str, address: str) -> str | None:
        """Return the cookie for a password; None where it is wrong.

        Args:
            password: what was typed.
            address: whose attempts are counted: see :meth:`must_wait`.
        """
        if self._keys.password is None or self.must_wait(address):
            return None
        if _same(password, self._keys.password):
            self._failures.pop(address, None)
            return self._by_password
        if len(self._failures) >= _MOST_ADDRESSES:
            self._failures.clear()
        count, _ = self._failures.get(address, (0, 0.0))
        self._failures[address] = (count + 1, self._clock())
        return None

    def must_wait(self, address: str) -> bool:
        """Return whether an address has guessed too often to be listened to for now."""
        count, last = self._failures.get(address, (0, 0.0))
        if count >= _ATTEMPTS and self._clock() - last < _SECONDS_OF_A_BREAK:
            return True
        if count >= _ATTEMPTS:
            del self._failures[address]
        return False

    def admits(self, cookies: Iterable[str]) -> bool:
        """Return whether one of the values is a cookie of this session."""
        valid = [self._by_secret]
        if self._ticket_uses == 1:
            valid.append(self._by_ticket)
        if self.asks_for_password:
            valid.append(self._by_password)
        return any(_same(given, known) for given in cookies for known in valid)


def _same(given: str, known: str) -> bool:
    return secrets.compare_digest(given.encode("utf-8", "replace"), known.encode())
