"""How connections are served: how many, how large their headers, and how long one may keep silent."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_S = 20.0
"""So long may the head of a request take."""
KEEP_ALIVE_S = 5
MOST_HEADER_BYTES = 16_384
MOST_CONNECTIONS = 5_000
MOST_HELD_BYTES = 16_384
_GARBAGE = (10_000, 20, 20)
"""Collections are rare, and what was there before the first request is never looked through again: a full collection
over the modules of the libraries took 200 ms, in which nobody was answered."""
LEAVING = "leaving"
"""What the application leaves in its state to be called when the server begins to shut down."""


class _Joining:
    """A transport that sends what is written in one turn of the event loop as one: an answer's head with its body.

    Uvicorn writes them one after the other and uvloop sends each at once, which takes longer than to make them.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:  # Any: whatever else a transport can do, it does
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send with what else is written before the loop's next turn; at once what is large."""
        if not self._held:
            self._loop.call_soon(self._send)
        self._held.append(data)
        if len(data) > MOST_HELD_BYTES:
            self._send()

    def close(self) -> None:
        """Close once all has been sent."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        held, self._held = self._held, []
        if held and not self._transport.is_closing():  # else whoever asked has hung up meanwhile
            self._transport.write(b"".join(held))


class PatientProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, its patience limited: a connection whose request's head does not end is closed."""

    _hurry: asyncio.TimerHandle | None = None
    _in_head = True
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Wait for the first head."""
        super().connection_made(_Joining(transport, self.loop))  # type: ignore[arg-type]  # it is one in all but name
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait on for the rest of a head, so much of it as may come; or stop waiting: it is complete."""
        self._head_bytes += len(data)
        super().data_received(data)
        if not self._in_head:
            self._head_bytes = 0
            self._stop_waiting()
        elif self._head_bytes > MOST_HEADER_BYTES:
            if not self.transport.is_closing():
                self.send_400_response("The head of the request is too large.")
        elif self._hurry is None:
            self._wait()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head has ended."""
        self._in_head = False
        super().on_headers_complete()

    def shutdown(self) -> None:
        """The server leaves: whoever waits for news on this connection is answered now."""
        self.app_state.get(LEAVING, lambda: None)()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._hurry = self.loop.call_later(HEADERS_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None

    def _give_up(self) -> None:
        self._hurry = None
        if self._in_head and not self.transport.is_closing():
            self.transport.close()


def settle() -> None:
    """Set the interpreter up for answering, once all that lasts has been made."""
    gc.set_threshold(*_GARBAGE)
    gc.collect()
    gc.freeze()


def configuration(app: FastAPI, log_level: str) -> uvicorn.Config:
    """Uvicorn's settings for the service."""
    return uvicorn.Config(
        app,
        http=PatientProtocol,
        log_level=log_level,
        access_log=False,
        timeout_graceful_shutdown=10,
        timeout_keep_alive=KEEP_ALIVE_S,
        limit_concurrency=MOST_CONNECTIONS,
    )
