"""Takes in the body of a request: so many bytes, so long a wait for them, and an end to what nobody reads."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Send

IDLE_S = 30.0
"""So long may a body pause, a file's too."""
TOTAL_S = 60.0
"""So long may all of a body take that is no file."""
CLOSE = {"Connection": "close"}


class Body:
    """A request's body. `most`: bytes it may have, None for a file, which its endpoint counts."""

    def __init__(self, receive: Receive, headers: Headers, *, most: int | None) -> None:
        self._receive, self._most = receive, most
        self._complete = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers
        self._seen = 0
        self._until: float | None = None

    async def receive(self) -> Message:
        """The next part. Once all of it is there, waits without limit: for the reader to hang up."""
        if self._complete:
            return await self._receive()
        message = await self._next()
        self._complete = not message.get("more_body", False)
        self._seen += len(message.get("body", b""))
        if self._most is not None and self._seen > self._most:
            raise HTTPException(413, f"the body may have at most {self._most} bytes", CLOSE)
        return message

    async def _next(self) -> Message:
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + (TOTAL_S if self._most is not None else float("inf"))
        try:
            async with asyncio.timeout_at(min(now + IDLE_S, self._until)):
                return await self._receive()
        except TimeoutError as error:
            raise HTTPException(
                408, f"the body must not pause for {IDLE_S:g} s, nor take {TOTAL_S:g} s unless it is a file", CLOSE
            ) from error

    def closing(self, send: Send) -> Send:
        """Hang up after an answer that did not wait for the body: what nobody reads is not taken in for ever."""

        async def _send(message: Message) -> None:
            if message["type"] == "http.response.start" and not self._complete:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        return _send
