"""Statements straight to the driver: SQLAlchemy's own way costs twice what the database takes for one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, CursorResult
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError


def executed(connection: Connection, sql: str, *bound: Any) -> DBAPICursor | CursorResult[Any]:  # Any: the driver's
    """What the statement gives, rows or how many it met; run once for each of the parameters, once without any.

    Its errors are SQLAlchemy's, as everywhere, and who listens to its events hears of the statement; that a connection
    is gone is found out by the rollback that follows.
    """
    heard, dialect, many = connection.dispatch, connection.dialect, len(bound) > 1
    if heard.before_cursor_execute or heard.after_cursor_execute:
        return connection.exec_driver_sql(sql, list(bound) if many else bound[0] if bound else None)
    cursor = connection.connection.cursor()
    try:
        if many:
            cursor.executemany(sql, bound)
        else:
            cursor.execute(sql, *bound)
    except dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(
            sql, None, error, dialect.loaded_dbapi.Error, hide_parameters=True, dialect=dialect
        ) from error
    return cursor
