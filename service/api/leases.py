"""The trial protocol, for workers."""

from __future__ import annotations

import time
from datetime import datetime

from fastapi import APIRouter
from sqlalchemy.orm import Session

from contract.leases import (
    Acknowledged,
    ClaimReply,
    ClaimRequest,
    Completion,
    Failure,
    HeartbeatReply,
    HeartbeatRequest,
    Lease,
    LeaseRef,
    Release,
    ReportBatch,
    ReportReply,
)
from contract.trials import TrialStatus
from service import planner, queue
from service.access.gate import WORK, GatedRoute
from service.api.context import Context, Ctx
from service.database import Job
from service.writer import GROUP

LOOK_S = 1.0
"""How often a claim that waits sees whether its worker is still there."""
WAITING = 1_000
"""Claims that may wait at a time; beyond that they are answered at once."""

router = APIRouter(prefix="/leases", tags=["worker protocol"], route_class=GatedRoute, dependencies=[WORK])


@router.post("/claim")
async def claim(body: ClaimRequest, ctx: Ctx) -> ClaimReply:
    """Lease trials this worker can train, oldest first, those of one answer all trainable together."""
    until = time.monotonic() + body.wait_s
    while True:
        ring = ctx.bell.next()
        if leases := await _claimed(body, ctx):
            return ClaimReply(leases=leases, retry_after_s=0.0)
        while not ring.is_set():
            left = until - time.monotonic()
            if left <= 0 or ctx.bell.waiting >= WAITING or await ctx.gone():
                waited = body.wait_s > 0 and left <= 0
                return ClaimReply(leases=[], retry_after_s=0.0 if waited else ctx.settings.idle_retry_s)
            await ctx.bell.heard(ring, min(left, LOOK_S))
        if ctx.bell.closed or await ctx.gone():
            return ClaimReply(leases=[], retry_after_s=ctx.settings.idle_retry_s)


async def _claimed(body: ClaimRequest, ctx: Context) -> list[Lease]:
    ttl_s, access, asked_at = ctx.settings.lease_ttl_s, ctx.who.token_id, time.monotonic()
    known = ctx.known.knows(body.worker, access, asked_at=asked_at)

    def _claim(session: Session, now: datetime) -> list[Lease]:
        leases = queue.claim(session, body, now=now, ttl_s=ttl_s, access=access, known=known)
        # Who has work can wait for what is proposed with care.
        if not leases and body.beside is None:
            wanted = min(max(1, len(ctx.unserved)), GROUP)
            if planner.fill_dry(session, body.worker.tasks, wanted, now=now):
                leases = queue.claim(session, body, now=now, ttl_s=ttl_s, access=access, known=True)
        if leases:
            ctx.unserved.discard(body.token)
        return leases

    if body.beside is None:
        ctx.unserved.add(body.token)
    try:
        leases = await ctx.write(_claim)
    finally:
        ctx.unserved.discard(body.token)
    if not known:
        ctx.known.remember(body.worker, access, asked_at=asked_at)
    if leases:
        ctx.planner.wake(leases[0].trial.id)
    return leases


@router.post("/heartbeat")
async def heartbeat(body: HeartbeatRequest, ctx: Ctx) -> HeartbeatReply:
    """Renew leases, and learn which are lost and which trials are to stop."""
    ttl_s = ctx.settings.lease_ttl_s
    states = await ctx.write(lambda session, now: queue.heartbeat(session, body, now=now, ttl_s=ttl_s))
    return HeartbeatReply(leases=states)


@router.post("/report")
async def report(body: ReportBatch, ctx: Ctx) -> ReportReply:
    """Store points, each once; all of the batch or, when a lease in it is stale (409 `lease-lost`), none."""
    ttl_s = ctx.settings.lease_ttl_s
    states = await ctx.write(lambda session, now: queue.report(session, body.reports, now=now, ttl_s=ttl_s))
    return ReportReply(leases=states)


@router.post("/complete")
async def complete(body: Completion, ctx: Ctx) -> Acknowledged:
    """End a trial with its result. Sent again with the same lease, it answers the same."""
    return await _ended(ctx, body.lease, lambda session, now: queue.complete(session, body, now=now))


@router.post("/fail")
async def fail(body: Failure, ctx: Ctx) -> Acknowledged:
    """The trial's code or configuration raised; it is tried again while the study's retries last."""
    return await _ended(ctx, body.lease, lambda session, now: queue.fail(session, body, now=now))


@router.post("/release")
async def release(body: Release, ctx: Ctx) -> Acknowledged:
    """Give a trial back unfinished."""
    return await _ended(ctx, body.lease, lambda session, now: queue.release(session, body, now=now))


async def _ended(ctx: Context, lease: LeaseRef, job: Job[TrialStatus]) -> Acknowledged:
    status = await ctx.write(job)
    ctx.planner.wake(lease.trial_id)
    if status == "queued":
        ctx.bell.ring()
    return Acknowledged(trial_id=lease.trial_id, status=status)
