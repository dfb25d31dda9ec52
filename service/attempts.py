"""What is kept of each attempt at a trial: who began it and from where, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, null, select, update
from sqlalchemy.orm import Session

from contract.artifacts import CHECKPOINT
from contract.leases import LeaseRef
from contract.trials import AttemptOutcome
from service.inserting import Inserting
from service.line import leading_nowhere
from service.models import Artifact, Attempt, table
from service.prepared import Prepared

_ATTEMPT = ("trial_id", "number", "worker_id", "token_hash", "started_at", "resumed_attempt", "resumed_from")
_BEGIN = Inserting(table(Attempt), _ATTEMPT, outcome="active")
_END = Prepared(
    update(Attempt)
    .where(
        Attempt.trial_id == bindparam("p_trial"),
        Attempt.number == bindparam("p_attempt"),
        leading_nowhere(Attempt.outcome, "active"),
    )
    .values(
        ended_at=bindparam("p_now", type_=Attempt.ended_at.type),
        outcome=bindparam("p_outcome"),
        reason=bindparam("p_reason"),
    )
)
_ANEW = Prepared(
    update(Attempt)
    .where(
        Attempt.trial_id == bindparam("p_trial"),
        Attempt.number == bindparam("p_attempt"),
        Attempt.resumed_from.is_not(None),
    )
    .values(resumed_attempt=null(), resumed_from=null())
)


def begin(session: Session, leased: Sequence[Any], *, now: datetime) -> None:
    """The attempts at these trials, rows of those just leased, begin."""
    resumed = _resumed(session, [row.id for row in leased if row.attempt > 1])
    attempts = [
        {"trial_id": row.id, "number": row.attempt, "started_at": now}
        | {"worker_id": row.worker_id, "token_hash": row.token_hash}
        | dict(zip(("resumed_attempt", "resumed_from"), resumed.get(row.id, (None, None)), strict=True))
        for row in leased
    ]
    _BEGIN.run(session, attempts)


def end(
    session: Session, attempts: Sequence[tuple[int, int, str | None]], outcome: AttemptOutcome, *, now: datetime
) -> None:
    """These attempts, trial and number, end so, each for its reason."""
    ended = {"p_now": now, "p_outcome": outcome}
    rows = ({"p_trial": trial, "p_attempt": number, "p_reason": reason} for trial, number, reason in attempts)
    _END.run(session, *(row | ended for row in rows))


def begin_anew(session: Session, leases: Sequence[LeaseRef]) -> None:
    """These attempts did not resume from the checkpoint they were offered: nothing earlier is part of their curve."""
    later = [{"p_trial": lease.trial_id, "p_attempt": lease.attempt} for lease in leases if lease.attempt > 1]
    _ANEW.run(session, *later)


def _resumed(session: Session, trial_ids: Sequence[int]) -> dict[int, tuple[int, int]]:
    """Whose checkpoint each trial goes on from, and at which step."""
    if not trial_ids:
        return {}
    statement = select(Artifact.trial_id, Artifact.attempt, Artifact.step)
    rows = session.execute(statement.where(Artifact.trial_id.in_(trial_ids), Artifact.name == CHECKPOINT))
    return {trial_id: (attempt, step) for trial_id, attempt, step in rows}
