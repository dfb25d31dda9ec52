"""Engines, sessions, the clock, and the only commit of the project."""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from sqlite3 import OperationalError as SqliteOperationalError
from typing import Self, TypeAlias

from psycopg.errors import DeadlockDetected
from sqlalchemy import Connection, Engine, RootTransaction, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import ORMExecuteState, Session
from sqlalchemy.orm.util import LoaderCriteriaOption

from service import engines, sqlite_file, ticks
from service.driver import executed
from service.errors import Overloaded
from service.jobs import Job, Result, done
from service.settings import Settings
from service.turns import Turns

log = logging.getLogger(__name__)

LOCK_TIMEOUT_S = 30
_LOCKED = "database is locked"
_SQLITE_TROUBLE = {
    _LOCKED: "the database stayed locked by another process",
    "database or disk is full": "the disk of the database is full",
    "disk I/O error": "the disk of the database cannot be written",
}

DIALECTS: dict[str, Callable[[Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": postgresql.insert,
}
"""INSERT of each kind of database; both spell ON CONFLICT alike."""

Criteria: TypeAlias = tuple[LoaderCriteriaOption, ...]


def dialect(session: Session) -> str:
    """Which kind of database the session speaks to: a key of `DIALECTS`."""
    return session.get_bind().dialect.name


def restrict(session: Session, criteria: Criteria) -> Session:
    """The session, whose every statement carries the criteria from now on, in nested selects and bulk updates too."""

    def _restricted(state: ORMExecuteState) -> None:
        if not state.is_insert and not state.is_column_load and not state.is_relationship_load:
            state.statement = state.statement.options(*criteria)

    if criteria:
        session.info["criteria"] = criteria
        event.listen(session, "do_orm_execute", _restricted)
    return session


def criteria_of(session: Session) -> Criteria:
    """What the session was restricted to; statements past the ORM must see to it themselves (`service.prepared`)."""
    found: Criteria = session.info.get("criteria", ())
    return found


class Database:
    """A database with one way to read and one way to write.

    SQLite belongs to one service process. Its writes take turns, in the order they came, on a single connection and
    begin as `BEGIN IMMEDIATE`: they never fail on a lock, and checkpoints, which only a writer's commit runs, never
    meet a write (the WAL-reset fault of SQLite before 3.51.3 needs that meeting).
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.url
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._turns = Turns(LOCK_TIMEOUT_S) if self.is_sqlite else None
        self.writer, self.reader = engines.of(self.url, LOCK_TIMEOUT_S)
        self.criteria: Criteria = ()
        self._hold: sqlite_file.FileHold | None = None

    def within(self, criteria: Criteria) -> Self:
        """The same database, seen through criteria that every statement must fulfil; see `service.access.scope`."""
        scoped = copy.copy(self)
        scoped.criteria = criteria
        return scoped

    @contextmanager
    def write(self) -> Iterator[Session]:
        """One transaction, committed on leaving; rolled back on any exception."""
        with _translated(), self._turns or nullcontext(), self._session(self.writer) as session:
            # Take the write lock now: a read before the first write sees no older state.
            self._begin(session.connection())
            yield session
            session.commit()

    def write_together(self, jobs: Sequence[tuple[Job[Result], Criteria]]) -> Sequence[Result | Exception]:
        """Run the jobs, those of a kind together, and commit them all at once; what each returned or raised.

        A job sees what its criteria let it see. One that raises leaves nothing behind, and no other is touched by it:
        then all are undone and run again, each behind a savepoint of its own, for which few groups have to pay.
        """
        with _translated(), self._turns or nullcontext(), self.writer.connect() as connection:
            return self._done(connection, self._begun(connection), jobs)

    def write_at_once(self, jobs: Sequence[tuple[Job[Result], Criteria]]) -> Sequence[Result | Exception] | None:
        """As `write_together`, where nobody else is writing; None, and nothing done, where it would have to wait.

        On PostgreSQL each statement waits, for the server: there it is always None.
        """
        if self._turns is None or not self._turns.taken_at_once():
            return None
        try:
            with _translated(), self.writer.connect() as connection:
                begun = self._begun_at_once(connection)
                return None if begun is None else self._done(connection, begun, jobs)
        finally:
            self._turns.give()

    def _done(
        self,
        connection: Connection,
        begun: tuple[RootTransaction, datetime],
        jobs: Sequence[tuple[Job[Result], Criteria]],
    ) -> Sequence[Result | Exception]:
        outcomes: Sequence[Result | Exception]
        transaction, now = begun
        try:
            outcomes = _plainly(connection, jobs, now)
        except Exception:  # noqa: BLE001 - whose fault it was is found out behind the savepoints
            transaction.rollback()
            transaction, now = self._begun(connection)
            outcomes = [_alone(connection, job, criteria, now) for job, criteria in jobs]
        transaction.commit()
        return outcomes

    def _begun(self, connection: Connection) -> tuple[RootTransaction, datetime]:
        """A transaction of this connection's own, which no session ends, and its time."""
        transaction = connection.begin()
        self._begin(connection)
        return transaction, self._time(connection)

    def _begun_at_once(self, connection: Connection) -> tuple[RootTransaction, datetime] | None:
        try:
            with engines.impatient(connection, LOCK_TIMEOUT_S):
                return self._begun(connection)
        except OperationalError as error:
            if _passing(error) != _SQLITE_TROUBLE[_LOCKED]:
                raise
            return None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One consistent read-only snapshot (on PostgreSQL each statement its own)."""
        with _translated(), self._session(self.reader) as session:
            yield session

    def now(self, session: Session) -> datetime:
        """The one clock of all leases: the database's on PostgreSQL, this process's for SQLite's one process."""
        return self._time(session.connection())

    def _time(self, connection: Connection) -> datetime:
        if self.is_sqlite:
            return datetime.now(UTC)
        moment = executed(connection, "SELECT now()").fetchall()[0][0]
        assert isinstance(moment, datetime)
        return moment.astimezone(UTC)

    def _begin(self, connection: Connection) -> None:
        if self.is_sqlite:
            executed(connection, ticks.ADVANCE)

    def _session(self, engine: Engine) -> Session:
        return restrict(Session(engine, expire_on_commit=False), self.criteria)

    def free_bytes(self) -> int | None:
        """Room on the disk of a SQLite file; None where the database is elsewhere."""
        path = sqlite_file.path_of(self.url)
        return None if path is None else shutil.disk_usage(path.absolute().parent).free

    def hold(self) -> None:
        """Be the one process that serves a SQLite file, until closed; on PostgreSQL there is nothing to hold."""
        path = sqlite_file.path_of(self.url)
        if path is None:
            return
        self._hold = sqlite_file.FileHold(path)
        if (warning := sqlite_file.unsound()) is not None:
            log.warning(warning)

    def compact(self) -> None:
        """Give the room of removed rows back to the disk; PostgreSQL sees to that itself."""
        if self.is_sqlite:
            connection = self.writer.raw_connection()
            try:
                connection.cursor().execute("VACUUM")
            finally:
                connection.close()

    def close(self) -> None:
        """Give the connections back."""
        self.reader.dispose()
        self.writer.dispose()
        if self._hold is not None:
            self._hold.release()


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
    if isinstance(error.orig, DeadlockDetected):
        return "two writes waited for each other"
    if not isinstance(error.orig, SqliteOperationalError):
        return "the database server is away, or refuses connections"
    return next((why for sign, why in _SQLITE_TROUBLE.items() if sign in str(error.orig)), None)


def _plainly(connection: Connection, jobs: Sequence[tuple[Job[Result], Criteria]], now: datetime) -> list[Result]:
    """One session for those that see the same."""
    seeing: dict[Criteria, list[int]] = {}
    for index, (_, criteria) in enumerate(jobs):
        seeing.setdefault(criteria, []).append(index)
    outcomes: dict[int, Result] = {}
    for criteria, indices in seeing.items():
        with Session(connection, join_transaction_mode="rollback_only", expire_on_commit=False) as session:
            found = done(restrict(session, criteria), now, [jobs[index][0] for index in indices])
            outcomes |= zip(indices, found, strict=True)
    return [outcomes[index] for index in range(len(jobs))]


def _alone(connection: Connection, job: Job[Result], criteria: Criteria, now: datetime) -> Result | Exception:
    try:
        with Session(connection, join_transaction_mode="create_savepoint", expire_on_commit=False) as session:
            session.connection()  # sets the savepoint: what goes to the driver directly would not
            result = job(restrict(session, criteria), now)
            session.commit()
            return result
    except Exception as error:
        trouble = _behind(error)
        if trouble is not None:
            raise trouble from error  # the connection is gone or the disk is full: what the others did is undone, too
        return error


def _behind(error: BaseException | None) -> OperationalError | None:
    """The passing trouble an error comes from: where SQLite has undone the transaction, so does its savepoint fail."""
    while error is not None:
        if isinstance(error, OperationalError) and _passing(error):
            return error
        error = error.__context__
    return None
