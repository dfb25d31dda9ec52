"""A network between workers and service that loses answers, sends requests twice, and delivers some late."""

from __future__ import annotations

import http.client
import random
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

LOST, TWICE, LATE = 0.06, 0.06, 0.05
OWN = frozenset({"host", "connection", "transfer-encoding", "content-length", "accept-encoding"})
"""Headers of one connection, not of the request."""
KEPT = frozenset({"content-type", "x-request-id"})
"""Headers of an answer that the worker looks at."""
LATE_S = (0.3, 3.0)
"""Longer than a lease lives under chaos, so that some copies arrive at another time of the trial's life."""


class Relay(BaseHTTPRequestHandler):
    """Hands every request on; what it does to the answer is drawn for each."""

    protocol_version = "HTTP/1.1"
    upstream: ClassVar[int]
    draw: ClassVar[random.Random]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", "0")))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in OWN}
        asked = (self.command, self.path, body, headers)  # of this request: a late copy goes when others are here
        fate = self.draw.random()
        if fate < LATE:
            delay = self.draw.uniform(*LATE_S)
            threading.Timer(delay, _forward, (self.upstream, *asked)).start()
        elif fate < LATE + TWICE:
            _forward(self.upstream, *asked)
        answer = _forward(self.upstream, *asked)
        if answer is None or self.draw.random() < LOST:
            self.close_connection = True  # the request was delivered; its answer is lost
            return
        status, headers, content = answer
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def do_PUT(self) -> None:
        self.do_POST()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name the standard library gives
        """Say nothing."""


def _forward(
    port: int, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[int, dict[str, str], bytes] | None:
    """Status, headers and body of the answer; None without one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=8)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        kept = {name: value for name, value in response.headers.items() if name in KEPT}
        return response.status, kept, response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Quiet(ThreadingHTTPServer):
    """Workers are killed in the middle of a request; that is no news."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


def run(port: int, upstream: int, seed: int) -> None:
    """The body of the proxy's process."""
    Relay.upstream, Relay.draw = upstream, random.Random(seed)
    Quiet(("127.0.0.1", port), Relay).serve_forever()
