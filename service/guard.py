"""What every request must pass before an endpoint sees it: whom it was addressed to, where it came from, its size.

A service on loopback has no accounts, so it must not answer a web page: a page of a foreign host can reach it by
rebinding its own name to 127.0.0.1 (then `Host` is foreign) or by plain requests across origins (then `Origin` is).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from contract.errors import ErrorCode
from service.bodies import CLOSE, Body
from service.problems import answer, problem

MAX_BODY = 1_048_576
MAX_HEAD, MAX_HEADERS = 16_384, 100
RAW_PATH = re.compile(r"/api/v1/trials/[0-9]+/artifacts/[^/]+")
"""A PUT there streams a file to the disk, and counts its bytes itself."""


class Guard:
    """Refuses foreign hosts and origins, whatever the method, and bodies over 1 MiB, files apart."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self.app = app
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer with the problem."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        raw = scope["method"] == "PUT" and RAW_PATH.fullmatch(scope["path"]) is not None
        headers = Headers(scope=scope)
        refusal = self._refusal(headers, raw=raw)
        if refusal is not None:
            await answer(problem(*refusal), CLOSE)(scope, receive, send)
            return
        body = Body(receive, headers, most=None if raw else MAX_BODY)
        await self.app(scope, body.receive, body.closing(send))

    def _refusal(self, headers: Headers, *, raw: bool) -> tuple[int, ErrorCode, str] | None:
        size = sum(len(name) + len(value) for name, value in headers.raw)
        if size > MAX_HEAD or len(headers.raw) > MAX_HEADERS:
            return 431, "head-too-large", f"at most {MAX_HEADERS} headers of {MAX_HEAD} bytes, got {len(headers.raw)}"
        host = _name(f"//{headers.get('host', '')}")
        if host not in self.hosts:
            shown = ", ".join(sorted(self.hosts))
            said = f"Host: must name this service ({shown}; more with `switchback serve --allow-host`), got {host!r}"
            return 421, "host-not-allowed", said
        origin = headers.get("origin")
        if origin is not None and _place(origin) != headers["host"].lower():
            said = f"Origin: must be the address that was called ({headers['host']}), got {origin!r}"
            return 403, "origin-not-allowed", said
        length = headers.get("content-length", "0")
        if not raw and length.isascii() and length.isdigit() and int(length) > MAX_BODY:
            return 413, "body-too-large", f"the body may have at most {MAX_BODY} bytes, got {length}"
        return None


@lru_cache(maxsize=1_024)
def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _place(origin: str) -> str | None:
    """Name and port: a page of another port of this machine is another's page."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None
