"""The trial protocol: claim, heartbeat, report, complete, fail, release, and the sweep that requeues expired leases.

Each function runs inside the caller's transaction and is given the time. A write whose lease is not the trial's current
one raises `LeaseLost` and stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import and_, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from contract.artifacts import CHECKPOINT
from contract.leases import (
    ClaimRequest,
    Completion,
    Failure,
    HeartbeatRequest,
    Lease,
    LeaseRef,
    LeaseState,
    Release,
    TrialReport,
    WorkerInfo,
)
from contract.studies import CreateStudy
from contract.tasks import task_with
from contract.trials import AttemptOutcome, TrialSpec, TrialStatus
from schedules import from_dict
from service import artifacts
from service.errors import Conflict, LeaseLost
from service.lifecycle import Move
from service.models import Artifact, Attempt, Point, Pulse, Study, Trial, Worker
from service.moves import OUTCOMES, Moved, begin_anew, extend_all, hashed, holds, lease, move, renew

_OUTCOME_MOVES: dict[str, Move] = {"complete": "complete", "diverged": "diverge", "pruned": "prune"}


def claim(
    session: Session, request: ClaimRequest, *, now: datetime, ttl_s: float, access: int | None = None
) -> list[Lease]:
    """Lease up to `max_trials` trials. The same token again returns the leases it holds: a lost answer is no loss.

    `access` is the id of the access token the worker came with.
    """
    see_worker(session, request.worker, now=now, access=access)
    expires = now + timedelta(seconds=ttl_s)
    held = renew(session, _held_by(session, request), expires=expires)
    if held:
        return _leases(session, [ref.trial_id for ref in held], ttl_s)
    claimed = lease(
        session,
        request.worker.tasks,
        request.max_trials,
        worker_id=request.worker.id,
        token=request.token,
        now=now,
        expires=expires,
    )
    return _leases(session, claimed, ttl_s)


def see_worker(session: Session, worker: WorkerInfo, *, now: datetime, access: int | None) -> None:
    """Note that a worker is alive and what it can train. One that came with another token is not to be overwritten."""
    row = {**worker.model_dump(), "last_seen_at": now, "token_id": access}
    statement = _insert(session)(Worker).values(row)
    own = Worker.token_id.is_not_distinct_from(access)
    seen = session.execute(
        statement.on_conflict_do_update(index_elements=[Worker.id], set_=row, where=own).returning(Worker.id)
    )
    if seen.first() is None:
        raise Conflict(f"worker.id: must be this worker's own, got {worker.id!r}, which came with another access token")


def heartbeat(session: Session, request: HeartbeatRequest, *, now: datetime, ttl_s: float) -> list[LeaseState]:
    """Renew the leases that are still current and say which are not."""
    session.execute(update(Worker).where(Worker.id == request.worker_id).values(last_seen_at=now))
    return _states(session, request.leases, now=now, ttl_s=ttl_s) if request.leases else []


def report(session: Session, reports: Sequence[TrialReport], *, now: datetime, ttl_s: float) -> list[LeaseState]:
    """Store points, each once however often it is sent; all of the batch, or none of it when a lease in it is stale."""
    states = _states(session, [item.lease for item in reports], now=now, ttl_s=ttl_s)
    stale = [(state.trial_id, state.attempt) for state in states if not state.held]
    if stale:
        raise LeaseLost(stale)
    rows = [
        {"trial_id": item.lease.trial_id, "attempt": item.lease.attempt, "step": point.step, "values": point.values}
        for item in reports
        for point in item.points
    ]
    if rows:
        session.execute(_insert(session)(Point).on_conflict_do_nothing(), rows)
    begin_anew(session, [item.lease for item in reports if item.resumed_from is None])
    for item in reports:
        done = max((point.step for point in item.points), default=0)
        session.execute(
            update(Trial)
            .where(Trial.id == item.lease.trial_id)
            .values(
                total_steps=item.total_steps,
                steps_per_epoch=item.steps_per_epoch,
                steps_done=case((Trial.steps_done < done, done), else_=Trial.steps_done),
            )
        )
    return states


def complete(session: Session, request: Completion, *, now: datetime) -> TrialStatus:
    """End a trial with its result. A completed trial whose objective is missing has failed, and says which it lacks."""
    study = _study_of(session, request.lease)
    metric = CreateStudy.model_validate(study.definition).objective.metric
    value = request.metrics.get(metric)
    name, reason = _OUTCOME_MOVES[request.outcome], request.reason
    if name == "complete" and value is None:
        offered = ", ".join(sorted(request.metrics)) or "none"
        name, reason = "fail", f"objective.metric: must be a metric the task reports ({offered}), got {metric!r}"
    moved = move(
        session,
        name,
        holds(request.lease),
        now=now,
        reason=reason,
        objective=value,
        metrics=request.metrics,
        steps_done=request.steps_done,
        engine=request.engine,
        device_seconds=Trial.device_seconds + request.device_seconds,
    )
    return _settled(session, request.lease, moved, (OUTCOMES[name],))


def fail(session: Session, request: Failure, *, now: datetime) -> TrialStatus:
    """The task raised: try again while the study's retries last, else the trial has failed."""
    study = _study_of(session, request.lease)
    limits = CreateStudy.model_validate(study.definition).limits
    failures = session.scalar(select(Trial.failures).where(holds(request.lease)))
    retry = failures is not None and failures < limits.max_retries
    name: Move = "abandon" if study.status != "running" else "retry" if retry else "fail"
    spent = {"failures": Trial.failures + 1, "device_seconds": Trial.device_seconds + request.device_seconds}
    moved = move(session, name, holds(request.lease), now=now, reason=request.error, **spent)
    return _settled(session, request.lease, moved, ("failed", "cancelled"))


