"""A load generator over raw sockets: one thread, many keep-alive connections, each speaking a script.

A script is a generator: it yields requests and is sent each answer's body. One thread on an epoll loop spends about
20 us on a request, so that the client is not what is measured.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Script: TypeAlias = Generator[bytes, "Answer", None]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, body and headers as bytes."""

    status: int
    head: bytes
    body: bytes

    def json(self) -> Any:
        if self.status >= 400:
            raise RuntimeError(f"the service answered {self.status}: {self.body.decode()[:500]}")
        return json.loads(self.body)


@dataclass
class Outcome:
    """Requests answered in a window of `seconds`, and how long each took in milliseconds."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def quantile(self, q: float) -> float:
        ordered = sorted(self.latencies) or [float("nan")]
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]

    @property
    def median(self) -> float:
        return self.quantile(0.5)


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """An HTTP/1.1 request, ready to be sent."""
    given = {"host": "localhost", "content-length": str(len(body))} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    if body:
        given["content-type"] = "application/json"
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def post(path: str, message: object) -> bytes:
    """A POST of JSON to the API."""
    return request("POST", f"/api/v1{path}", json.dumps(message).encode())


def get(path: str, **headers: str) -> bytes:
    """A GET of the API."""
    return request("GET", f"/api/v1{path}", **headers)


class _Connection:
    def __init__(self, address: tuple[str, int], script: Script) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.script, self.buffer, self.sent_at = script, bytearray(), 0.0

    def send(self, data: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(data)

    def receive(self) -> Answer | None:
        chunk = self.socket.recv(1 << 18)
        if not chunk:
            raise ConnectionError("the service closed the connection")
        self.buffer += chunk
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.buffer[:end]).lower()
        at = head.find(b"content-length:")
        length = 0 if at < 0 else int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(self.buffer) < end + 4 + length:
            return None
        body = bytes(self.buffer[end + 4 : end + 4 + length])
        self.buffer.clear()
        return Answer(int(head[9:12]), head, body)


def drive(address: tuple[str, int], scripts: Sequence[Script], *, seconds: float) -> Outcome:
    """Run every script until it ends or the window closes; a request counts when its answer came inside the window."""
    outcome = Outcome()
    selector = selectors.DefaultSelector()
    connections = [_Connection(address, script) for script in scripts]
    begun = time.perf_counter()
    for connection in connections:
        connection.send(next(connection.script))
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    while selector.get_map() and time.perf_counter() - begun < seconds:
        for key, _ in selector.select(timeout=0.5):
            _advance(key.data, selector, outcome)
    outcome.seconds = time.perf_counter() - begun
    for connection in connections:
        connection.socket.close()
    return outcome


def _advance(connection: _Connection, selector: selectors.BaseSelector, outcome: Outcome) -> None:
    answer = connection.receive()
    if answer is None:
        return
    outcome.latencies.append(1e3 * (time.perf_counter() - connection.sent_at))
    try:
        connection.send(connection.script.send(answer))
    except StopIteration:
        selector.unregister(connection.socket)


def ask(address: tuple[str, int], data: bytes) -> Answer:
    """One request, one answer."""
    found: list[Answer] = []

    def script() -> Script:
        found.append((yield data))

    drive(address, [script()], seconds=120)
    return found[0]


def repeated(data: bytes, check: Callable[[Answer], object] = Answer.json) -> Script:
    """The same request for as long as it lasts."""
    while True:
        check((yield data))
