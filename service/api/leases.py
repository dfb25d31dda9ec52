"""The trial protocol, for workers."""

from __future__ import annotations

from fastapi import APIRouter

from contract.leases import (
    Acknowledged,
    ClaimReply,
    ClaimRequest,
    Completion,
    Failure,
    HeartbeatReply,
    HeartbeatRequest,
    Release,
    ReportBatch,
    ReportReply,
)
from service import planner, queue
from service.access.gate import WORK, GatedRoute
from service.api.context import Ctx

router = APIRouter(prefix="/leases", tags=["worker protocol"], route_class=GatedRoute, dependencies=[WORK])


@router.post("/claim")
def claim(body: ClaimRequest, ctx: Ctx) -> ClaimReply:
    """Lease trials this worker can train, oldest first, those of one answer all trainable together."""
    ttl_s = ctx.settings.lease_ttl_s
    with ctx.database.write() as session:
        now = ctx.database.now(session)
        leases = queue.claim(session, body, now=now, ttl_s=ttl_s, access=ctx.who.token_id)
        if not leases and planner.fill_dry(session, ctx.database, body.worker.tasks):
            leases = queue.claim(session, body, now=now, ttl_s=ttl_s, access=ctx.who.token_id)
    if leases:
        ctx.planner.wake()
    return ClaimReply(leases=leases, retry_after_s=0.0 if leases else ctx.settings.idle_retry_s)


@router.post("/heartbeat")
def heartbeat(body: HeartbeatRequest, ctx: Ctx) -> HeartbeatReply:
    """Renew leases, and learn which are lost and which trials are to stop."""
    with ctx.database.write() as session:
        states = queue.heartbeat(session, body, now=ctx.database.now(session), ttl_s=ctx.settings.lease_ttl_s)
    return HeartbeatReply(leases=states)


@router.post("/report")
def report(body: ReportBatch, ctx: Ctx) -> ReportReply:
    """Store points, each once; all of the batch or, when a lease in it is stale (409 `lease-lost`), none."""
    with ctx.database.write() as session:
        states = queue.report(session, body.reports, now=ctx.database.now(session), ttl_s=ctx.settings.lease_ttl_s)
    return ReportReply(leases=states)


@router.post("/complete")
def complete(body: Completion, ctx: Ctx) -> Acknowledged:
    """End a trial with its result. Sent again with the same lease, it answers the same."""
    with ctx.database.write() as session:
        status = queue.complete(session, body, now=ctx.database.now(session))
    ctx.planner.wake()
    return Acknowledged(trial_id=body.lease.trial_id, status=status)


@router.post("/fail")
def fail(body: Failure, ctx: Ctx) -> Acknowledged:
    """The trial's code or configuration raised; it is tried again while the study's retries last."""
    with ctx.database.write() as session:
        status = queue.fail(session, body, now=ctx.database.now(session))
    ctx.planner.wake()
    return Acknowledged(trial_id=body.lease.trial_id, status=status)


@router.post("/release")
def release(body: Release, ctx: Ctx) -> Acknowledged:
    """Give a trial back unfinished."""
    with ctx.database.write() as session:
        status = queue.release(session, body, now=ctx.database.now(session))
    ctx.planner.wake()
    return Acknowledged(trial_id=body.lease.trial_id, status=status)
