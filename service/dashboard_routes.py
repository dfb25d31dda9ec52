"""The dashboard's files and the plotting library, with the headers that keep foreign content out of the page."""

from __future__ import annotations

import gzip
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER = Path(__file__).parent / "dashboard"
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
# The page revalidates its own small files each time, so that an upgraded service is never read by yesterday's script.
_PAGE_CACHE = "no-cache"
_LIBRARY_CACHE = "public, max-age=604800, stale-while-revalidate=2592000"


class SecurityHeaders:
    """Adds the security headers to every answer, errors and API included: a JSON body must not be run as a page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request through; complete the head of its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def _send(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(one for one in _RAW_HEADERS if one[0] not in given)]
            await send(message)

        await self.app(scope, receive, _send)


class _PageFiles(StaticFiles):
    """Static files that are asked for again with their ETag before each use."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = _PAGE_CACHE
        return response


@cache
def _plotly() -> tuple[bytes, bytes, str]:
    """Plotly's script as the Python package ships it: plain, gzipped (once, 4.8 MB to 1.5 MB), and its ETag."""
    plain = files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return plain, gzip.compress(plain, compresslevel=6, mtime=0), sha256(plain).hexdigest()[:32]


def _takes_gzip(accepted: str) -> bool:
    """Whether `Accept-Encoding` lists gzip and does not give it the weight 0."""
    for item in accepted.split(","):
        name, _, weight = item.replace(" ", "").partition(";q=")
        if name.lower() == "gzip":
            return not weight or weight.strip("0.") != ""
    return False


def _library(request: Request) -> Response:
    plain, zipped, digest = _plotly()
    squeeze = _takes_gzip(request.headers.get("accept-encoding", ""))
    tag = f'"{digest}-gzip"' if squeeze else f'"{digest}"'
    headers = {"ETag": tag, "Cache-Control": _LIBRARY_CACHE, "Vary": "Accept-Encoding"}
    if tag in {item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")}:
        return Response(status_code=304, headers=headers)
    if squeeze:
        headers["Content-Encoding"] = "gzip"
    return Response(zipped if squeeze else plain, media_type="text/javascript", headers=headers)


def install(app: FastAPI) -> None:
    """Serve the page at `/`, its files under `/static`, and complete every answer's security headers."""
    page = _PageFiles(directory=FOLDER)

    async def _index(request: Request) -> Response:
        return await page.get_response("index.html", request.scope)

    app.add_route("/", _index, methods=["GET"], include_in_schema=False)
    app.add_route("/static/plotly.min.js", _library, methods=["GET"], include_in_schema=False)
    app.mount("/static", page, name="dashboard")
    app.add_middleware(SecurityHeaders)
