"""The connections of each kind of database: those that write, and those that read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from sqlite3 import Connection as SqliteConnection
from typing import Any

from psycopg import Connection as PostgresConnection
from psycopg import OperationalError as PostgresError
from pydantic_core import from_json, to_json
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DisconnectionError

from service.driver import executed

READERS = 16
WRITERS = 16
"""Connections of a process at most: as many of each kind."""
PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan", "jit": "off"}
"""Hot statements are planned once for a connection: planning took PostgreSQL as long as they do."""
PLANS_LAST_S = 60.0
"""So long at most, and no longer than the connection had lived when they were made: a plan that walks over a table of
ten rows would be kept while it grows to ten thousand, until autovacuum comes by."""
LOOKING_UP = dict.fromkeys(("enable_seqscan", "enable_sort", "enable_hashjoin", "enable_mergejoin"), "off")
"""What is written is looked up in the order of an index. A plan that reads all that wait, or a table, is cheaper while
these are few, but it is kept, and the queue is empty at one moment and long at the next."""


def of(url: URL, patience_s: float) -> tuple[Engine, Engine]:
    """The engine that writes and the one that reads; whoever gets no connection is told so after `patience_s`.

    On PostgreSQL each statement of a reader is a transaction of its own. It would be ended by a ROLLBACK otherwise,
    after which psycopg has the connection forget all that was prepared on it.
    """
    if url.get_backend_name() == "sqlite":
        text = url.render_as_string(hide_password=False)
        return _sqlite(text, "BEGIN IMMEDIATE", 1, patience_s), _sqlite(text, "BEGIN", READERS, patience_s)
    writer = _postgres(url, WRITERS, patience_s, PLANNED_ONCE | LOOKING_UP)
    return writer, _postgres(url, READERS, patience_s, PLANNED_ONCE, isolation_level="AUTOCOMMIT")


@contextmanager
def impatient(connection: Connection, patience_s: float) -> Iterator[None]:
    """Within it, SQLite gives up at once where another process has locked the file."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, SqliteConnection)
    driver.execute("PRAGMA busy_timeout=0")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA busy_timeout={1000 * patience_s:.0f}")


def _json(value: object) -> str:
    """As `json.dumps` writes it, in a fifth of the time."""
    return to_json(value).decode()


def _postgres(
    url: URL,
    count: int,
    patience_s: float,
    settings: Mapping[str, str],
    **options: Any,  # SQLAlchemy's own
) -> Engine:
    """Each new connection is told of the settings.

    Not by options of the connection: these are the user's own, in the URL, and poolers refuse them.
    """
    engine = create_engine(
        url,
        pool_size=count,
        max_overflow=0,
        pool_timeout=patience_s,
        pool_pre_ping=True,
        json_serializer=_json,
        json_deserializer=from_json,
        **options,
    )
    _plan_again(engine)

    @event.listens_for(engine, "connect")
    def _set(connection: PostgresConnection[Any], record: Any) -> None:  # Any: rows; SQLAlchemy's private record type
        _tell(connection, *(f"SET {name} = {value}" for name, value in settings.items()))
        record.info["connected"] = record.info["planned"] = time.monotonic()

    return engine


def _plan_again(engine: Engine) -> None:
    """Forget plans that were made when the database was much smaller; `PLANS_LAST_S`."""

    @event.listens_for(engine, "checkout")
    def _replan(connection: PostgresConnection[Any], record: Any, proxy: Any) -> None:  # Any: as above
        now, known = time.monotonic(), record.info
        if now - known["planned"] > min(PLANS_LAST_S, known["planned"] - known["connected"] + 0.1):
            try:
                _tell(connection, "DISCARD PLANS")
            except PostgresError as error:
                raise DisconnectionError(str(error)) from error  # the pool opens another
            known["planned"] = now


def _tell(connection: PostgresConnection[Any], *commands: str) -> None:  # Any: rows
    """In no transaction: one left open here would be the next user's."""
    usual, connection.autocommit = connection.autocommit, True
    for command in commands:
        connection.execute(command.encode())
    connection.autocommit = usual


def _sqlite(url: str, begin: str, count: int, patience_s: float) -> Engine:
    engine = create_engine(
        url,
        pool_size=count,
        max_overflow=0,
        pool_timeout=patience_s,
        connect_args={"timeout": patience_s, "check_same_thread": False},
        json_serializer=_json,
        json_deserializer=from_json,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: SqliteConnection, record: Any) -> None:  # Any: SQLAlchemy's private record type
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        executed(connection, begin)

    return engine
