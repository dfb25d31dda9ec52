"""Rows that a statement is given as one parameter: a JSON of them all, which the database takes apart.

With a statement for each row PostgreSQL takes twice the time, with a parameter for each value its client ten times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from pydantic_core import to_json
from sqlalchemy import (
    JSON,
    ColumnElement,
    FromClause,
    Integer,
    Text,
    Update,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import visitors
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.types import TypeEngine

Given: TypeAlias = Mapping[str, Any]  # Any: each parameter of its own type
PLACE = "p_place"
"""The column of a row's place among the rows."""


def rows(kind: str, types: Mapping[str, TypeEngine[Any]]) -> FromClause:
    """The rows as a table of these columns, on that kind of database; their parameters are made by `encoded`."""
    text = bindparam("p_rows", type_=Text)
    if kind == "sqlite":
        found = func.json_each(text).table_valued("value", name="each_row")
        own = [
            cast(func.json_extract(found.c.value, literal_column(f"'$.{name}'")), type_).label(name)
            for name, type_ in types.items()
        ]
        return select(*own).subquery("given")
    table = func.json_to_recordset(cast(text, JSON)).table_valued(*(column(name, own) for name, own in types.items()))
    typed = table.render_derived(name="each_row", with_types=True)
    # Limited, for the sake of the plan: of a function PostgreSQL expects a hundred rows, and would rather read a whole
    # index than look up so many; of an unknown limit, a tenth of them.
    return select(*typed.c).limit(bindparam("p_count", type_=Integer)).subquery("given")


def encoded(given: Sequence[Given]) -> dict[str, Any]:
    """The parameters of these rows, each with its place."""
    placed = [{**row, PLACE: place} for place, row in enumerate(given)]
    return {"p_rows": to_json(placed, inf_nan_mode="strings").decode(), "p_count": len(placed)}


def at_once(statement: Update) -> Update:
    """The UPDATE done, on PostgreSQL, for many rows of its parameters at a time.

    What it returns has the row's place as its last column. A row of the table that several of the rows tell is updated
    for one of them.
    """
    compiled = statement.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]  # SQLAlchemy leaves it untyped
    assert isinstance(compiled, SQLCompiler)
    types: dict[str, TypeEngine[Any]] = {name: one.type for one, name in compiled.bind_names.items() if one.required}
    given = rows("postgresql", {**types, PLACE: Integer()})

    def column_of(element: Any, **_: Any) -> ColumnElement[Any] | None:  # Any: whatever a statement is made of
        parameter = isinstance(element, BindParameter) and element.required
        return given.c[element.key] if parameter else None

    many = visitors.replacement_traverse(statement, {}, column_of)
    assert isinstance(many, Update)
    return many.returning(given.c[PLACE]) if compiled.effective_returning else many
