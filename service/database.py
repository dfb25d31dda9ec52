"""Engines, sessions, the clock, and the only commit of the project."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from sqlite3 import Connection as SqliteConnection
from sqlite3 import OperationalError as SqliteOperationalError
from typing import Any, Self, TypeAlias

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.orm.util import LoaderCriteriaOption

from service.errors import Overloaded
from service.settings import Settings

log = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 30
_SQLITE_TROUBLE = {
    "database is locked": "the database stayed locked by another process",
    "database or disk is full": "the disk of the database is full",
    "disk I/O error": "the disk of the database cannot be written",
}


Criteria: TypeAlias = tuple[LoaderCriteriaOption, ...]


def restrict(session: Session, criteria: Criteria) -> Session:
    """The session, whose every statement carries the criteria from now on, in nested selects and bulk updates too."""

    def _restricted(state: ORMExecuteState) -> None:
        if not state.is_insert and not state.is_column_load and not state.is_relationship_load:
            state.statement = state.statement.options(*criteria)

    if criteria:
        event.listen(session, "do_orm_execute", _restricted)
    return session


class Database:
    """A database with one way to read and one way to write.

    SQLite belongs to one service process. Its writes go through a pool of a single connection and begin as
    `BEGIN IMMEDIATE`: writers queue there instead of failing on a lock, and checkpoints, which only a writer's commit
    runs, never meet a write (the WAL-reset fault of SQLite before 3.51.3 needs that meeting).
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.url
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.writer = _sqlite_engine(self.url.render_as_string(hide_password=False), "BEGIN IMMEDIATE", pool_size=1)
            self.reader = _sqlite_engine(self.url.render_as_string(hide_password=False), "BEGIN", pool_size=16)
        else:
            self.writer = create_engine(
                self.url, pool_size=16, max_overflow=16, pool_timeout=LOCK_TIMEOUT_S, pool_pre_ping=True
            )
            self.reader = self.writer
        self.criteria: Criteria = ()

    def within(self, criteria: Criteria) -> Self:
        """The same database, seen through criteria that every statement must fulfil; see `service.access.scope`."""
        scoped = copy.copy(self)
        scoped.criteria = criteria
        return scoped

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction, committed on leaving; rolled back on any exception."""
        with _translated(), self._session(self.writer) as session:
            session.connection()  # take the write lock now, so that a read before the first write sees no older state
            yield session
            session.commit()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent read-only snapshot (on PostgreSQL each statement its own)."""
        with _translated(), self._session(self.reader) as session:
            yield session

    def now(self, session: Session) -> datetime:
        """The one clock of all leases: the database's on PostgreSQL, this process's for SQLite's one process."""
        if self.is_sqlite:
            return datetime.now(UTC)
        moment = session.scalar(select(func.now()))
        assert isinstance(moment, datetime)
        return moment.astimezone(UTC)

    def _session(self, engine: Engine) -> Session:
        return restrict(Session(engine, expire_on_commit=False), self.criteria)

    def close(self) -> None:
        """Give the connections back."""
        self.reader.dispose()
        self.writer.dispose()


@contextmanager
def _translated() -> Iterator[None]:
    """A database that is away, full, locked or out of connections is an overload, not a fault of ours."""
    try:
        yield
    except PoolTimeout as error:
        raise Overloaded(f"no database connection came free within {LOCK_TIMEOUT_S} s; try again") from error
    except OperationalError as error:
        why = _passing(error)
        if why is None:
            raise
        log.warning("%s: %s", why, error.orig)
        raise Overloaded(f"{why}; try again") from error


def _passing(error: OperationalError) -> str | None:
    """What is wrong, where it may be right again later; None for a fault such as a table that is not there."""
    if not isinstance(error.orig, SqliteOperationalError):
        return "the database server is away, or refuses connections"
    return next((why for sign, why in _SQLITE_TROUBLE.items() if sign in str(error.orig)), None)


def _sqlite_engine(url: str, begin: str, *, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=LOCK_TIMEOUT_S,
        connect_args={"timeout": LOCK_TIMEOUT_S, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: SqliteConnection, record: Any) -> None:  # Any: SQLAlchemy's private record type
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
