"""The only writer of trial states and lease columns: one guarded UPDATE per move of `service.lifecycle.TRANSITIONS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.orm import Session

from contract.artifacts import CHECKPOINT
from contract.leases import LeaseRef, TrialReport
from contract.trials import AttemptOutcome
from service.definitions import DEFINITION
from service.lifecycle import LIVE, TRANSITIONS, Move
from service.line import UNUSED, WAITS, has, oldest
from service.models import Artifact, Attempt, Study, Trial, table
from service.prepared import Prepared, among
from service.ticks import tick

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


HELD = and_(
    Trial.id == bindparam("p_trial"),
    has("leased"),
    Trial.attempt == bindparam("p_attempt"),
    Trial.token_hash == bindparam("p_token"),
)
"""The fence: the row whose current lease this is; its parameters are `fence`."""
OF_STUDY = Trial.study_id == bindparam("p_study")
EXPIRED = and_(
    Trial.id == bindparam("p_trial"),
    Trial.attempt == bindparam("p_attempt"),
    Trial.lease_expires_at < bindparam("p_now", type_=Trial.lease_expires_at.type),
)
_ADDED = frozenset({"device_seconds", "failures", "lost"})
"""Columns that a move adds to instead of setting them."""


def fence(lease: LeaseRef) -> dict[str, Any]:
    """What `HELD` is told of a lease."""
    return {"p_trial": lease.trial_id, "p_attempt": lease.attempt, "p_token": hashed(lease.token)}


def move(
    session: Session,
    name: Move,
    where: ColumnElement[bool],
    given: Mapping[str, Any],
    *,
    now: datetime,
    reason: str | None = None,
    **values: Any,  # columns of Trial, of whatever type each is
) -> list[Moved]:
    """Move every trial that `where` picks, given its parameters, and that is in the move's from-state; which moved."""
    source, target, _ = TRANSITIONS[name]
    if target not in LIVE:
        values |= {"finished_at": now, "reason": reason}
    given = {**given, **{f"v_{column}": value for column, value in values.items()}}
    moved = [Moved(*row) for row in _moving(name, where, tuple(values)).rows(session, given)]
    if source == "leased" and moved:
        ended = {"p_now": now, "p_outcome": OUTCOMES[name], "p_reason": reason}
        _END_ATTEMPT.run(session, *({"p_trial": row.trial_id} | ended for row in moved))
    return moved


@lru_cache(maxsize=256)
def _moving(name: Move, where: ColumnElement[bool], columns: tuple[str, ...]) -> Prepared:
    given = {column: bindparam(f"v_{column}", type_=getattr(Trial, column).type) for column in columns}
    values = {column: getattr(Trial, column) + new if column in _ADDED else new for column, new in given.items()}
    values |= dict.fromkeys(("worker_id", "token_hash", "lease_expires_at"), null())
    source, target, _ = TRANSITIONS[name]
    statement = update(Trial).where(where, has(source)).values(status=literal(target, literal_execute=True), **values)
    return Prepared(statement.returning(Trial.id, Trial.study_id, Trial.attempt))


_END_ATTEMPT = Prepared(
    update(Attempt)
    .where(Attempt.trial_id == bindparam("p_trial"), Attempt.outcome == literal("active", literal_execute=True))
    .values(
        ended_at=bindparam("p_now", type_=Attempt.ended_at.type),
        outcome=bindparam("p_outcome"),
        reason=bindparam("p_reason"),
    )
)


class Owner(NamedTuple):
    """Who claims, with which token; from when to when the lease is."""

    worker_id: str
    token: str
    now: datetime
    expires: datetime


def lease(session: Session, fusion_key: str, count: int, owner: Owner) -> list[Any]:
    """Claim, in one statement, the `count` oldest queued trials of this fusion key that nobody else is claiming."""
    return _leased(session, _CLAIM, owner, fusion_key=fusion_key, count=count)


def lease_oldest(session: Session, tasks: Sequence[str], owner: Owner) -> list[Any]:
    """Claim, in one statement, the trial that has waited longest; none for a token that was used, or if others did."""
    return _leased(session, _CLAIM_OLDEST, owner, tasks=tasks, count=1)


def _leased(session: Session, statement: Prepared, owner: Owner, **given: object) -> list[Any]:
    mine = {"worker_id": owner.worker_id, "token_hash": hashed(owner.token)}
    given |= {"now": owner.now, "expires": owner.expires, **mine}
    rows = statement.rows(session, {f"p_{name}": value for name, value in given.items()})
    rows.sort(key=attrgetter("id"))
    resumed = _resumed(session, [row.id for row in rows if row.attempt > 1])
    attempts = [
        {"trial_id": row.id, "number": row.attempt, "started_at": owner.now, **mine}
        | dict(zip(("resumed_attempt", "resumed_from"), resumed.get(row.id, (None, None)), strict=True))
        for row in rows
    ]
    _BEGIN_ATTEMPT.run(session, *attempts)
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
    later = [{"p_trial": lease.trial_id, "p_attempt": lease.attempt} for lease in leases if lease.attempt > 1]
    _BEGIN_ANEW.run(session, *later)


