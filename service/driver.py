"""Statements straight to the driver: SQLAlchemy's own way costs twice what the database takes for one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError

MANY = 2
"""So many parameters are worth a pipeline, which costs a message of its own."""


def executed(connection: Connection, sql: str, *bound: Any) -> DBAPICursor | CursorResult[Any]:  # Any: the driver's
    """What the statement gives, rows or how many it met; run once for each of the parameters, once without any.

    Its errors are SQLAlchemy's, as everywhere, and who listens to its events hears of the statement; that a connection
    is gone is found out by the rollback that follows.
    """
    heard, dialect, many = connection.dispatch, connection.dialect, len(bound) > 1
    if heard.before_cursor_execute or heard.after_cursor_execute:
        return connection.exec_driver_sql(sql, list(bound) if many else bound[0] if bound else None)
    cursor = connection.connection.cursor()
    with _translated(dialect, sql):
        if many:
            cursor.executemany(sql, bound)
        else:
            cursor.execute(sql, *bound)
    return cursor


def rows_of_each(connection: Connection, sql: str, bound: Sequence[Any]) -> list[Sequence[Sequence[Any]]]:
    """The rows that the statement gives for each of the parameters; on PostgreSQL all in one round trip."""
    heard, dialect = connection.dispatch, connection.dialect
    listened = heard.before_cursor_execute or heard.after_cursor_execute
    if len(bound) < MANY or listened or dialect.driver != "psycopg":
        return [executed(connection, sql, one).fetchall() for one in bound]
    cursor: Any = connection.connection.cursor()  # psycopg's own: DB-API 2.0 has no rows of executemany
    with _translated(dialect, sql):
        cursor.executemany(sql, bound, returning=True)
        return [found.fetchall() for found in cursor.results()]


@contextmanager
def _translated(dialect: Dialect, sql: str) -> Iterator[None]:
    kind = dialect.loaded_dbapi.Error
    try:
        yield
    except kind as error:
        raise DBAPIError.instance(sql, None, error, kind, hide_parameters=True, dialect=dialect) from error
