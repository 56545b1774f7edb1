"""Stand in front of every route: whoever has no key of the session gets no answer from FiftyOne.

What a web page of another site can make a browser send is refused by several things, each of
which would do: the cookie, which browsers leave out of such requests (SameSite=Strict); the Origin
header; the Sec-Fetch-Site header; and the Host header, which a rebound name gives away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode

from boxloop.review.fiftyone.guard import pages
from boxloop.review.fiftyone.guard.access import Access
from boxloop.review.fiftyone.guard.hosts import Hosts

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN = "token"
"""The parameter of the address that holds the secret."""

_LONGEST_LOGIN = 10_000
_OWN_SITE = ("same-origin", "none")
_POLICY_VIOLATION = 1008  # of websockets
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "SAMEORIGIN",
    "content-security-policy": "frame-ancestors 'self'",
    "referrer-policy": "same-origin",
    # FiftyOne lets any site embed the images.
    "cross-origin-resource-policy": "same-origin",
}


class Gate:
    """ASGI middleware that lets through who has a key, from the server's own pages."""

    def __init__(self, app: App, access: Access, hosts: Hosts, *, start: str) -> None:
        """Stand in front of an app.

        Args:
            app: what is guarded.
            access: who may enter.
            hosts: the names of the server.
            start: path and query of the page that the login leads to.
        """
        self._app = app
        self._access = access
        self._hosts = hosts
        self._start = start
        self.cookie = f"boxloop-{hosts.port}"  # by port, as browsers send cookies to all of a host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope)
        problem = self._foreign(headers)
        if scope["type"] != "http":
            if problem or not headers.from_own_site or not self._is_known(headers):
                await receive()
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            else:
                await self._app(scope, receive, send)
            return
        if problem:
            await _answer(send, pages.refusal(problem))
            return
        token = _token(scope)
        if token is not None and scope["method"] == "GET" and headers.is_navigation:
            cookie = self._access.exchange(token)
            if cookie or self._is_known(headers):
                await self._enter(send, _without_token(scope), cookie, headers)
                return
        if self._access.asks_for_password and not self._is_known(headers):
            await self._ask_for_password(scope, headers, receive, send)
        elif not headers.from_own_site:
            await _answer(send, pages.refusal("The request came from a page of another site."))
        elif not self._is_known(headers):
            await _answer(send, pages.refusal("This address is open to its reviewer alone."))
        else:
            await self._app(scope, receive, _with_headers(send))

    def _foreign(self, headers: Headers) -> str | None:
        """Return why a request cannot be of our own pages; None where it can."""
        host = headers.one("host")
        if host is None or not self._hosts.include(host):
            return (
                f"This server answers on port {self._hosts.port} of"
                f" {' or '.join(sorted(self._hosts.names))} only."
            )
        origin = headers.all("origin")
        if origin and origin != [f"http://{host}"]:
            return "The request came from a page of another site."
        return None

    def _is_known(self, headers: Headers) -> bool:
        return self._access.admits(headers.cookies(self.cookie))

    async def _enter(self, send: Send, path: str, cookie: str | None, headers: Headers) -> None:
        more = [] if cookie is None else [("set-cookie", self._set_cookie(cookie))]
        if headers.from_own_site:
            more.append(("location", path))
            await _answer(send, b"", HTTPStatus.SEE_OTHER, more)
        else:
            await _answer(send, pages.entry(path), HTTPStatus.OK, more)

    def _set_cookie(self, value: str) -> str:
        return f"{self.cookie}={value}; Path=/; HttpOnly; SameSite=Strict"

    async def _ask_for_password(
        self, scope: Scope, headers: Headers, receive: Receive, send: Send
    ) -> None:
        is_form = (scope["method"], scope["path"]) == ("POST", pages.LOGIN_PATH)
        if not is_form or not headers.from_own_site:
            # A page for people; scripts, and the open window of an earlier session, see a refusal.
            status = HTTPStatus.OK if headers.is_visit else HTTPStatus.FORBIDDEN
            await _answer(send, pages.login(), status)
            return
        address = str((scope.get("client") or ("",))[0])
        if self._access.must_wait(address):
            problem = "Too many wrong passwords: wait half a minute."
            await _answer(send, pages.login(problem), HTTPStatus.TOO_MANY_REQUESTS)
            return
        form = parse_qs((await _body(receive, _LONGEST_LOGIN)).decode("utf-8", "replace"))
        cookie = self._access.log_in(form.get("password", [""])[0], address)
        if cookie is None:
            await _answer(send, pages.login("That is not the password."))
        else:
            await self._enter(send, self._start, cookie, headers)


