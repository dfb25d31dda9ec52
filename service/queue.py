"""The trial protocol: claim, heartbeat, report, complete, fail, release, and the sweep that requeues expired leases.

Each function runs inside the caller's transaction and is given the time. A write whose lease is not the trial's current
one raises `LeaseLost` and stores nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from contract.leases import (
    ClaimRequest,
    Completion,
    Directive,
    Failure,
    HeartbeatRequest,
    Lease,
    LeaseRef,
    LeaseState,
    Release,
    TrialReport,
)
from contract.trials import AttemptOutcome, TrialStatus
from service.database import DIALECTS, dialect
from service.definitions import DEFINITION, RUNS, parsed
from service.errors import LeaseLost
from service.handout import claimed_before, leases_of, next_in_line, share
from service.lifecycle import TRANSITIONS, Move
from service.models import Attempt, Point, Pulse, Study, Trial, table
from service.moves import (
    EXPIRED,
    HELD,
    OF_STUDY,
    OUTCOMES,
    Moved,
    Owner,
    advance,
    begin_anew,
    extend_all,
    fence,
    lease,
    lease_oldest,
    move,
    renew,
)
from service.prepared import Prepared, among
from service.roster import hear_from, see_worker

POINTS, PULSE = table(Point), table(Pulse)
_POINT = {column.name: bindparam(column.name, type_=column.type) for column in POINTS.c}
_POINTS_ONCE = {
    name: Prepared(insert(POINTS).values(_POINT).on_conflict_do_nothing()) for name, insert in DIALECTS.items()
}
_RUNNING = Prepared(select(Trial.id, Study.paused_at).join(Study).where(among(Trial.id, "p_trials"), RUNS))
_STUDY_OF = Prepared(
    select(Study.status, DEFINITION, Trial.failures).join(Trial).where(Trial.id == bindparam("p_trial"))
)
_ENDED = Prepared(
    select(Trial.status, Attempt.outcome)
    .join(Attempt)
    .where(
        Trial.id == bindparam("p_trial"),
        Attempt.number == bindparam("p_attempt"),
        Attempt.token_hash == bindparam("p_token"),
    )
)

_OUTCOME_MOVES: dict[str, Move] = {"complete": "complete", "diverged": "diverge", "pruned": "prune"}


def claim(
    session: Session,
    request: ClaimRequest,
    *,
    now: datetime,
    ttl_s: float,
    access: int | None = None,
    known: bool = False,
) -> list[Lease]:
    """Lease up to `max_trials` trials. The same claim again returns the leases it holds: a lost answer is no loss.

    For another worker, other tasks or fewer trials its token is refused: a token never leases a second time.
    `access` is the id of the access token the worker came with, `known` whether all that was stored a moment ago.
    """
    if not known:
        see_worker(session, request.worker, now=now, access=access)
    expires = now + timedelta(seconds=ttl_s)
    owner = Owner(request.worker.id, request.token, now, expires)
    if request.max_trials == 1 and request.beside is None:
        claimed = lease_oldest(session, request.worker.tasks, owner)
        if claimed:
            return leases_of(session, claimed, ttl_s)
    held = claimed_before(session, request)
    if held is not None:
        renew(
            session,
            [LeaseRef(trial_id=row.id, attempt=row.attempt, token=request.token) for row in held],
            expires=expires,
        )
        return leases_of(session, held, ttl_s)
    since, passed = now - timedelta(seconds=ttl_s), list[str]()
    while (head := next_in_line(session, request.worker.tasks, passed)) is not None:
        count = share(session, request, head, since=since)
        if not count:
            break
        claimed = lease(session, head.fusion_key, count, owner)
        if claimed:
            return leases_of(session, claimed, ttl_s)
        passed.append(head.fusion_key)  # others are claiming its last trials at this moment
    return []


def heartbeat(session: Session, request: HeartbeatRequest, *, now: datetime, ttl_s: float) -> list[LeaseState]:
    """Renew the leases that are still current and say which are not."""
    hear_from(session, request.worker_id, now=now)
    held = renew(session, request.leases, expires=now + timedelta(seconds=ttl_s))
    return _states(session, request.leases, held, ttl_s=ttl_s)


def report(session: Session, reports: Sequence[TrialReport], *, now: datetime, ttl_s: float) -> list[LeaseState]:
    """Store points, each once however often it is sent; all of the batch, or none of it when a lease in it is stale."""
    leases = [item.lease for item in reports]
    held = advance(session, reports, expires=now + timedelta(seconds=ttl_s))
    stale = [(ref.trial_id, ref.attempt) for ref in leases if ref not in held]
    if stale:
        raise LeaseLost(stale)
    rows = [
        {"trial_id": item.lease.trial_id, "attempt": item.lease.attempt, "step": point.step, "values": point.values}
        for item in reports
        for point in item.points
    ]
    _POINTS_ONCE[dialect(session)].run(session, *rows)
    begin_anew(session, [item.lease for item in reports if item.resumed_from is None])
    return _states(session, leases, held, ttl_s=ttl_s)


def complete(session: Session, request: Completion, *, now: datetime) -> TrialStatus:
    """End a trial with its result. A completed trial whose objective is missing has failed, and says which it lacks."""
    study = parsed(_study_of(session, request.lease).definition)
    metric = study.objective.metric
    value = request.metrics.get(metric)
    name, reason = _OUTCOME_MOVES[request.outcome], request.reason
    if name == "complete" and value is None:
        offered = ", ".join(sorted(request.metrics)) or "none"
        name, reason = "fail", f"objective.metric: must be a metric the task reports ({offered}), got {metric!r}"
    moved = move(
        session,
        name,
        HELD,
        fence(request.lease),
        now=now,
        reason=reason,
        objective=value,
        metrics=request.metrics,
        steps_done=request.steps_done,
        engine=request.engine,
        device_seconds=request.device_seconds,
    )
    return _settled(session, request.lease, name, moved, (OUTCOMES[name],))


def fail(session: Session, request: Failure, *, now: datetime) -> TrialStatus:
    """The task raised: try again while the study's retries last, else the trial has failed."""
    found = _study_of(session, request.lease)
    retry = found.failures < parsed(found.definition).limits.max_retries
    name: Move = "abandon" if found.status != "running" else "retry" if retry else "fail"
    spent = {"failures": 1, "device_seconds": request.device_seconds}
    moved = move(session, name, HELD, fence(request.lease), now=now, reason=request.error, **spent)
    return _settled(session, request.lease, name, moved, ("failed", "cancelled"))


