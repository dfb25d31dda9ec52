"""A receiver of webhooks: a real HTTPS server on this machine that answers as the test says."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from service.webhooks.destination import Destination
from service.webhooks.sender import Sender

# A key and a certificate made for the name `hooks.example` and for these tests alone.
CERTIFICATE = Path(__file__).with_name("hooks_example.pem")


@dataclass
class Receiver:
    """What came in, and what it answers: a status, a body, headers, and how long a byte of the body takes."""

    port: int = 0
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    drip_s: float = 0.0
    seen: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def url(self, host: str = "hooks.example", path: str = "/in") -> str:
        return f"https://{host}:{self.port}{path}"

    def sender(self, *, timeout_s: float = 5.0) -> Sender:
        """A sender that believes this receiver's certificate and takes its address for a public one."""
        context = ssl.create_default_context(cafile=str(CERTIFICATE))
        return Sender(resolved=_here, context=context, timeout_s=timeout_s)


def _here(destination: Destination) -> str:
    return "127.0.0.1"


@contextmanager
def receiving() -> Iterator[Receiver]:
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(told.status)
            for name, value in told.headers.items():
                self.send_header(name, value)
            self.end_headers()
            for byte in told.body:
                self.wfile.write(bytes([byte]))
                time.sleep(told.drip_s)

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Nobody reads it."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A sender that hangs up is what some tests want."""

    server = Server(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    told.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield told
    server.shutdown()
    server.server_close()
    thread.join()
