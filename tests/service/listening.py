"""The application under uvicorn as `switchback serve` runs it, in a thread, and bare sockets to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from service.serving import configuration


@contextmanager
def listening(app: FastAPI) -> Iterator[int]:
    """The port the application listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(configuration(app, "error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        until = time.monotonic() + 20
        while not server.started:
            assert time.monotonic() < until, "the service did not start"
            time.sleep(0.01)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(timeout=20)


def exchange(port: int, *parts: bytes, pause_s: float = 0.0, wait_s: float = 10.0) -> bytes:
    """Send the parts, pausing between them; all that comes back until the other end hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=wait_s) as connection:
        for part in parts:
            try:
                connection.sendall(part)
            except ConnectionError:
                break
            time.sleep(pause_s)
        answer = b""
        while True:
            try:
                received = connection.recv(65_536)
            except ConnectionResetError:
                return answer
            if not received:
                return answer
            answer += received