def release(session: Session, request: Release, *, now: datetime) -> TrialStatus:
    """The worker gives the trial back unfinished: queue it again, or end it when its study has ended."""
    name: Move = "release" if _study_of(session, request.lease).status == "running" else "abandon"
    spent = {"device_seconds": request.device_seconds}
    moved = move(session, name, HELD, fence(request.lease), now=now, reason=request.reason, **spent)
    return _settled(session, request.lease, name, moved, ("preempted", "cancelled"))


def sweep(session: Session, *, now: datetime) -> int:
    """Requeue the trials whose lease has expired; those of ended studies, or lost too often, end. How many there were.

    Each move is one UPDATE guarded on state, attempt and expiry, so it can never overwrite a completion.
    """
    expired = session.execute(
        select(Trial.id, Trial.attempt, Trial.lost, Study.status, Study.definition)
        .join(Study)
        .where(Trial.status == "leased", Trial.lease_expires_at < now)
        .order_by(Trial.lease_expires_at)
        .limit(1_000)
    ).all()
    count = 0
    for trial_id, attempt, lost, status, definition in expired:
        limit = definition["limits"]["max_lost"]
        name: Move = "abandon" if status != "running" else "lose" if lost < limit else "give_up"
        reason = "the lease expired: the worker was not heard of in time"
        if name == "give_up":
            reason = f"lost {lost + 1} workers (limits.max_lost: {limit}); the last {reason.removeprefix('the ')}"
        given = {"p_trial": trial_id, "p_attempt": attempt, "p_now": now}
        count += len(move(session, name, EXPIRED, given, now=now, reason=reason, lost=1))
    return count


def extend_over_outage(session: Session, *, now: datetime, tolerated: timedelta = timedelta(0)) -> timedelta:
    """Nobody could renew a lease while no service ran, or while the database was away: give that time back to all.

    The outage, since the last pulse; one not longer than `tolerated` is none.
    """
    beat = session.scalar(select(Pulse.beat_at))
    pulse(session, now=now)
    outage: timedelta = timedelta(0) if beat is None else now - beat
    if outage <= tolerated:
        return timedelta(0)
    extend_all(session, outage)
    return outage


def pulse(session: Session, *, now: datetime) -> None:
    """Note that the service is alive."""
    statement = DIALECTS[dialect(session)](PULSE).values(id=1, beat_at=now)
    session.execute(statement.on_conflict_do_update(index_elements=[PULSE.c.id], set_={"beat_at": now}))


def cancel_queued(session: Session, study_id: int, *, now: datetime, reason: str) -> int:
    """Cancel the trials of a study that no worker has begun; those running are told to stop by their next answer."""
    return len(move(session, "cancel", OF_STUDY, {"p_study": study_id}, now=now, reason=reason))


def _states(session: Session, leases: Sequence[LeaseRef], held: set[LeaseRef], *, ttl_s: float) -> list[LeaseState]:
    ids = [ref.trial_id for ref in held]
    running = _RUNNING.rows(session, {"p_trials": ids}) if ids else ()
    asked: dict[int, Directive] = {trial_id: "pause" if paused_at else "continue" for trial_id, paused_at in running}
    return [
        LeaseState(
            trial_id=ref.trial_id,
            attempt=ref.attempt,
            held=ref in held,
            ttl_s=ttl_s if ref in held else 0.0,
            directive=asked.get(ref.trial_id, "stop") if ref in held else "stop",
        )
        for ref in leases
    ]


def _study_of(session: Session, ref: LeaseRef) -> Any:
    """Status and definition of the study that the lease's trial belongs to, and the failures of the trial."""
    row = _STUDY_OF.first(session, {"p_trial": ref.trial_id})
    if row is None:
        raise LeaseLost([(ref.trial_id, ref.attempt)])
    return row


def _settled(
    session: Session, ref: LeaseRef, name: Move, moved: list[Moved], outcomes: tuple[AttemptOutcome, ...]
) -> TrialStatus:
    """The trial's status after a move; a repeated request whose first answer was lost gets the same answer again."""
    if moved:
        return TRANSITIONS[name].target
    before = _ENDED.first(session, fence(ref))
    if before is None or before.outcome not in outcomes:
        raise LeaseLost([(ref.trial_id, ref.attempt)])
    status: TrialStatus = before.status
    return status
