"""When rows changed, as numbers that only grow: what lets a reader be told "nothing new" without anything being read.

Studies and trials carry `changed`. On SQLite it is a counter that each writing transaction moves on; there is one
writer, so a reader who has seen 7 will never meet another 7. On PostgreSQL it is the transaction's id, which costs
nothing and keeps no two processes waiting for each other, but transactions commit out of order: below
`pg_snapshot_xmin` all have ended, and only there is "I have seen everything" true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from sqlalchemy import BigInteger, String, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class _Told(FunctionElement[Any]):
    """What the database tells of transactions, in the words of each kind."""

    inherit_cache = True
    sql: ClassVar[Mapping[str, str]]


class tick(_Told):  # noqa: N801 - it is written like an SQL function
    """The number of the transaction under way."""

    type = BigInteger()
    inherit_cache = True
    sql: ClassVar[Mapping[str, str]] = {
        "sqlite": "(SELECT now FROM ticks)",
        "postgresql": "pg_current_xact_id()::text::bigint",
    }


class settled(_Told):  # noqa: N801 - it is written like an SQL function
    """Up to which tick the statement sees everything."""

    type = BigInteger()
    inherit_cache = True
    sql: ClassVar[Mapping[str, str]] = {
        "sqlite": tick.sql["sqlite"],
        "postgresql": "(pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1)",
    }


class snapshot(_Told):  # noqa: N801 - it is written like an SQL function
    """A name of what the statement sees beyond that."""

    type = String()
    inherit_cache = True
    sql: ClassVar[Mapping[str, str]] = {"sqlite": "''", "postgresql": "pg_current_snapshot()::text"}


@compiles(_Told)
def _told(element: _Told, compiler: SQLCompiler, **options: Any) -> str:  # Any: the compiler's own options
    return element.sql[compiler.dialect.name]


ADVANCE = "UPDATE ticks SET now = now + 1"
"""What a writing transaction begins with on SQLite."""


def seen(session: Session) -> int:
    """Up to which tick a reader now sees everything."""
    found: int = session.scalars(select(settled())).one()
    return found
