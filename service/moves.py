"""The only writer of trial states and lease columns: one guarded UPDATE per move of `service.lifecycle.TRANSITIONS`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from contract.artifacts import CHECKPOINT
from contract.leases import LeaseRef, TrialReport
from contract.trials import AttemptOutcome
from service.database import RESTRICTED
from service.lifecycle import LIVE, TRANSITIONS, Move
from service.models import Artifact, Attempt, Study, Trial, table
from service.ticks import tick

TRIALS, ATTEMPTS, STUDIES = (table(model) for model in (Trial, Attempt, Study))

OUTCOMES: dict[Move, AttemptOutcome] = {
    "complete": "complete",
    "prune": "pruned",
    "diverge": "diverged",
    "fail": "failed",
    "retry": "failed",
    "release": "preempted",
    "lose": "lost",
    "give_up": "lost",
    "abandon": "cancelled",
}
"""How a move out of `leased` ends the attempt."""


class Moved(NamedTuple):
    """A trial that moved, and the attempt it was in."""

    trial_id: int
    study_id: int
    attempt: int


def hashed(token: str) -> str:
    """Lease tokens are stored as SHA-256 only: a leaked database opens no lease."""
    return sha256(token.encode()).hexdigest()


def holds(*leases: LeaseRef) -> ColumnElement[bool]:
    """The fence: the rows whose current lease is one of these."""
    keys = [(lease.trial_id, lease.attempt, hashed(lease.token)) for lease in leases]
    return and_(
        Trial.id.in_({lease.trial_id for lease in leases}),
        Trial.status == "leased",
        tuple_(Trial.id, Trial.attempt, Trial.token_hash).in_(keys),
    )


def move(
    session: Session,
    name: Move,
    where: ColumnElement[bool],
    *,
    now: datetime,
    reason: str | None = None,
    **values: Any,  # columns of Trial, of whatever type each is
) -> list[Moved]:
    """Move every trial that `where` picks and that is in the move's from-state; the rows that moved."""
    source, target, _ = TRANSITIONS[name]
    if target not in LIVE:
        values |= {"finished_at": now, "reason": reason}
    statement = (
        update(Trial)
        .where(where, Trial.status == source)
        .values(status=target, worker_id=None, token_hash=None, lease_expires_at=None, **values)
        .returning(Trial.id, Trial.study_id, Trial.attempt)
        .execution_options(synchronize_session=False)
    )
    moved = [Moved(*row) for row in session.execute(statement)]
    if source == "leased" and moved:
        session.execute(
            update(Attempt)
            .where(Attempt.trial_id.in_([row.trial_id for row in moved]), Attempt.outcome == "active")
            .values(ended_at=now, outcome=OUTCOMES[name], reason=reason)
            .execution_options(synchronize_session=False)
        )
    return moved


def lease(
    session: Session, tasks: Sequence[str], count: int, *, worker_id: str, token: str, now: datetime, expires: datetime
) -> list[Row[Any]]:
    """Claim, in one statement, the oldest queued trial of these tasks and up to `count - 1` more of its fusion key."""
    owner = {"worker_id": worker_id, "token_hash": hashed(token)}
    given = {"tasks": tasks, "count": count, "now": now, "expires": expires, **owner}
    found = session.execute(_CLAIM, {f"p_{name}": value for name, value in given.items()})
    rows = sorted(found.all(), key=attrgetter("id"))
    resumed = _resumed(session, [row.id for row in rows if row.attempt > 1])
    attempts = [
        {"trial_id": row.id, "number": row.attempt, "started_at": now, "outcome": "active", **owner}
        | dict(zip(("resumed_attempt", "resumed_from"), resumed.get(row.id, (None, None)), strict=True))
        for row in rows
    ]
    if attempts:
        session.connection().execute(insert(ATTEMPTS), attempts)
    return rows


def _checkpointed() -> ColumnElement[int]:
    """The step of the trial's checkpoint, 0 without one."""
    step = select(Artifact.step).where(Artifact.trial_id == Trial.id, Artifact.name == CHECKPOINT).scalar_subquery()
    return func.coalesce(step, 0)


