"""When rows changed, as numbers that only grow: what lets a reader be told "nothing new" without anything being read.

Studies and trials carry `changed`. On SQLite it is a counter that each writing transaction moves on; there is one
writer, so a reader who has seen 7 will never meet another 7. On PostgreSQL it is the transaction's id, which costs
nothing and keeps no two processes waiting for each other, but transactions commit out of order: below
`pg_snapshot_xmin` all have ended, and only there is "I have seen everything" true.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, String, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class tick(FunctionElement[int]):  # noqa: N801 - it is written like an SQL function
    """The number of the transaction under way."""

    type = BigInteger()
    inherit_cache = True


class settled(FunctionElement[int]):  # noqa: N801 - it is written like an SQL function
    """Up to which tick the statement sees everything."""

    type = BigInteger()
    inherit_cache = True


class snapshot(FunctionElement[str]):  # noqa: N801 - it is written like an SQL function
    """A name of what the statement sees beyond that."""

    type = String()
    inherit_cache = True


@compiles(tick, "sqlite")
@compiles(settled, "sqlite")
def _counted(element: FunctionElement[int], compiler: SQLCompiler, **options: Any) -> str:  # Any: the compiler's own
    return "(SELECT now FROM ticks)"


@compiles(snapshot, "sqlite")
def _none(element: snapshot, compiler: SQLCompiler, **options: Any) -> str:
    return "''"


@compiles(tick, "postgresql")
def _transaction(element: tick, compiler: SQLCompiler, **options: Any) -> str:
    return "pg_current_xact_id()::text::bigint"


@compiles(settled, "postgresql")
def _all_ended(element: settled, compiler: SQLCompiler, **options: Any) -> str:
    return "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)"


@compiles(snapshot, "postgresql")
def _of_now(element: snapshot, compiler: SQLCompiler, **options: Any) -> str:
    return "pg_current_snapshot()::text"


ADVANCE = text("UPDATE ticks SET now = now + 1")
"""What a writing transaction begins with on SQLite."""


def seen(session: Session) -> int:
    """Up to which tick a reader now sees everything."""
    return session.scalars(select(settled())).one()
