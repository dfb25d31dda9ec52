"""Finds out who asks: by the token in the request's header, remembered for a moment."""

from __future__ import annotations

import time
from hashlib import sha256

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from service.access import tokens
from service.access.roles import OWNER, Principal, Right
from service.database import Database
from service.errors import Unauthenticated

REMEMBERED_S = 1.0
"""So long may a revoked token still pass; a busy token costs one look into the database a second."""
MOST_REMEMBERED = 10_000
NOBODY = Principal(name="nobody", role="viewer", projects=frozenset())


class Gatekeeper:
    """Identifies each request; without `auth` everybody is the owner."""

    def __init__(self, database: Database, *, auth: bool) -> None:
        self._database, self.auth = database, auth
        self._known: dict[bytes, tuple[float, Principal]] = {}

    async def identify(self, request: Request, needed: Right) -> Principal:
        """Who asks; `Unauthenticated` when the token is missing or wrong and the route is not for everybody."""
        if not self.auth:
            return OWNER
        if needed == "public":
            return NOBODY
        token = presented(request)
        if token is None:
            raise Unauthenticated("this service needs an access token: Authorization: Bearer sbk_...")
        return await self.principal(token)

    async def principal(self, token: str) -> Principal:
        """Whose token it is; `Unauthenticated` when nobody's."""
        digest = sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        self._known.pop(digest, None)
        who = await run_in_threadpool(self._look_up, token)
        if who is None:
            raise Unauthenticated("the access token is unknown, has expired, or was revoked")
        if len(self._known) >= MOST_REMEMBERED:
            self._known.clear()
        self._known[digest] = (time.monotonic() + REMEMBERED_S, who)
        return who

    def _look_up(self, token: str) -> Principal | None:
        with self._database.read() as session:
            return tokens.verify(session, token, now=self._database.now(session))


def presented(request: Request) -> str | None:
    """The token a request carries, None when it carries none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
