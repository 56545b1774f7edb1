"""Let through what the App asks for while somebody reviews a batch, and refuse everything else."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode

from boxloop.review.fiftyone.guard import queries
from boxloop.review.fiftyone.guard.fiftyone_limits import (
    AGGREGATIONS,
    PARTIAL,
    WHOLE,
    part_hidden,
)
from boxloop.review.fiftyone.guard.gate import App, Headers, Message, Receive, Scope, Send

_MEDIA = "/media"
_PAGE = re.compile(r"/datasets/([^/]+)")
_FILES = re.compile(
    r"/(index\.html)?|/(features|fiftyone|plugins)"
    r"|/(datasets/)?(assets/[\w.@-]+|favicon\.ico|model_evaluation\.svg)"
    r"|/plugins/(review/(review|clock|counts|boxes|leaving|keys)|browse/browse)\.js"
)
_OPERATORS = re.compile(
    r"/operators/(execute(/generator)?|resolve-(type|execution-options)|subscribe-execution-store)"
)
_POSTS = {"/aggregate", "/events", "/graphql", "/operators", "/values"}
_PLACEMENTS = "/operators/resolve-placements"
_SAMPLE = re.compile(r"/dataset/([^/]+)/sample/([^/]+)")

_JSON = "application/json"
_JSON_TYPES = {"/events": {_JSON, "text/event-stream"}}  # so the App calls its own question
_PATCH_TYPE = "application/json-patch+json"

_LONGEST_BODY = 32 << 20  # bytes; a document of MongoDB has at most half of that
_DATASET_KEYS = {"dataset", "datasetName", "dataset_name", "dataset_id", "datasetId"}
_STAGE = "fiftyone.core.stages."
_AGGREGATIONS = frozenset(f"fiftyone.core.aggregations.{name}" for name in AGGREGATIONS)
_OPERATORS_OF_MONGODB = {
    *("$function", "$where", "$accumulator", "$eval", "$out", "$merge", "$lookup"),
    *("$graphLookup", "$unionWith", "$currentOp", "$collStats", "$listSessions", "$planCacheStats"),
}
"""They run code, or reach other collections."""


class NotForReview(Exception):
    """A request is none of those that a review needs; the text says what is wrong."""

    def __init__(self, reason: str, status: int = 403) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class ReviewScope:
    """What the requests of one session may touch.

    Attributes:
        dataset: name of its dataset.
        dataset_id: id of its dataset.
        samples: ids of its images in the database, which may be edited.
        field: the field with the boxes, the only one that edits may change.
        media: the real paths of the images that may be shown.
        operators: the addresses of the operators that may run.
        routes: what may be posted to besides, as panels do that only read.
        stages: the names of what views may be made of.
    """

    dataset: str
    dataset_id: str
    samples: frozenset[str]
    field: str
    media: frozenset[str]
    operators: frozenset[str]
    routes: frozenset[str] = frozenset()
    stages: frozenset[str] = WHOLE

    @classmethod
    def of(
        cls,
        dataset: str,
        dataset_id: str,
        samples: Iterable[str],
        field: str,
        images: Iterable[Path],
        operators: Collection[str],
        routes: Collection[str] = (),
        stages: frozenset[str] = WHOLE,
    ) -> ReviewScope:
        """Return the scope of a session, with the symlinks of its images resolved now."""
        media = frozenset(os.path.realpath(path) for path in images)
        ids, allowed = frozenset(samples), frozenset(operators)
        return cls(dataset, dataset_id, ids, field, media, allowed, frozenset(routes), stages)


class AppRequests:
    """ASGI middleware that lets through the requests of a review."""

    def __init__(self, app: App, scope: ReviewScope) -> None:
        """Stand in front of FiftyOne's app."""
        self._app = app
        self._allowed = scope
        self._classes = _AGGREGATIONS | {_STAGE + name for name in scope.stages}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the App has no websockets
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            if scope["method"] in ("GET", "HEAD"):
                scope = self._reading(scope)
            else:
                body = await self._checked_body(scope, receive)
                receive = _replay(body, receive)
                if scope["method"] == "PATCH" and json.loads(body):
                    send = _without_newest(send)
        except NotForReview as problem:
            await _refuse(send, problem)
            return
        await self._app(scope, receive, send)

    def _reading(self, scope: Scope) -> Scope:
        path = scope["path"]
        page = _PAGE.fullmatch(path)
        if path == _MEDIA:
            return {**scope, "query_string": self._media(scope["query_string"])}
        if _FILES.fullmatch(path) or (page and page[1] == self._allowed.dataset):
            return scope
        raise NotForReview(f"a review does not need {path}")

    def _media(self, query: bytes) -> bytes:
        """Return the query for an image, by its real path: no link may be put there meanwhile."""
        wanted = parse_qs(query.decode("latin-1")).get("filepath", [])
        try:
            path = os.path.realpath(wanted[0]) if len(wanted) == 1 else None
        except (OSError, ValueError):
            path = None
        if path is None or path not in self._allowed.media:
            raise NotForReview("that is no image of this batch")
        return urlencode({"filepath": path}).encode()

    async def _checked_body(self, scope: Scope, receive: Receive) -> bytes:
        """Read the body of a request that may change something, and check it."""
        path, method = scope["path"], scope["method"]
        sample = _SAMPLE.fullmatch(path)
        types = _JSON_TYPES.get(path, {_JSON})
        if method == "PATCH" and sample is not None:
            types = {_PATCH_TYPE}
            if sample[1] not in (self._allowed.dataset_id, self._allowed.dataset):
                raise NotForReview("that is not the dataset of this session")
            if sample[2] not in self._allowed.samples:
                raise NotForReview("that is no image of this session")
        elif method != "POST" or not (
            path in _POSTS
            or path == _PLACEMENTS
            or path in self._allowed.routes
            or _OPERATORS.fullmatch(path)
        ):
            raise NotForReview(f"a review does not need {method} {path}")
        _require_type(Headers(scope), types)
        body = await _read(receive)
        try:
            content = json.loads(body.decode("utf-8"))
            self._check(path, content, is_patch=method == "PATCH")
        except (ValueError, RecursionError):
            raise NotForReview("the body is no JSON that makes sense here", 400) from None
        return body

    def _check(self, path: str, content: Any, *, is_patch: bool) -> None:
        if is_patch:
            self._check_patch(content)
            _check_values([content], self._classes)
            return
        if not isinstance(content, dict):
            raise ValueError
        operator = content.get("operator_uri")
        if _OPERATORS.fullmatch(path) and not (
            isinstance(operator, str) and operator in self._allowed.operators
        ):
            raise NotForReview(f"a review does not need the operator {operator}")
        values = [content]
        if path == "/graphql":
            query = content.get("query")
            if not isinstance(query, str):
                raise ValueError
            try:
                values += queries.read(query)
            except queries.NotAllowed as problem:
                raise NotForReview(str(problem)) from None
        self._check_datasets(values)
        _check_values(values, self._classes)

    def _check_patch(self, operations: Any) -> None:
        if not isinstance(operations, list):
            raise ValueError
        for operation in operations:
            if not isinstance(operation, dict):
                raise ValueError
            for key in ("path", "from"):
                place = operation.get(key, f"/{self._allowed.field}")
                if not isinstance(place, str) or place.split("/")[:2] != ["", self._allowed.field]:
                    raise NotForReview(f"a review does not change {place}")

    def _check_datasets(self, values: Iterable[Any]) -> None:
        own = (None, "", self._allowed.dataset, self._allowed.dataset_id)
        for key, value in _pairs(values):
            if key in _DATASET_KEYS and isinstance(value, str) and value not in own:
                raise NotForReview("that is not the dataset of this session")


