"""The only writer of trial states and lease columns: one guarded UPDATE per move of `service.lifecycle.TRANSITIONS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from sqlalchemy import (
    CTE,
    ColumnElement,
    Integer,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    null,
    select,
    update,
)
from sqlalchemy.orm import Session

from contract.artifacts import CHECKPOINT
from contract.leases import LeaseRef, TrialReport
from contract.trials import AttemptOutcome
from service import attempts
from service.database import DIALECTS, dialect
from service.given import PLACE, encoded
from service.given import rows as rows_given
from service.lifecycle import LIVE, TRANSITIONS, Move
from service.line import SPEC, has, in_line, oldest, still
from service.models import Artifact, Attempt, Trial
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


class Change(NamedTuple):
    """One move: the parameters of its condition, why, and columns of Trial with what they become."""

    given: Mapping[str, Any]  # Any: each parameter, and each column, of its own type
    reason: str | None
    values: Mapping[str, Any]


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
    still("leased"),
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
    (moved,) = move_each(session, name, where, [Change(given, reason, values)], now=now)
    return moved


def move_each(
    session: Session, name: Move, where: ColumnElement[bool], changes: Sequence[Change], *, now: datetime
) -> list[list[Moved]]:
    """The same move for each of these changes, which name the same columns; which trials each has moved."""
    source, target, _ = TRANSITIONS[name]
    rows, columns = list[dict[str, Any]](), tuple[str, ...]()
    for change in changes:
        ended = {} if target in LIVE else {"finished_at": now, "reason": change.reason}
        values = {**change.values, **ended}
        rows.append({**change.given, **{f"v_{column}": value for column, value in values.items()}})
        columns = tuple(values)
    moved = [[Moved(*row) for row in found] for found in _moving(name, where, columns).rows_of_each(session, *rows)]
    if source == "leased":
        pairs = zip(changes, moved, strict=True)
        over = [(row.trial_id, row.attempt, change.reason) for change, found in pairs for row in found]
        attempts.end(session, over, OUTCOMES[name], now=now)
    return moved


@lru_cache(maxsize=256)
def _moving(name: Move, where: ColumnElement[bool], columns: tuple[str, ...]) -> Prepared:
    given = {column: bindparam(f"v_{column}", type_=getattr(Trial, column).type) for column in columns}
    values = {column: getattr(Trial, column) + new if column in _ADDED else new for column, new in given.items()}
    values |= dict.fromkeys(("worker_id", "token_hash", "lease_expires_at"), null())
    source, target, _ = TRANSITIONS[name]
    statement = update(Trial).where(where, still(source)).values(status=literal(target, literal_execute=True), **values)
    return Prepared(statement.returning(Trial.id, Trial.study_id, Trial.attempt))


class Owner(NamedTuple):
    """Who claims, with which token."""

    worker_id: str
    token: str


class Term(NamedTuple):
    """From when to when a lease is."""

    now: datetime
    expires: datetime

    @property
    def before(self) -> datetime:
        """A lease's life before now: a worker not heard of since then is gone."""
        return self.now - (self.expires - self.now)

    @property
    def given(self) -> dict[str, datetime]:
        """As the parameters of a claim."""
        return {"p_now": self.now, "p_expires": self.expires}


def lease(session: Session, fusion_key: str, count: int, owner: Owner, term: Term) -> list[Any]:
    """Claim, in one statement, the `count` oldest queued trials of this fusion key that nobody else is claiming."""
    given = {"p_fusion_key": fusion_key, "p_count": count, "p_worker_id": owner.worker_id}
    rows = _CLAIM.rows(session, given | term.given | {"p_token_hash": hashed(owner.token)})
    return _begun(session, rows, term)


def lease_oldest(session: Session, tasks: Sequence[str], owners: Sequence[Owner], term: Term) -> dict[str, Any]:
    """One trial for each owner, by its token: in one statement those that have waited longest and fit together.

    None for a token that was used before, or for which none is left, or if others were faster. No token may be here
    twice.
    """
    tokens = {hashed(owner.token): owner for owner in owners}
    leased: dict[str, Any] = {}
    while tokens:
        mine = [{"worker_id": owner.worker_id, "token_hash": token} for token, owner in tokens.items()]
        rows = _CLAIM_OLDEST[dialect(session)].rows(session, encoded(mine) | term.given | {"p_tasks": tasks})
        if not rows:
            break
        leased |= {tokens.pop(row.token_hash).token: row for row in _begun(session, rows, term)}
    return leased


def _begun(session: Session, rows: list[Any], term: Term) -> list[Any]:
    """The trials in the order of their ids, their attempts begun."""
    rows.sort(key=attrgetter("id"))
    attempts.begin(session, rows, now=term.now)
    return rows


