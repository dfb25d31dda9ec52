"""The only writer of trial states and lease columns: one guarded UPDATE per move of `service.lifecycle.TRANSITIONS`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, case, func, insert, or_, select, tuple_, update
from sqlalchemy.orm import Session

from contract.artifacts import CHECKPOINT
from contract.leases import LeaseRef
from contract.trials import AttemptOutcome
from service.lifecycle import LIVE, TRANSITIONS, Move
from service.models import Artifact, Attempt, Trial

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
    return or_(
        *(
            and_(
                Trial.id == lease.trial_id,
                Trial.status == "leased",
                Trial.attempt == lease.attempt,
                Trial.token_hash == hashed(lease.token),
            )
            for lease in leases
        )
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
    source, target = TRANSITIONS[name]
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
) -> list[int]:
    """Claim, in one statement, the oldest queued trial of these tasks and up to `count - 1` more of its fusion key."""
    owner = {"worker_id": worker_id, "token_hash": hashed(token)}
    statement = (
        update(Trial)
        .where(Trial.id.in_(_picked(tasks, count)), Trial.status == TRANSITIONS["claim"][0])
        .values(
            status=TRANSITIONS["claim"][1],
            attempt=Trial.attempt + 1,
            lease_expires_at=expires,
            started_at=func.coalesce(Trial.started_at, now),
            steps_done=case((Trial.attempt == 0, 0), else_=_checkpointed()),
            **owner,
        )
        .returning(Trial.id, Trial.attempt)
        .execution_options(synchronize_session=False)
    )
    rows = sorted(session.execute(statement).all())
    resumed = _resumed(session, [trial_id for trial_id, attempt in rows if attempt > 1])
    attempts = [
        {"trial_id": trial_id, "number": attempt, "started_at": now, "outcome": "active", **owner}
        | dict(zip(("resumed_attempt", "resumed_from"), resumed.get(trial_id, (None, None)), strict=True))
        for trial_id, attempt in rows
    ]
    if attempts:
        session.execute(insert(Attempt), attempts)
    return [trial_id for trial_id, _ in rows]


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


def _picked(tasks: Sequence[str], count: int) -> Select[int]:
    """The trials of one claim, locked; a common table expression, so that PostgreSQL evaluates it once."""
    queued = Trial.status == "queued"
    head = (
        select(Trial.fusion_key)
        .where(queued, Trial.task_key.in_(tasks))
        .order_by(Trial.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    rows = select(Trial.id).where(queued, Trial.fusion_key == head).order_by(Trial.id).limit(count)
    return select(rows.with_for_update(skip_locked=True).cte("picked").c.id)


def renew(session: Session, leases: Sequence[LeaseRef], *, expires: datetime) -> dict[LeaseRef, int]:
    """Extend the leases that are still current, in one statement; each with its study's id."""
    if not leases:
        return {}
    statement = (
        update(Trial)
        .where(holds(*leases))
        .values(lease_expires_at=expires)
        .returning(Trial.id, Trial.attempt, Trial.token_hash, Trial.study_id)
        .execution_options(synchronize_session=False)
    )
    studies = {(trial, attempt, token): study for trial, attempt, token, study in session.execute(statement)}
    keys = {ref: (ref.trial_id, ref.attempt, hashed(ref.token)) for ref in leases}
    return {ref: studies[key] for ref, key in keys.items() if key in studies}


def extend_all(session: Session, by: timedelta) -> None:
    """Move the expiry of every lease; row by row, because the databases do not agree on arithmetic with times."""
    for trial in session.scalars(select(Trial).where(Trial.status == "leased").with_for_update()):
        assert trial.lease_expires_at is not None
        trial.lease_expires_at += by
