"""Reads of a study that cost little while it stands still: the ETag is known before the body, and may be waited for."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import Annotated, TypeAlias
from urllib.parse import parse_qsl

from fastapi import Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from service.api.context import Context, Ctx, Id
from service.errors import NotModified
from service.glance import glance, waiting
from service.version import VERSION

LOOK_S = 0.5
"""How often a waiting reader's study is looked at: a look is one index entry, and needs no word between processes."""
WAITING = 256
"""Readers that may wait at a time; beyond that a wait ends at once, as a wait may."""

Wait: TypeAlias = Annotated[
    float, Query(ge=0, le=30, description="Seconds to wait for a change from what If-None-Match names.")
]


async def _fresh(study_id: Id, ctx: Ctx, request: Request, response: Response, wait: Wait = 0.0) -> None:
    """Set the answer's ETag; raise `NotModified` when the reader has this state and none other came while it waited."""
    known = {item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")}
    until = time.monotonic() + wait
    asked = repr(sorted(item for item in parse_qsl(request.url.query) if item[0] != "wait")) + request.url.path
    seen = await run_in_threadpool(_look, ctx, study_id)
    tag = _tag(asked, seen)
    while tag in known:
        left = until - time.monotonic()
        if left <= 0 or ctx.bell.closed or ctx.readers.waiting >= WAITING or await request.is_disconnected():
            raise NotModified(tag)
        ctx.readers.waiting += 1
        try:
            await asyncio.sleep(min(LOOK_S, left))
        finally:
            ctx.readers.waiting -= 1
        seen = await _shared_look(ctx, study_id, seen)
        tag = _tag(asked, seen)
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-cache"


async def _shared_look(ctx: Context, study_id: int, seen: str) -> str:
    """One look serves all who wait for a study: each has `seen` by itself, when it came, that it may."""
    looks, now = ctx.readers.looks, time.monotonic()
    at, found = looks.get(study_id, (float("-inf"), seen))
    if now - at < LOOK_S:
        return found
    if len(looks) > WAITING:
        looks.clear()
    looks[study_id] = now, seen  # nobody else looks meanwhile
    looks[study_id] = now, await run_in_threadpool(_look, ctx, study_id)
    return looks[study_id][1]


def _look(ctx: Context, study_id: int) -> str:
    """The study's version, and all that shows: why it waits for a worker is told by no row of its own."""
    with ctx.database.read() as session:
        seen = glance(session, study_id)
        waits = None
        if seen.stuck:
            waits = waiting(session, seen.task_key, now=ctx.database.now(session), live=ctx.live)
        return f"{seen.version}.{seen.state} {waits}"


def _tag(asked: str, found: str) -> str:
    version, _, rest = found.partition(".")
    return f'"{version}.{sha256(f"{VERSION} {asked} {rest}".encode()).hexdigest()[:32]}"'


FRESH = Depends(_fresh)
"""For routes under a study."""
