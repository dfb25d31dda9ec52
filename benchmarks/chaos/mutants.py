"""Faults built into a service on purpose, to show that the checker sees them; each names what it replaces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from contract.leases import LeaseRef
from service import artifacts, database, moves, queue
from service.models import Study, Trial


def _replace(owner: Any, name: str, made: Any) -> Any:
    """Put `made` in a name's place; what was there. Fails where the code has moved on and nothing would change."""
    if not hasattr(owner, name):
        raise AttributeError(f"mutant: {owner.__name__} has no {name} any more; write the mutant anew")
    before = getattr(owner, name)
    setattr(owner, name, made)
    return before


def no_fence() -> None:
    """Whoever names the trial may write; neither attempt nor token is looked at."""

    def holds(*leases: LeaseRef) -> ColumnElement[bool]:
        return or_(*(and_(Trial.id == lease.trial_id, Trial.status == "leased") for lease in leases))

    def renew(session: Session, leases: Sequence[LeaseRef], *, expires: datetime) -> dict[LeaseRef, int]:
        statement = (
            update(Trial).where(holds(*leases)).values(lease_expires_at=expires).returning(Trial.id, Trial.study_id)
        )
        studies = dict(session.execute(statement).all()) if leases else {}
        return {ref: studies[ref.trial_id] for ref in leases if ref.trial_id in studies}

    for module in (queue, moves, artifacts):
        _replace(module, "holds", holds)
        _replace(module, "renew", renew)


def acknowledge_before_commit() -> None:
    """The answer goes out first; the commit follows a moment later."""

    @contextmanager
    def write(self: database.Database) -> Iterator[Session]:
        session = self._session(self.writer)
        try:
            session.connection()
            yield session
        except BaseException:
            session.close()
            raise

        def commit() -> None:
            time.sleep(0.03)
            session.commit()
            session.close()

        threading.Thread(target=commit).start()

    _replace(database.Database, "write", write)


def unguarded_reaper() -> None:
    """The sweep decides by what it read a moment ago, and asks nothing again when it writes."""

    def sweep(session: Session, *, now: datetime) -> int:
        expired = session.execute(
            select(Trial.id, Trial.lost).join(Study).where(Trial.status == "leased", Trial.lease_expires_at < now)
        ).all()
        session.commit()  # its snapshot and its write are two transactions
        time.sleep(0.1)
        for trial_id, lost in expired:
            session.execute(
                update(Trial)
                .where(Trial.id == trial_id)
                .values(
                    status="queued",
                    finished_at=None,
                    worker_id=None,
                    token_hash=None,
                    lease_expires_at=None,
                    lost=lost + 1,
                )
            )
            session.execute(
                update(moves.Attempt)
                .where(moves.Attempt.trial_id == trial_id, moves.Attempt.outcome == "active")
                .values(ended_at=now, outcome="lost")
            )
        return len(expired)

    _replace(queue, "sweep", sweep)


def complete_once_only() -> None:
    """An end whose answer was lost is refused when it is sent again."""

    def refusing(session: Session, ref: LeaseRef, moved: list[moves.Moved], outcomes: tuple[Any, ...]) -> Any:
        return settled(session, ref, moved, outcomes if moved else ())

    settled = _replace(queue, "_settled", refusing)


def unfenced_checkpoint() -> None:
    """An artifact is taken from whoever names a trial."""

    def check_lease(session: Session, ref: LeaseRef) -> int:
        return session.scalars(select(Trial.study_id).where(Trial.id == ref.trial_id)).one()

    def renew(session: Session, leases: Sequence[LeaseRef], *, expires: datetime) -> dict[LeaseRef, int]:
        return dict.fromkeys(leases, 0)

    _replace(artifacts, "check_lease", check_lease)
    _replace(artifacts, "renew", renew)


def deferred_begin() -> None:
    """Transactions that write begin as those that read do."""

    def deferred(url: str, begin: str, *, pool_size: int) -> Any:
        return engine(url, "BEGIN", pool_size=pool_size)

    engine = _replace(database, "_sqlite_engine", deferred)


MUTANTS: Mapping[str, Callable[[], None]] = MappingProxyType(
    {
        "no-fence": no_fence,
        "acknowledge-before-commit": acknowledge_before_commit,
        "unguarded-reaper": unguarded_reaper,
        "complete-once-only": complete_once_only,
        "unfenced-checkpoint": unfenced_checkpoint,
        "deferred-begin": deferred_begin,
    }
)
SQLITE_ONLY = frozenset({"deferred-begin"})
