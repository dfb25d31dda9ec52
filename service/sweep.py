"""What no worker asks for: leases that expire, and the time of an outage given back to those that could not renew."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.database import DIALECTS, dialect
from service.lifecycle import Move
from service.line import has
from service.models import Pulse, Study, Trial, table
from service.moves import EXPIRED, extend_all, move

PULSE = table(Pulse)


def sweep(session: Session, *, now: datetime) -> int:
    """Requeue the trials whose lease has expired; those of ended studies, or lost too often, end. How many there were.

    Each move is one UPDATE guarded on state, attempt and expiry, so it can never overwrite a completion.
    """
    expired = session.execute(
        select(Trial.id, Trial.attempt, Trial.lost, Study.status, Study.definition)
        .join(Study)
        .where(has("leased"), Trial.lease_expires_at < now)
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
