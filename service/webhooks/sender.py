"""Posts one message over HTTPS to an address that was checked, and nowhere else: no redirects, no proxies."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPSConnection

from service.webhooks.destination import Destination, NotAllowed, parse, resolve

TIMEOUT_S = 15.0
MOST_ANSWER = 65_536


class Undelivered(Exception):
    """The message was not taken; says why."""


class _Pinned(HTTPSConnection):
    """Connects to the address that was checked; the certificate must be the name's."""

    def __init__(self, destination: Destination, address: str, context: ssl.SSLContext, timeout_s: float) -> None:
        super().__init__(destination.host, destination.port, timeout=timeout_s, context=context)
        self._pinned, self._tls = address, context
        self._wire: socket.socket | None = None
        self.late = False

    def connect(self) -> None:
        """As HTTPSConnection does, but without another look-up, which could answer differently."""
        plain = socket.create_connection((self._pinned, self.port), self.timeout)
        try:
            wire = self._tls.wrap_socket(plain, server_hostname=self.host, do_handshake_on_connect=False)
        except BaseException:
            plain.close()
            raise
        self.sock = self._wire = wire
        wire.do_handshake()

    def cut(self) -> None:
        """End it from another thread; by then the socket may belong to the response."""
        self.late = True
        if self._wire is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._wire, socket.SHUT_RDWR)


@dataclass(frozen=True)
class Sender:
    """Sends. `resolved` finds the address of a destination; `context` says which certificates are believed."""

    resolved: Callable[[Destination], str] = resolve
    context: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    timeout_s: float = TIMEOUT_S

    def post(self, url: str, body: str, headers: Mapping[str, str]) -> None:
        """Deliver, within `timeout_s` in all; `Undelivered` unless the answer is a 2xx."""
        try:
            destination = parse(url)
            address = self.resolved(destination)
        except NotAllowed as error:
            raise Undelivered(str(error)) from error
        connection = _Pinned(destination, address, self.context, self.timeout_s)
        # Timeouts of sockets are per read: an answer that drips is ended from outside.
        watchdog = threading.Timer(self.timeout_s, connection.cut)
        watchdog.daemon = True
        watchdog.start()
        try:
            status = _exchange(connection, destination, body, headers)
        except (OSError, HTTPException) as error:
            late = f"no answer within {self.timeout_s:g} s" if connection.late else ""
            raise Undelivered(late or f"{type(error).__name__}: {error}"[:400]) from error
        finally:
            watchdog.cancel()
            connection.close()
        if connection.late:
            raise Undelivered(f"no answer within {self.timeout_s:g} s")
        if not 200 <= status < 300:
            redirected = "; redirects are not followed" if 300 <= status < 400 else ""
            raise Undelivered(f"answered {status}{redirected}")


def _exchange(connection: _Pinned, destination: Destination, body: str, headers: Mapping[str, str]) -> int:
    sent = {"Content-Type": "application/json", "User-Agent": "switchback", "Connection": "close", **headers}
    connection.request("POST", destination.target, body.encode(), sent)
    with connection.getresponse() as response:
        response.read(MOST_ANSWER)
        return response.status
