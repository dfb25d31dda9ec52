"""Faults built into a service on purpose, to show that the checker sees them; each names what it replaces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select, update
from sqlalchemy.orm import Session

from contract.leases import LeaseRef, TrialReport
from service import artifacts, engines, moves, queue, sweep
from service.database import Criteria, Database, Job
from service.errors import ServiceError
from service.lifecycle import Move
from service.models import Attempt, Trial
from service.planner import Planner
from service.ticks import tick


def _replace(owner: Any, name: str, made: Any) -> Any:
    """Put `made` in a name's place; what was there. Fails where the code has moved on and nothing would change."""
    if not hasattr(owner, name):
        raise AttributeError(f"mutant: {owner.__name__} has no {name} any more; write the mutant anew")
    before = getattr(owner, name)
    setattr(owner, name, made)
    return before


def no_fence() -> None:
    """Whoever names the trial may write; neither attempt nor token is looked at."""

    held = and_(Trial.id == bindparam("p_trial"), Trial.status == "leased")

    def renew(session: Session, leases: Sequence[LeaseRef], *, expires: datetime) -> set[LeaseRef]:
        if not leases:
            return set()
        named = Trial.id.in_([lease.trial_id for lease in leases])
        renewed = update(Trial).where(named, Trial.status == "leased").values(lease_expires_at=expires)
        found = set(session.scalars(renewed.returning(Trial.id)))
        return {ref for ref in leases if ref.trial_id in found}

    def advance(session: Session, reports: Sequence[TrialReport], *, expires: datetime) -> set[LeaseRef]:
        return renew(session, [item.lease for item in reports], expires=expires)

    for module in (queue, moves, artifacts):
        _replace(module, "HELD", held)
        _replace(module, "renew", renew)
    _replace(queue, "advance", advance)


def acknowledge_before_commit() -> None:
    """The answers go out first; the commit of the same transaction follows a moment later."""

    def write_together(self: Database, jobs: Sequence[tuple[Job[Any], Criteria]]) -> list[Any]:
        outcomes: list[Any] = [None] * len(jobs)
        answered: Future[list[Any]] = Future()

        def noted(index: int, job: Job[Any]) -> Job[None]:
            def _noted(session: Session, now: datetime) -> None:
                try:
                    outcomes[index] = job(session, now)  # in its place: when one raises, all are done once more
                except ServiceError as error:
                    outcomes[index] = error
                    raise

            return _noted

        def answer(session: Session, now: datetime) -> None:
            answered.set_result(outcomes)
            time.sleep(0.1)

        def commit() -> None:
            try:
                whole(self, [*((noted(at, job), seen) for at, (job, seen) in enumerate(jobs)), (answer, ())])
            except ServiceError as error:
                if not answered.done():
                    answered.set_exception(error)

        threading.Thread(target=commit).start()
        return answered.result()

    whole = _replace(Database, "write_together", write_together)
    _replace(Database, "write_at_once", lambda self, jobs: None)  # all is written by the threads


def unguarded_reaper() -> None:
    """The sweep decides by what it read a moment ago, and asks nothing again when it writes."""

    def unguarded(self: Planner) -> None:
        data = self._database
        with data.read() as session:
            now = data.now(session)
            late = select(Trial.id, Trial.lost).where(Trial.status == "leased", Trial.lease_expires_at < now)
            expired = session.execute(late).all()
        time.sleep(0.1)
        with data.write() as session:
            for trial, lost in expired:
                owner = {"worker_id": None, "token_hash": None, "lease_expires_at": None}
                back = {"status": "queued", "finished_at": None, "lost": lost + 1, **owner}
                session.execute(update(Trial).where(Trial.id == trial).values(back))
                active = (Attempt.trial_id == trial) & (Attempt.outcome == "active")
                session.execute(update(Attempt).where(active).values(ended_at=now, outcome="lost"))
            sweep.pulse(session, now=now)

    _replace(Planner, "_sweep", unguarded)


def complete_once_only() -> None:
    """An end whose answer was lost is refused when it is sent again."""

    def refusing(session: Session, ref: LeaseRef, name: Move, moved: list[moves.Moved], outcomes: Any) -> Any:
        return settled(session, ref, name, moved, outcomes if moved else ())

    settled = _replace(queue, "_settled", refusing)


def unfenced_checkpoint() -> None:
    """An artifact is taken from whoever names a trial."""

    def check_lease(session: Session, ref: LeaseRef) -> int:
        return session.scalars(select(Trial.study_id).where(Trial.id == ref.trial_id)).one()

    def renew(session: Session, leases: Sequence[LeaseRef], *, expires: datetime) -> set[LeaseRef]:
        return set(leases)

    _replace(artifacts, "check_lease", check_lease)
    _replace(artifacts, "renew", renew)


def deferred_begin() -> None:
    """Transactions that write begin as those that read do, and look before they write."""

    def deferred(url: str, begin: str, count: int, patience_s: float) -> Any:
        return engine(url, "BEGIN", count, patience_s)

    def look_first(self: Database, connection: Connection) -> None:
        # Without a look, the tick, a write, would come first and wait for the lock like BEGIN IMMEDIATE.
        connection.execute(select(tick()))
        begin(self, connection)

    engine = _replace(engines, "_sqlite", deferred)
    begin = _replace(Database, "_begin", look_first)


@dataclass(frozen=True, slots=True)
class Mutant:
    """A fault, and the rules that it breaks by what it is; others may be broken by what follows from it."""

    install: Callable[[], None]
    breaks: frozenset[str]


MUTANTS: Mapping[str, Mutant] = MappingProxyType(
    {
        "no-fence": Mutant(no_fence, frozenset({"fence", "terminal"})),
        "acknowledge-before-commit": Mutant(acknowledge_before_commit, frozenset({"lost"})),
        "unguarded-reaper": Mutant(unguarded_reaper, frozenset({"terminal", "doubled", "held"})),
        "complete-once-only": Mutant(complete_once_only, frozenset({"idempotent"})),
        "unfenced-checkpoint": Mutant(unfenced_checkpoint, frozenset({"fence", "terminal"})),
        "deferred-begin": Mutant(deferred_begin, frozenset({"overload"})),
    }
)
SQLITE_ONLY = frozenset({"deferred-begin"})
