"""Statements of the hot path, compiled once: building one anew costs many times what the database takes for it.

A statement may name the mapped classes; for a session that sees some rows only, its criteria are compiled in. It sees
what has been executed in the session's transaction, not what the session has yet to flush.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, TypeAlias

from sqlalchemy import (
    ARRAY,
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    Float,
    Insert,
    Select,
    Update,
    UpdateBase,
    bindparam,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import InstrumentedAttribute, Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeDecorator, TypeEngine

from service.database import Criteria, criteria_of, dialect
from service.driver import executed
from service.given import Given, at_once, encoded
from service.mapping import UtcDateTime

Statement: TypeAlias = Select[*tuple[Any, ...]] | UpdateBase


class Prepared:
    """A SELECT, or an INSERT, UPDATE or DELETE that may return rows, with named parameters."""

    def __init__(self, statement: Statement) -> None:
        self._statement = statement

    def rows(self, session: Session, given: Given) -> list[Any]:  # Any: named tuples of the statement's columns
        """Run it; the rows it returns."""
        connection, compiled = self._on(session)
        found = executed(connection, compiled.sql, compiled.bound(given)).fetchall()
        return [compiled.read(row) for row in found]

    def first(self, session: Session, given: Given) -> Any:  # Any: a named tuple of the statement's columns
        """Run it; its first row, None without one."""
        return next(iter(self.rows(session, given)), None)

    def rows_of_each(self, session: Session, *given: Given) -> list[list[Any]]:  # Any: as above
        """Run it once for each of these; the rows it returns to each."""
        if not self._at_once(session, given):
            return [self.rows(session, one) for one in given]
        _, compiled = self._on(session)
        found: list[list[Any]] = [[] for _ in given]
        for *row, place in self._many.rows(session, encoded(given)):
            found[place].append(compiled.row(*row))
        return found

    def run(self, session: Session, *given: Given) -> int:
        """Run it once for each of these; how many rows it met in all, an UPDATE of several a row only once."""
        if self._at_once(session, given):
            return self._many.run(session, encoded(given))
        connection, compiled = self._on(session)
        bound = [compiled.bound(one) for one in given]
        return executed(connection, compiled.sql, *bound).rowcount if bound else 0

    @cached_property
    def _many(self) -> Prepared:
        assert isinstance(self._statement, Update)
        return Prepared(at_once(self._statement))

    def _at_once(self, session: Session, given: Sequence[Given]) -> bool:
        return len(given) > 1 and isinstance(self._statement, Update) and dialect(session) == "postgresql"

    def _on(self, session: Session) -> tuple[Connection, _Compiled]:
        bind = session.get_bind()
        connection = bind if isinstance(bind, Connection) else session.connection()
        return connection, _compiled(self._statement, connection.dialect, criteria_of(session))


class _Compiled(NamedTuple):
    sql: str
    positions: Sequence[str] | None
    """The parameters in the order of their marks; None where the driver knows them by name."""
    constants: Given
    writers: Sequence[tuple[str, Callable[[Any], Any]]]
    readers: Sequence[tuple[int, Callable[[Any], Any]]]
    row: type[tuple[Any, ...]]

    def bound(self, given: Given) -> Any:  # Any: a tuple or a mapping, as the driver wants it
        """The parameters as the driver takes them."""
        values = {**self.constants, **given}
        for name, write in self.writers:
            values[name] = write(values[name])
        return values if self.positions is None else tuple([values[name] for name in self.positions])

    def read(self, found: Sequence[Any]) -> tuple[Any, ...]:
        """A row as the columns' types have it."""
        values = list(found)
        for index, read in self.readers:
            values[index] = read(values[index])
        return self.row(*values)


@lru_cache(maxsize=1_024)
def _compiled(statement: Statement, dialect: Dialect, criteria: Criteria) -> _Compiled:
    # A copy in any case: SQLAlchemy notes the columns on it, and would hand them on to what is made of the original.
    restricted = statement.options(*(() if isinstance(statement, Insert) else criteria))
    compiled = restricted.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)
    given = {name for bind, name in compiled.bind_names.items() if bind.required}
    state = compiled.construct_expanded_state(dict.fromkeys(given))
    kinds = {name: bind.type.dialect_impl(dialect) for bind, name in compiled.bind_names.items()}
    writers = [(name, _writer(kinds[name], dialect)) for name in state.parameters if name in kinds]
    columns = [(str(column.key), column.type.dialect_impl(dialect)) for column in restricted.exported_columns]
    # Both drivers give floats as they are; psycopg's processor wants to be told by each result which float it is.
    plain = [None if isinstance(kind, Float) else kind.result_processor(dialect, None) for _, kind in columns]
    return _Compiled(
        sql=state.statement,
        positions=state.positiontup,
        constants={name: value for name, value in state.parameters.items() if name not in given},
        writers=[*state.processors.items(), *((name, write) for name, write in writers if write is not None)],
        readers=[(index, read) for index, read in enumerate(plain) if read is not None],
        row=namedtuple("Row", [key for key, _ in columns]),
    )


def _writer(kind: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """How the driver takes values of this type, None for as they are; a time of a group, which many rows have, once."""
    write = kind.bind_processor(dialect)
    return lru_cache(maxsize=16)(write) if write is not None and isinstance(kind, UtcDateTime) else write


class _Listed(TypeDecorator[Sequence[Any]]):
    """A parameter of any number of values, so that one statement serves them all: an array, on SQLite as JSON."""

    impl = JSON
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """As the dialect has it."""
        return dialect.type_descriptor(JSON() if dialect.name == "sqlite" else ARRAY(self.item))


class _elements(GenericFunction[Any]):  # noqa: N801 - it is written like an SQL function
    inherit_cache = True


@compiles(_elements, "sqlite")
def _sqlite(element: _elements, compiler: SQLCompiler, **options: Any) -> str:  # Any: the compiler's own options
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_elements, "postgresql")
def _postgresql(element: _elements, compiler: SQLCompiler, **options: Any) -> str:  # Any: the compiler's own options
    return f"unnest({compiler.process(element.clauses, **options)})"


def among(column: InstrumentedAttribute[Any], name: str) -> ColumnElement[bool]:
    """Whether the column is one of the values of a parameter, a list."""
    return column.in_(select(each(name, column.type)))


def each(name: str, item: TypeEngine[Any]) -> ColumnElement[Any]:
    """The values of a parameter, a list, as a column to select from."""
    return _elements(bindparam(name, type_=_Listed(item))).table_valued("value", name="value").c.value
