"""Requests to an ASGI app, byte for byte as a server hands them on."""

import asyncio
from dataclasses import dataclass, field


@dataclass
class Answer:
    """What came back: of a websocket, the type of the first message in ``status``."""

    status: int | str
    headers: list = field(default_factory=list)
    body: bytes = b""

    def header(self, name):
        return next((v for k, v in self.headers if k == name), None)


class Inner:
    """An app that answers 200 and keeps what reached it."""

    def __init__(self, headers=()):
        self.asked = []
        self.headers = [(k.encode(), v.encode()) for k, v in headers]

    async def __call__(self, scope, receive, send):
        body = b""
        if scope["type"] == "http":
            while True:
                message = await receive()
                body += message.get("body", b"")
                if not message.get("more_body"):
                    break
        self.asked.append((scope, body))
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": self.headers})
            await send({"type": "http.response.body", "body": b"inner"})


def ask(app, path="/", method="GET", *, kind="http", headers=None, body=b"", parts=1):
    """Sends one request; headers as (name, value) pairs or a dict."""
    path, _, query = path.partition("?")
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers or ())
    scope = {
        "type": kind,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
        "client": ("192.0.2.7", 5000),
    }
    if kind == "http":
        scope["method"] = method
    size = max(1, -(-len(body) // parts))
    pieces = [body[i : i + size] for i in range(0, len(body), size)] or [b""]
    incoming = (
        [{"type": "websocket.connect"}]
        if kind == "websocket"
        else [
            {"type": "http.request", "body": piece, "more_body": i < len(pieces) - 1}
            for i, piece in enumerate(pieces)
        ]
    )
    sent = []

    async def receive():
        return incoming.pop(0) if incoming else {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    if kind == "websocket":
        return Answer(sent[0]["type"])
    if kind == "lifespan":
        return Answer("lifespan")
    start = sent[0]
    found = [(k.decode().lower(), v.decode("latin-1")) for k, v in start["headers"]]
    return Answer(start["status"], found, b"".join(m.get("body", b"") for m in sent[1:]))
