"""When rows changed, as numbers that only grow: what lets a reader be told "nothing new" without anything being read.

Studies and trials carry `changed`. On SQLite it is a counter that each writing transaction moves on; there is one
writer, so a reader who has seen 7 will never meet another 7. On PostgreSQL it is the transaction's id, which costs
nothing and keeps no two processes waiting for each other, but transactions commit out of order: below
`pg_snapshot_xmin` all have ended, and only there is "I have seen everything" true.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class tick(FunctionElement[int]):  # noqa: N801 - it is written like an SQL function
    """The number of the transaction under way."""

    type = BigInteger()
    inherit_cache = True


@compiles(tick, "sqlite")
def _sqlite(element: tick, compiler: SQLCompiler, **options: Any) -> str:  # Any: the compiler's own options
    return "(SELECT now FROM ticks)"


@compiles(tick, "postgresql")
def _postgresql(element: tick, compiler: SQLCompiler, **options: Any) -> str:  # Any: the compiler's own options
    return "pg_current_xact_id()::text::bigint"


ADVANCE = text("UPDATE ticks SET now = now + 1")
"""What a writing transaction begins with on SQLite."""
_SETTLED = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1, pg_current_snapshot()::text")


def seen(session: Session) -> tuple[int, str]:
    """Up to which tick a reader now sees everything, and a name of what it sees beyond that."""
    if session.get_bind().dialect.name == "sqlite":
        return session.scalar(select(tick())) or 0, ""
    settled, snapshot = session.execute(_SETTLED).one()
    return settled, snapshot
