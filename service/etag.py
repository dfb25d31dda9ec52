"""ETag and 304 for JSON reads: a page that polls pays for a body only when something has changed."""

from __future__ import annotations

from hashlib import sha256

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ETagMiddleware:
    """Hashes the body of a successful JSON GET that has no ETag yet; answers 304 when the reader has it already."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything else through untouched."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        known = Headers(scope=scope).get("if-none-match", "")
        start: Message | None = None
        body = bytearray()

        async def _send(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message
                if not _to_be_tagged(message):
                    await send(message)
                return
            if start is None or not _to_be_tagged(start):
                await send(message)
                return
            body.extend(message.get("body", b""))
            if not message.get("more_body", False):
                await _finish(start, bytes(body), known, send)

        await self.app(scope, receive, _send)


def _to_be_tagged(start: Message) -> bool:
    headers = Headers(raw=start["headers"])
    return start["status"] == 200 and headers.get("content-type") == "application/json" and "etag" not in headers


async def _finish(start: Message, body: bytes, known: str, send: Send) -> None:
    headers = MutableHeaders(raw=start["headers"])
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    headers["ETag"] = tag
    headers["Cache-Control"] = "no-cache"
    if tag in {item.strip().removeprefix("W/") for item in known.split(",")}:
        start["status"], body = 304, b""
        for name in ("content-length", "content-type"):
            del headers[name]
    await send(start)
    await send({"type": "http.response.body", "body": body})
