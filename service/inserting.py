"""Rows to be inserted, any number of them, in as little as the database allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from sqlalchemy import Table, bindparam, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service import given
from service.database import DIALECTS, dialect
from service.given import Given
from service.prepared import Prepared

Insert: TypeAlias = sqlite.Insert | postgresql.Insert


def kept(statement: Insert) -> Insert:
    """A row that is there already stays."""
    return statement.on_conflict_do_nothing()


class Inserting:
    """INSERT of these columns of a table, and of fixed texts into others; `conflict` says what of rows that are there.

    On PostgreSQL many rows are one statement, see `service.given`; with a `conflict` they must not be the same row.
    """

    def __init__(
        self, target: Table, columns: Sequence[str], *, conflict: Callable[[Insert], Insert] | None = None, **fixed: str
    ) -> None:
        texts = {name: literal(text, literal_execute=True) for name, text in fixed.items()}
        own = {name: target.c[name].type for name in columns}
        values: dict[str, Any] = texts | {name: bindparam(name, type_=type_) for name, type_ in own.items()}
        many = given.rows("postgresql", own)
        chosen = select(*(many.c[name] for name in columns), *texts.values())
        settle = conflict or (lambda statement: statement)
        self._single = {name: Prepared(settle(insert(target).values(values))) for name, insert in DIALECTS.items()}
        self._many = Prepared(settle(postgresql.insert(target).from_select([*columns, *texts], chosen)))

    def run(self, session: Session, rows: Sequence[Given]) -> int:
        """Insert the rows, each with a value for every column; how many were inserted, or changed by the conflict."""
        kind = dialect(session)
        if kind == "postgresql" and len(rows) > 1:
            return self._many.run(session, given.encoded(rows))
        return self._single[kind].run(session, *rows)
