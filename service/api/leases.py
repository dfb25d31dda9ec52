"""The trial protocol, for workers."""

from __future__ import annotations

import time

from fastapi import APIRouter

from contract.leases import (
    Acknowledged,
    ClaimReply,
    ClaimRequest,
    CompletionBatch,
    CompletionReply,
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
from service import queue
from service.access.gate import WORK, GatedRoute
from service.api.context import Context, Ctx
from service.jobs import Job, Joint
from service.queue import Claim

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
    clerk, access, asked_at = ctx.clerk, ctx.who.token_id, time.monotonic()
    known = clerk.known.knows(body.worker, access, asked_at=asked_at)
    if body.beside is None:
        clerk.unserved.add(body.token)
    try:
        leases = await ctx.write(Joint(clerk.claims, Claim(body, access, known)))
    finally:
        clerk.unserved.discard(body.token)
    if not known:
        clerk.known.remember(body.worker, access, asked_at=asked_at)
    if leases:
        ctx.planner.wake(leases[0].trial.id)
    return leases


@router.post("/heartbeat")
async def heartbeat(body: HeartbeatRequest, ctx: Ctx) -> HeartbeatReply:
    """Renew leases, and learn which are lost and which trials are to stop."""
    return HeartbeatReply(leases=await ctx.write(Joint(ctx.clerk.heartbeats, body)))


@router.post("/report")
async def report(body: ReportBatch, ctx: Ctx) -> ReportReply:
    """Store points, each once; all of the batch or, when a lease in it is stale (409 `lease-lost`), none."""
    return ReportReply(leases=await ctx.write(Joint(ctx.clerk.reports, body.reports)))


@router.post("/complete")
async def complete(body: CompletionBatch, ctx: Ctx) -> CompletionReply:
    """End trials, with their last points; all of the batch or, when a lease in it is stale (409 `lease-lost`), none.

    Sent again with the same leases, it answers the same.
    """
    statuses = await ctx.write(Joint(ctx.clerk.completions, body))
    trials = [one.lease.trial_id for one in body.completions]
    ctx.planner.wake(*trials)
    ended = zip(trials, statuses, strict=True)
    return CompletionReply(trials=[Acknowledged(trial_id=trial_id, status=status) for trial_id, status in ended])


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