def _resumed(session: Session, trial_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Whose checkpoint each trial goes on from, and at which step."""
    if not trial_ids:
        return {}
    statement = select(Artifact.trial_id, Artifact.attempt, Artifact.step)
    rows = session.execute(statement.where(Artifact.trial_id.in_(trial_ids), Artifact.name == CHECKPOINT))
    return {trial_id: (attempt, step) for trial_id, attempt, step in rows}


def begin_anew(session: Session, leases: Sequence[LeaseRef]) -> None:
    """These attempts did not resume from the checkpoint they were offered: nothing earlier is part of their curve."""
    later = [(lease.trial_id, lease.attempt) for lease in leases if lease.attempt > 1]
    if later:
        session.execute(
            update(Attempt)
            .where(tuple_(Attempt.trial_id, Attempt.number).in_(later), Attempt.resumed_from.is_not(None))
            .values(resumed_attempt=None, resumed_from=None)
            .execution_options(synchronize_session=False)
        )


def waiting() -> ColumnElement[bool]:
    """The trials that a claim may take: those of paused studies are not handed out."""
    paused = select(Study.id).where(Study.paused_at.is_not(None))
    return and_(Trial.status == "queued", Trial.study_id.not_in(paused))


def _picked() -> Select[int]:
    """The trials of one claim, locked; a common table expression, so that PostgreSQL evaluates it once."""
    queued = waiting()
    head = (
        select(Trial.fusion_key)
        .where(queued, Trial.task_key.in_(bindparam("p_tasks", expanding=True)))
        .order_by(Trial.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    rows = select(Trial.id).where(queued, Trial.fusion_key == head).order_by(Trial.id)
    return select(rows.limit(bindparam("p_count")).with_for_update(skip_locked=True).cte("picked").c.id)


_SPEC = ("id", "study_id", "number", "attempt", "params", "schedule", "seed", "report_every")
SPEC = [TRIALS.c[name] for name in _SPEC]
"""What a lease is made of."""

# An ORM statement, unlike the others: no lease token stands for the trials yet, so what the worker may see must decide.
_CLAIM = (
    update(Trial)
    .where(Trial.id.in_(_picked()), Trial.status == TRANSITIONS["claim"].source)
    .values(
        status=TRANSITIONS["claim"].target,
        attempt=Trial.attempt + 1,
        lease_expires_at=bindparam("p_expires"),
        started_at=func.coalesce(Trial.started_at, bindparam("p_now", type_=Trial.started_at.type)),
        steps_done=case((Trial.attempt == 0, 0), else_=_checkpointed()),
        worker_id=bindparam("p_worker_id"),
        token_hash=bindparam("p_token_hash"),
    )
    .returning(*(getattr(Trial, name) for name in _SPEC))
    .execution_options(synchronize_session=False)
)

_KEYS = ("p_trial", "p_attempt", "p_token")
_HELD = and_(
    TRIALS.c.id == bindparam("p_trial"),
    TRIALS.c.status == "leased",
    TRIALS.c.attempt == bindparam("p_attempt"),
    TRIALS.c.token_hash == bindparam("p_token"),
)
# A heartbeat changes nothing that is ever shown, so the trial's `changed` stays.
_RENEW = update(TRIALS).where(_HELD).values(lease_expires_at=bindparam("p_expires"), changed=TRIALS.c.changed)
_done = bindparam("p_steps_done", type_=TRIALS.c.steps_done.type)
_ADVANCE = _RENEW.values(
    changed=tick(),
    total_steps=bindparam("p_total_steps"),
    steps_per_epoch=bindparam("p_steps_per_epoch"),
    steps_done=case((TRIALS.c.steps_done < _done, _done), else_=TRIALS.c.steps_done),
)


def renew(session: Session, leases: Sequence[LeaseRef], *, expires: datetime) -> set[LeaseRef]:
    """Extend the leases that are still current; those."""
    return _renewed(session, _RENEW, leases, [{"p_expires": expires} for _ in leases])


def advance(session: Session, reports: Sequence[TrialReport], *, expires: datetime) -> set[LeaseRef]:
    """Extend the leases of these reports and note how far their trials are; those that are still current."""
    changes = [
        {
            "p_expires": expires,
            "p_total_steps": item.total_steps,
            "p_steps_per_epoch": item.steps_per_epoch,
            "p_steps_done": max((point.step for point in item.points), default=0),
        }
        for item in reports
    ]
    return _renewed(session, _ADVANCE, [item.lease for item in reports], changes)


def _renewed(
    session: Session, statement: Update, leases: Sequence[LeaseRef], changes: Sequence[dict[str, Any]]
) -> set[LeaseRef]:
    keys = {ref: (ref.trial_id, ref.attempt, hashed(ref.token)) for ref in leases}
    rows = [dict(zip(_KEYS, keys[ref], strict=True)) | change for ref, change in zip(leases, changes, strict=True)]
    if session.info.get(RESTRICTED):
        seen = set(session.scalars(select(Trial.id).where(Trial.id.in_([ref.trial_id for ref in leases]))))
        rows = [row for row in rows if row["p_trial"] in seen]
    # In the order of their ids, so that two batches over the same trials wait for each other instead of deadlocking.
    rows.sort(key=itemgetter("p_trial"))
    renewed = session.connection().execute(statement, rows).rowcount if rows else 0
    if renewed == len(leases):
        return set(leases)
    held = {
        tuple(row) for row in session.execute(select(Trial.id, Trial.attempt, Trial.token_hash).where(holds(*leases)))
    }
    return {ref for ref, key in keys.items() if key in held}


def extend_all(session: Session, by: timedelta) -> None:
    """Move the expiry of every lease; row by row, because the databases do not agree on arithmetic with times."""
    for trial in session.scalars(select(Trial).where(Trial.status == "leased").with_for_update()):
        assert trial.lease_expires_at is not None
        trial.lease_expires_at += by
