"""Finds out who asks, by the token in a request's header or cookie, and how often they may."""

from __future__ import annotations

import time
from hashlib import sha256
from urllib.parse import urlsplit

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from service.access import tokens
from service.access.buckets import Buckets
from service.access.roles import OWNER, Principal, Right
from service.database import Database
from service.errors import ForeignOrigin, TooManyRequests, Unauthenticated

COOKIE = "switchback_session"
REMEMBERED_S = 1.0
"""So long may a revoked token still pass; a busy token costs one look into the database a second."""
KNOWN_S = 600.0
"""So long is a token that was good looked up whatever its address has guessed wrong meanwhile."""
MOST_REMEMBERED = 10_000
GUESSES, GUESSES_PER_S = 20, 0.2
"""Wrong tokens an address may send at once, and in the long run."""
NOBODY = Principal(name="nobody", role="viewer", projects=frozenset())
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Gatekeeper:
    """Identifies each request; without `auth` everybody is the owner. `rate`: requests a second of one token."""

    def __init__(self, database: Database, *, auth: bool, rate: float) -> None:
        self._database, self.auth = database, auth
        self._known: dict[bytes, tuple[float, Principal]] = {}
        self._requests: Buckets[int | None] = Buckets(rate, 2 * rate)
        self._guesses: Buckets[str] = Buckets(GUESSES_PER_S, GUESSES)

    async def identify(self, request: Request, needed: Right) -> Principal:
        """Who asks; `Unauthenticated` when the token is missing or wrong and the route is not for everybody."""
        if not self.auth:
            return OWNER
        if needed == "public":
            return NOBODY
        token = _presented(request)
        if not token:
            raise Unauthenticated("this service needs an access token: Authorization: Bearer sbk_...")
        who = await self.principal(token, request)
        wait = self._requests.take(who.token_id)
        if wait:
            raise TooManyRequests("this access token asks too often", wait)
        return who

    async def principal(self, token: str, request: Request) -> Principal:
        """Whose token it is; `Unauthenticated` when nobody's. Who guesses is soon not even listened to."""
        digest = sha256(token.encode(errors="replace")).digest()
        at, who = self._known.get(digest, (float("-inf"), None))
        age = time.monotonic() - at
        if who is not None and age < REMEMBERED_S:
            return who
        address = request.client.host if request.client else ""
        wait = self._guesses.empty(address)
        if wait and age > KNOWN_S:
            raise TooManyRequests("too many wrong access tokens from this address", wait)
        who = await run_in_threadpool(self._look_up, token)
        if who is None:
            self._known.pop(digest, None)
            self._guesses.take(address)
            raise Unauthenticated("the access token is unknown, has expired, or was revoked")
        if digest not in self._known and len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[digest] = (time.monotonic(), who)
        return who

    def _look_up(self, token: str) -> Principal | None:
        with self._database.read() as session:
            return tokens.verify(session, token, now=self._database.now(session))


def check_origin(request: Request) -> None:
    """A browser sends the session cookie by itself, so what changes something must come from this very page."""
    origin = urlsplit(request.headers.get("origin", ""))
    if (origin.scheme, origin.netloc) != (request.url.scheme, request.headers.get("host")):
        raise ForeignOrigin("Origin: must be this service's own page for a request with the session cookie")


def _presented(request: Request) -> str | None:
    """The token in the header, else the one in the cookie; None when there is neither."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    cookie = request.cookies.get(COOKIE)
    if cookie is not None and request.method not in SAFE:
        check_origin(request)
    return cookie