def _checkpointed() -> ColumnElement[int]:
    """The step of the trial's checkpoint, 0 without one."""
    step = select(Artifact.step).where(Artifact.trial_id == Trial.id, Artifact.name == CHECKPOINT).scalar_subquery()
    return func.coalesce(step, 0)


def _claiming(worker_id: ColumnElement[str], token_hash: ColumnElement[str], picked: ColumnElement[bool]) -> Prepared:
    """The claim of the trials that are picked, for whom these columns tell."""
    statement = update(Trial).where(picked, still(TRANSITIONS["claim"].source))
    return Prepared(
        statement.values(
            status=literal(TRANSITIONS["claim"].target, literal_execute=True),
            attempt=Trial.attempt + 1,
            lease_expires_at=bindparam("p_expires"),
            started_at=func.coalesce(Trial.started_at, bindparam("p_now", type_=Trial.started_at.type)),
            steps_done=case((Trial.attempt == 0, 0), else_=_checkpointed()),
            worker_id=worker_id,
            token_hash=token_hash,
        ).returning(*SPEC, Trial.worker_id, Trial.token_hash)
    )


def _first(fusion_key: ColumnElement[str], count: ColumnElement[int]) -> CTE:
    """The oldest that wait with this key; a common table expression: PostgreSQL evaluates once whom it has locked."""
    return in_line(Trial.fusion_key, fusion_key).limit(count).with_for_update(skip_locked=True).cte("picked")


def _claiming_some() -> Prepared:
    picked = _first(bindparam("p_fusion_key", type_=Trial.fusion_key.type), bindparam("p_count"))
    mine = (
        bindparam("p_worker_id", type_=Trial.worker_id.type),
        bindparam("p_token_hash", type_=Trial.token_hash.type),
    )
    return _claiming(*mine, Trial.id.in_(select(picked.c.id)))


def _claiming_oldest(kind: str) -> Prepared:
    """The first in line for the first of those whose token is unused, the second for the second."""
    own = {"worker_id": Trial.worker_id.type, "token_hash": Trial.token_hash.type}
    given = rows_given(kind, {**own, PLACE: Integer()})
    unused = ~exists().where(Attempt.token_hash == given.c.token_hash)
    place = func.row_number().over(order_by=given.c[PLACE]).label("place")
    owner = select(*(given.c[name] for name in own), place).where(unused).cte("owner")
    head = select(oldest([Trial.fusion_key]).scalar_subquery().label("fusion_key")).cte("head")
    picked = _first(select(head.c.fusion_key).scalar_subquery(), select(func.count(owner.c.place)).scalar_subquery())
    taken = select(picked.c.id, func.row_number().over(order_by=picked.c.id).label("place")).cte("taken")
    return _claiming(
        owner.c.worker_id, owner.c.token_hash, and_(Trial.id == taken.c.id, taken.c.place == owner.c.place)
    )


_CLAIM = _claiming_some()
_CLAIM_OLDEST = {kind: _claiming_oldest(kind) for kind in DIALECTS}

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
    return _renewed(session, _RENEW, {ref: {"p_expires": expires} for ref in leases})


def advance(session: Session, reports: Sequence[TrialReport], *, expires: datetime) -> set[LeaseRef]:
    """Extend the leases of these reports and note how far their trials are; those that are still current."""
    changes: dict[LeaseRef, dict[str, Any]] = {}
    for item in reports:
        before = changes.get(item.lease, {"p_steps_done": 0})
        changes[item.lease] = {
            "p_expires": expires,
            "p_total_steps": item.total_steps,
            "p_steps_per_epoch": item.steps_per_epoch,
            "p_steps_done": max(before["p_steps_done"], *(point.step for point in item.points), 0),
        }
    return _renewed(session, _ADVANCE, changes)


def _renewed(session: Session, statement: Prepared, changes: Mapping[LeaseRef, dict[str, Any]]) -> set[LeaseRef]:
    keys = {ref: fence(ref) for ref in changes}
    # In the order of their ids, so that two batches over the same trials wait for each other instead of deadlocking.
    rows = sorted((keys[ref] | change for ref, change in changes.items()), key=itemgetter("p_trial"))
    if statement.run(session, *rows) == len(rows):
        return set(changes)
    held = set(_CURRENT.rows(session, {"p_trials": [ref.trial_id for ref in changes]}))
    return {ref for ref, found in keys.items() if tuple(found.values()) in held}


def extend_all(session: Session, by: timedelta) -> None:
    """Move the expiry of every lease; row by row, because the databases do not agree on arithmetic with times."""
    for trial in session.scalars(select(Trial).where(has("leased")).with_for_update()):
        assert trial.lease_expires_at is not None
        trial.lease_expires_at += by
