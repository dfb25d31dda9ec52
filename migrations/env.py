"""Runs the revisions over the connection the service hands in, or over alembic.ini's URL for developers."""

from typing import Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection, text

from service.database import Database
from service.mapping import UtcDateTime
from service.models import Study
from service.settings import Settings


def _render_item(kind: str, item: object, autogen: AutogenContext) -> str | Literal[False]:
    """Revisions are history: they name the database's types, never those of today's models."""
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, UtcDateTime) else False


def _run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Service processes that start together take turns; the lock ends with the transaction.
        connection.execute(text("select pg_advisory_xact_lock(hashtext('switchback migrations'))"))
    context.configure(
        connection=connection, target_metadata=Study.metadata, render_as_batch=True, render_item=_render_item
    )
    context.run_migrations()


handed: Connection | None = context.config.attributes.get("connection")
if handed is not None:
    _run(handed)
else:
    url = context.config.get_main_option("sqlalchemy.url")
    assert url is not None
    with Database(Settings(database=url)).writer.begin() as own:
        _run(own)