_BEGIN_ANEW = Prepared(
    update(Attempt)
    .where(
        Attempt.trial_id == bindparam("p_trial"),
        Attempt.number == bindparam("p_attempt"),
        Attempt.resumed_from.is_not(None),
    )
    .values(resumed_attempt=null(), resumed_from=null())
)

_ATTEMPT = ("trial_id", "number", "worker_id", "token_hash", "started_at", "resumed_attempt", "resumed_from")
_BEGIN_ATTEMPT = Prepared(
    insert(table(Attempt)).values(
        outcome=literal("active", literal_execute=True),
        **{name: bindparam(name, type_=getattr(Attempt, name).type) for name in _ATTEMPT},
    )
)

_SPEC = ("id", "study_id", "number", "attempt", "params", "schedule", "seed", "report_every")
_OF_ITS_STUDY = select(DEFINITION).where(Study.id == Trial.study_id).scalar_subquery()
SPEC = [*(getattr(Trial, name) for name in _SPEC), _OF_ITS_STUDY.label(DEFINITION.name)]
"""What a lease is made of."""


def _claiming(fusion_key: ColumnElement[str]) -> Prepared:
    """Take the oldest of these; a common table expression, so that PostgreSQL evaluates once whom it has locked."""
    waiting = select(Trial.id).where(WAITS, Trial.fusion_key == fusion_key).order_by(Trial.id)
    picked = waiting.limit(bindparam("p_count")).with_for_update(skip_locked=True).cte("picked")
    statement = update(Trial).where(Trial.id.in_(select(picked.c.id)), has(TRANSITIONS["claim"].source))
    return Prepared(
        statement.values(
            status=literal(TRANSITIONS["claim"].target, literal_execute=True),
            attempt=Trial.attempt + 1,
            lease_expires_at=bindparam("p_expires"),
            started_at=func.coalesce(Trial.started_at, bindparam("p_now", type_=Trial.started_at.type)),
            steps_done=case((Trial.attempt == 0, 0), else_=_checkpointed()),
            worker_id=bindparam("p_worker_id"),
            token_hash=bindparam("p_token_hash"),
        ).returning(*SPEC)
    )


_CLAIM = _claiming(bindparam("p_fusion_key", type_=Trial.fusion_key.type))
_CLAIM_OLDEST = _claiming(oldest(Trial.fusion_key, where=UNUSED).scalar_subquery())

# A heartbeat changes nothing that is ever shown, so the trial's `changed` stays.
_RENEWAL = update(Trial).where(HELD).values(lease_expires_at=bindparam("p_expires"))
_RENEW = Prepared(_RENEWAL.values(changed=Trial.changed))
_done = bindparam("p_steps_done", type_=Trial.steps_done.type)
_ADVANCE = Prepared(
    _RENEWAL.values(
        changed=tick(),
        total_steps=bindparam("p_total_steps"),
        steps_per_epoch=bindparam("p_steps_per_epoch"),
        steps_done=case((Trial.steps_done < _done, _done), else_=Trial.steps_done),
    )
)
_CURRENT = Prepared(select(Trial.id, Trial.attempt, Trial.token_hash).where(has("leased"), among(Trial.id, "p_trials")))


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
    session: Session, statement: Prepared, leases: Sequence[LeaseRef], changes: Sequence[dict[str, Any]]
) -> set[LeaseRef]:
    keys = {ref: fence(ref) for ref in leases}
    rows = [keys[ref] | change for ref, change in zip(leases, changes, strict=True)]
    # In the order of their ids, so that two batches over the same trials wait for each other instead of deadlocking.
    rows.sort(key=itemgetter("p_trial"))
    if statement.run(session, *rows) == len(leases):
        return set(leases)
    held = set(_CURRENT.rows(session, {"p_trials": [ref.trial_id for ref in leases]}))
    return {ref for ref, found in keys.items() if tuple(found.values()) in held}


def extend_all(session: Session, by: timedelta) -> None:
    """Move the expiry of every lease; row by row, because the databases do not agree on arithmetic with times."""
    for trial in session.scalars(select(Trial).where(Trial.status == "leased").with_for_update()):
        assert trial.lease_expires_at is not None
        trial.lease_expires_at += by