def _check_values(values: Iterable[Any], classes: Collection[str]) -> None:
    """Look through a body for classes and operators of MongoDB that a review does not need."""
    for key, value in _pairs(values):
        if key in _OPERATORS_OF_MONGODB:
            raise NotForReview(f"a review does not need {key}")
        named = value if key == "_cls" else key
        is_class = isinstance(named, str) and (
            "." in named if key == "_cls" else named.startswith(("fiftyone.", "eta."))
        )
        if (key == "_cls" and not isinstance(value, str)) or (is_class and named not in classes):
            stage = str(named).removeprefix(_STAGE)
            if stage in PARTIAL:
                raise NotForReview(part_hidden(stage))
            raise NotForReview(f"a review does not need {named}")


def _pairs(values: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Return every key with its value, at any depth."""
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from value.items()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _require_type(headers: Headers, types: Collection[str]) -> None:
    """Refuse what a page of another site can send without asking: forms and plain text."""
    given = [value.partition(";")[0].strip().lower() for value in headers.all("content-type")]
    if len(given) != 1 or given[0] not in types:
        raise NotForReview(f"the request must be of the type {' or '.join(sorted(types))}", 415)


async def _read(receive: Receive) -> bytes:
    parts, length = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise NotForReview("the request was broken off", 400)
        parts.append(message.get("body", b""))
        length += len(parts[-1])
        if length > _LONGEST_BODY:
            raise NotForReview("the request is too large", 413)
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives the body again, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _without_newest(send: Send) -> Send:
    """Return a ``send`` that keeps an image's newest version from who edited an older one.

    The App would take it for the version of the boxes that it shows, and send its edit again as the
    difference between the two: what another window drew would be gone. The panel starts the page
    anew instead.
    """
    outdated = False

    async def guarded(message: Message) -> None:
        nonlocal outdated
        if message["type"] == "http.response.start":
            outdated = message["status"] == HTTPStatus.PRECONDITION_FAILED
            if outdated:
                message = {**message, "headers": [(b"content-length", b"0")]}
        elif outdated:
            message = {**message, "body": b""}
        await send(message)

    return guarded


async def _refuse(send: Send, problem: NotForReview) -> None:
    body = json.dumps({"detail": f"boxloop review: {problem}"}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
