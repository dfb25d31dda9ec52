"""Reads of a study that cost little while it stands still: the ETag is known before the body, and may be waited for."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import Annotated, TypeAlias
from urllib.parse import parse_qsl

from fastapi import Depends, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from contract.studies import News
from service.api.context import Context, Ctx, Id, Look
from service.errors import NotModified
from service.glance import glance, waiting
from service.version import VERSION

LOOK_S = 0.5
"""How often a waiting reader's study is looked at: a look is one index entry, and needs no word between processes.
What this process does to a study itself is seen at once."""
WAITING = 256
"""Readers that may wait at a time; beyond that a wait ends at once, as a wait may."""

Wait: TypeAlias = Annotated[
    float, Query(ge=0, le=30, description="Seconds to wait for a change from what If-None-Match names.")
]
WhichNews: TypeAlias = Annotated[
    News,
    Query(description="What ends the wait: any change, or only that the study was paused, goes on, or has ended."),
]


async def _fresh(
    study_id: Id, ctx: Ctx, request: Request, response: Response, *, wait: Wait = 0.0, news: WhichNews = "all"
) -> None:
    """Set the answer's ETag; raise `NotModified` when the reader has this state and none other came while it waited."""
    known = {item.strip().removeprefix("W/") for item in request.headers.get("if-none-match", "").split(",")}
    versions = {_version(tag) for tag in known} if news == "state" else set()
    until = time.monotonic() + wait
    query = sorted(item for item in parse_qsl(request.url.query) if item[0] not in {"wait", "news"})
    asked = f"{query}{request.url.path}"
    ring = ctx.news.next()
    tag = _tag(asked, await run_in_threadpool(_look, ctx, study_id))
    while tag in known or _version(tag) in versions:
        left = until - time.monotonic()
        if left <= 0 or ctx.news.closed or ctx.news.waiting >= WAITING or await request.is_disconnected():
            if tag in known:
                raise NotModified(tag)
            break
        await ctx.news.heard(ring, min(LOOK_S, left))
        ring = ctx.news.next()
        tag = _tag(asked, await _shared_look(ctx, study_id, ring))
    response.headers["ETag"] = tag
    response.headers["Cache-Control"] = "no-cache"


async def _shared_look(ctx: Context, study_id: int, ring: asyncio.Event) -> str:
    """One look serves all who wait for a study: each has seen by itself, when it came, that it may."""
    now, look = time.monotonic(), ctx.looks.get(study_id)
    if look is None or look.ring is not ring or now - look.at >= LOOK_S:
        if len(ctx.looks) > WAITING:
            ctx.looks.clear()
        look = ctx.looks[study_id] = Look(now, ring, asyncio.ensure_future(run_in_threadpool(_look, ctx, study_id)))
    return await asyncio.shield(look.seen)  # whoever began it may hang up


def _look(ctx: Context, study_id: int) -> str:
    """The study's version, and all that shows: why it waits for a worker is told by no row of its own."""
    with ctx.database.read() as session:
        seen = glance(session, study_id)
        waits = None
        if seen.stuck:
            waits = waiting(session, seen.task_key, now=ctx.database.now(session), live=ctx.live)
        return f"{seen.version}.{seen.state} {waits}"


def _version(tag: str) -> str:
    return tag.strip('"').partition(".")[0]


def _tag(asked: str, found: str) -> str:
    version, _, rest = found.partition(".")
    return f'"{version}.{sha256(f"{VERSION} {asked} {rest}".encode()).hexdigest()[:32]}"'


FRESH = Depends(_fresh)
"""For routes under a study."""
