"""Rows to be inserted, any number of them, in as little as the database allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import JSON, Table, Text, bindparam, cast, column, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.database import DIALECTS, dialect
from service.prepared import Given, Prepared


class Inserting:
    """INSERT of these columns of a table, and of fixed texts into others. `once`: a row that is there already stays.

    On PostgreSQL many rows are one JSON: one statement with a parameter for each value takes the client ten times as
    long, one statement for each row the server twice.
    """

    def __init__(self, target: Table, columns: Sequence[str], *, once: bool = False, **fixed: str) -> None:
        texts = {name: literal(text, literal_execute=True) for name, text in fixed.items()}
        own = [target.c[name] for name in columns]
        single = texts | {one.name: bindparam(one.name, type_=one.type) for one in own}
        self._single = {name: _prepared(insert(target).values(single), once) for name, insert in DIALECTS.items()}
        given = cast(bindparam("p_rows", type_=Text), JSON)
        found = func.json_to_recordset(given).table_valued(*(column(one.name, one.type) for one in own))
        rows = found.render_derived(name="given", with_types=True)
        names = [*columns, *texts]
        values = select(*(rows.c[name] for name in columns), *texts.values())
        self._many = _prepared(postgresql.insert(target).from_select(names, values), once)

    def run(self, session: Session, rows: Sequence[Given]) -> None:
        """Insert the rows, each with a value for every column."""
        kind = dialect(session)
        if kind == "postgresql" and len(rows) > 1:
            self._many.run(session, {"p_rows": to_json(rows, inf_nan_mode="strings").decode()})
        else:
            self._single[kind].run(session, *rows)


def _prepared(statement: sqlite.Insert | postgresql.Insert | Any, once: bool) -> Prepared:
    return Prepared(statement.on_conflict_do_nothing() if once else statement)