class Headers:
    """The headers of a request that tell where it came from."""

    def __init__(self, scope: Scope) -> None:
        self._headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        self._method = scope.get("method", "")

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        wanted = name.encode()
        return [value.decode("latin-1") for key, value in self._headers if key.lower() == wanted]

    def one(self, name: str) -> str | None:
        """Return the value of a header that must be there once; None where it is not."""
        values = self.all(name)
        return values[0] if len(values) == 1 else None

    def cookies(self, name: str) -> list[str]:
        """Return every value of a cookie."""
        found = []
        for header in self.all("cookie"):
            for part in header.split(";"):
                key, _, value = part.strip().partition("=")
                if key == name:
                    found.append(value)
        return found

    @property
    def from_own_site(self) -> bool:
        """Whether a page of this server asks, or a person; old browsers do not say."""
        return all(value in _OWN_SITE for value in self.all("sec-fetch-site"))

    @property
    def is_navigation(self) -> bool:
        """Whether a person may be opening a page in a window; old browsers do not say."""
        return all(value == "navigate" for value in self.all("sec-fetch-mode")) and all(
            value == "document" for value in self.all("sec-fetch-dest")
        )

    @property
    def is_visit(self) -> bool:
        """Whether a browser opens a page, as far as it can be told."""
        return (
            self._method == "GET"
            and self.is_navigation
            and any("text/html" in value for value in self.all("accept"))
        )


def _token(scope: Scope) -> str | None:
    found = [value for key, value in _query(scope) if key == TOKEN]
    return found[0] if len(found) == 1 else None


def _without_token(scope: Scope) -> str:
    """Return path and query of a request, as a place on this server."""
    # Two slashes at its begin would name another server.
    path = "/" + quote(scope["path"]).lstrip("/")
    query = urlencode([(key, value) for key, value in _query(scope) if key != TOKEN])
    return f"{path}?{query}" if query else path


def _query(scope: Scope) -> list[tuple[str, str]]:
    text = scope["query_string"].decode("latin-1")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return []


async def _body(receive: Receive, longest: int) -> bytes:
    """Return a request's body; nothing where it is longer."""
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b""
        body += bytes(message.get("body", b""))
        if len(body) > longest:
            return b""
        if not message.get("more_body"):
            return body


async def _answer(
    send: Send,
    page: bytes,
    status: HTTPStatus = HTTPStatus.FORBIDDEN,
    more: list[tuple[str, str]] | None = None,
) -> None:
    headers = {
        **_HEADERS,
        "content-security-policy": _PAGE_POLICY,
        "cache-control": "no-store",
        "content-type": "text/html; charset=utf-8",
        "content-length": str(len(page)),
    }
    pairs = [*headers.items(), *(more or ())]
    raw = [(key.encode(), value.encode("latin-1")) for key, value in pairs]
    await send({"type": "http.response.start", "status": int(status), "headers": raw})
    await send({"type": "http.response.body", "body": page})


def _with_headers(send: Send) -> Send:
    """Return a ``send`` that adds the headers of this guard to the app's."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [
                (key, value)
                for key, value in message.get("headers", ())
                if key.lower().decode("latin-1") not in _HEADERS
            ]
            own = [(key.encode(), value.encode()) for key, value in _HEADERS.items()]
            message = {**message, "headers": [*kept, *own]}
        await send(message)

    return guarded