def release(session: Session, request: Release, *, now: datetime) -> TrialStatus:
    """The worker gives the trial back unfinished: queue it again, or end it when its study has ended."""
    study = _study_of(session, request.lease)
    name: Move = "release" if study.status == "running" else "abandon"
    spent = {"device_seconds": Trial.device_seconds + request.device_seconds}
    moved = move(session, name, holds(request.lease), now=now, reason=request.reason, **spent)
    return _settled(session, request.lease, moved, ("preempted", "cancelled"))


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
            reason = (
                f"lost {lost + 1} workers in a row (limits.max_lost: {limit}); the last {reason.removeprefix('the ')}"
            )
        guard = (Trial.id == trial_id) & (Trial.attempt == attempt) & (Trial.lease_expires_at < now)
        count += len(move(session, name, guard, now=now, reason=reason, lost=Trial.lost + 1))
    return count


def extend_over_outage(session: Session, *, now: datetime) -> timedelta:
    """At start-up: nobody could renew a lease while no service ran, so give the time of the outage back to all."""
    beat = session.scalar(select(Pulse.beat_at))
    outage = max(now - beat, timedelta(0)) if beat is not None else timedelta(0)
    extend_all(session, outage)
    pulse(session, now=now)
    return outage


def pulse(session: Session, *, now: datetime) -> None:
    """Note that the service is alive."""
    statement = _insert(session)(Pulse).values(id=1, beat_at=now)
    session.execute(statement.on_conflict_do_update(index_elements=[Pulse.id], set_={"beat_at": now}))


def cancel_queued(session: Session, study_id: int, *, now: datetime, reason: str) -> int:
    """Cancel the trials of a study that no worker has begun; those running are told to stop by their next answer."""
    return len(move(session, "cancel", Trial.study_id == study_id, now=now, reason=reason))


def _held_by(session: Session, request: ClaimRequest) -> list[LeaseRef]:
    statement = select(Trial.id, Trial.attempt).where(
        Trial.status == "leased",
        Trial.token_hash == hashed(request.token),
        Trial.worker_id == request.worker.id,
    )
    rows = session.execute(statement).all()
    return [LeaseRef(trial_id=trial_id, attempt=attempt, token=request.token) for trial_id, attempt in rows]


def _leases(session: Session, trial_ids: Iterable[int], ttl_s: float) -> list[Lease]:
    """Each with the checkpoint of the trial, which only a later attempt can have found there."""
    of_trial = and_(Artifact.trial_id == Trial.id, Artifact.name == CHECKPOINT)
    statement = select(Trial, Study.definition, Artifact).join(Study).outerjoin(Artifact, of_trial)
    return [
        Lease(
            trial=_spec(trial, definition),
            attempt=trial.attempt,
            ttl_s=ttl_s,
            checkpoint=None if checkpoint is None else artifacts.view(checkpoint),
        )
        for trial, definition, checkpoint in session.execute(
            statement.where(Trial.id.in_(list(trial_ids))).order_by(Trial.id)
        )
    ]


def _spec(trial: Trial, definition: dict[str, object]) -> TrialSpec:
    study = CreateStudy.model_validate(definition)
    return TrialSpec(
        id=trial.id,
        study_id=trial.study_id,
        number=trial.number,
        task=task_with(study.task, trial.params),
        budget=study.budget,
        schedule=from_dict(trial.schedule),
        seed=trial.seed,
        report_every=trial.report_every,
        objective=study.objective.metric,
    )


def _states(session: Session, leases: Sequence[LeaseRef], *, now: datetime, ttl_s: float) -> list[LeaseState]:
    held = renew(session, leases, expires=now + timedelta(seconds=ttl_s))
    running = set(session.scalars(select(Study.id).where(Study.id.in_(set(held.values())), Study.status == "running")))
    return [
        LeaseState(
            trial_id=item.trial_id,
            attempt=item.attempt,
            held=item in held,
            ttl_s=ttl_s if item in held else 0.0,
            directive="continue" if held.get(item) in running else "stop",
        )
        for item in leases
    ]


def _study_of(session: Session, lease_ref: LeaseRef) -> Study:
    study = session.scalar(select(Study).join(Trial).where(Trial.id == lease_ref.trial_id))
    if study is None:
        raise LeaseLost([(lease_ref.trial_id, lease_ref.attempt)])
    return study


def _settled(session: Session, ref: LeaseRef, moved: list[Moved], outcomes: tuple[AttemptOutcome, ...]) -> TrialStatus:
    """The trial's status after a move; a repeated request whose first answer was lost gets the same answer again."""
    if not moved:
        again = session.scalar(
            select(func.count()).where(
                Attempt.trial_id == ref.trial_id,
                Attempt.number == ref.attempt,
                Attempt.token_hash == hashed(ref.token),
                Attempt.outcome.in_(outcomes),
            )
        )
        if not again:
            raise LeaseLost([(ref.trial_id, ref.attempt)])
    status = session.scalar(select(Trial.status).where(Trial.id == ref.trial_id))
    assert status is not None
    return status


def _insert(session: Session) -> type[sqlite.Insert] | type[postgresql.Insert]:
    """Both dialects spell ON CONFLICT alike."""
    return sqlite.Insert if session.get_bind().dialect.name == "sqlite" else postgresql.Insert
