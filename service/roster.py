"""The workers as last heard of."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Text, bindparam, cast, delete, select, update
from sqlalchemy.orm import Session

from contract.leases import WorkerInfo
from service.database import Database
from service.errors import Conflict
from service.inserting import Insert, Inserting
from service.models import Trial, Worker, table
from service.prepared import Prepared

WORKERS = table(Worker)
FORGOTTEN_AFTER = timedelta(days=7)
FRESH_S = 1.0
"""So old may the time be at which a worker was last heard of."""
MOST_KNOWN = 10_000


OFFERED = cast(Worker.tasks, Text).like(bindparam("p_offered"), escape="/")
"""The workers that can train a task, given `offering` of it."""


def offering(task_key: str) -> str:
    """The pattern of lists that hold this task."""
    quoted = json.dumps(task_key).replace("/", "//").replace("%", "/%").replace("_", "/_")
    return f"%{quoted}%"


def _brought_up_to_date(statement: Insert) -> Insert:
    """One that is there, if it came with the same access token."""
    row = {column.name: statement.excluded[column.name] for column in WORKERS.c}
    own = WORKERS.c.token_id.is_not_distinct_from(statement.excluded.token_id)
    return statement.on_conflict_do_update(index_elements=[WORKERS.c.id], set_=row, where=own)


_SEE = Inserting(WORKERS, WORKERS.c.keys(), conflict=_brought_up_to_date)
_SEEN = Prepared(
    update(WORKERS)
    .where(WORKERS.c.id == bindparam("p_worker"))
    .values(last_seen_at=bindparam("p_now", type_=WORKERS.c.last_seen_at.type))
)


def see_workers(session: Session, workers: Sequence[tuple[WorkerInfo, int | None]], *, now: datetime) -> None:
    """Note that workers, each with the id of its access token, are alive, and what they can train.

    One that came with another access token is not to be overwritten. They are stored in the order of their ids, so that
    claims of the same workers wait for each other instead of deadlocking.
    """
    access_of = {worker.id: access for worker, access in workers}
    rows = {worker.id: {**worker.model_dump(), "last_seen_at": now, "token_id": access} for worker, access in workers}
    stored = _SEE.run(session, [rows[name] for name in sorted(rows)])
    if stored < len(rows) or any(access_of[worker.id] != access for worker, access in workers):
        got = ", ".join(repr(name) for name in rows)
        raise Conflict(f"worker.id: must be this worker's own, got {got}, which came with another access token")


class Acquaintance:
    """The workers that this process has stored a moment ago, as they were: storing them again would tell nothing new.

    None on PostgreSQL, where the lock on a worker's row also makes its claims take turns, over all processes.
    """

    def __init__(self, database: Database, *, ttl_s: float) -> None:
        self._lasts_s = min(FRESH_S, ttl_s / 10) if database.is_sqlite else 0.0
        self._stored: dict[str, tuple[WorkerInfo, int | None, float]] = {}

    def knows(self, worker: WorkerInfo, access: int | None, *, asked_at: float) -> bool:
        """Whether it was stored just so, with this access token, and lately enough to count as heard of at this time.

        Times are `time.monotonic`.
        """
        stored, token, at = self._stored.get(worker.id, (None, None, 0.0))
        return stored == worker and token == access and asked_at - at < self._lasts_s

    def remember(self, worker: WorkerInfo, access: int | None, *, asked_at: float) -> None:
        """It asked at this time, and what it said is committed."""
        if len(self._stored) >= MOST_KNOWN and worker.id not in self._stored:
            self._stored.clear()
        self._stored[worker.id] = worker, access, asked_at


def hear_from(session: Session, worker_ids: Iterable[str], *, now: datetime) -> None:
    """Note that workers are alive."""
    _SEEN.run(session, *({"p_worker": worker_id, "p_now": now} for worker_id in sorted(set(worker_ids))))


def forget(session: Session, *, now: datetime) -> None:
    """Drop workers not heard of for long, and holding nothing; their attempts keep their id."""
    busy = select(Trial.worker_id).where(Trial.worker_id.is_not(None))
    session.execute(delete(Worker).where(Worker.last_seen_at < now - FORGOTTEN_AFTER, Worker.id.not_in(busy)))
