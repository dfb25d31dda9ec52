"""Every request gets an id, is counted and timed, and leaves a log line and a span, without query, headers, body."""

from __future__ import annotations

import logging
import re
import time
from functools import cache
from random import getrandbits
from urllib.parse import quote

from opentelemetry.trace import get_current_span
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.logs import REQUEST_ID

log = logging.getLogger("service.access")

_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0)


class Observing:
    """Outermost of all, so that what the guard refuses is counted, too."""

    def __init__(self, app: ASGIApp, latency: Histogram) -> None:
        self.app = app
        self._series = cache(latency.labels)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on under its id."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given if _ID.fullmatch(given) else b"%032x" % getrandbits(128)
        status, begun, reset = 500, time.perf_counter(), REQUEST_ID.set(request_id.decode())
        if scope["query_string"] and (span := get_current_span()).is_recording():
            span.set_attribute("url.query", "REDACTED")  # FastAPI sends it, and somebody may have put a token there

        async def _send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        try:
            await self.app(scope, receive, _send)
        finally:
            self._note(scope, status, time.perf_counter() - begun)
            REQUEST_ID.reset(reset)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in {"GET", "HEAD", "POST", "PUT", "DELETE"} else "other"
        # The route's template, never the path that was asked for: a stranger could invent series.
        route = getattr(scope.get("route"), "path", "none")
        self._series(method, route, f"{status // 100}xx").observe(seconds)
        if log.isEnabledFor(logging.INFO):
            facts = {
                "method": method,
                "path": quote(scope["path"], safe="/:"),
                "status": status,
                "ms": round(1e3 * seconds, 2),
            }
            log.info("%(method)s %(path)s %(status)s in %(ms)s ms", facts, extra=facts)


def latency_histogram() -> Histogram:
    """Seconds to answer, by method, route and class of status; of one application, which registers it."""
    return Histogram(
        "switchback_http_request_seconds",
        "Seconds to answer a request.",
        ("method", "route", "status"),
        buckets=BUCKETS,
        registry=None,
    )
