"""Runs the revisions over the connection the service hands in, or over alembic.ini's URL for developers."""

from alembic import context
from sqlalchemy import Connection, text

from service.database import Database
from service.models import Base
from service.settings import Settings


def _run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # Service processes that start together take turns; the lock ends with the transaction.
        connection.execute(text("select pg_advisory_xact_lock(hashtext('switchback migrations'))"))
    context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
    context.run_migrations()


handed: Connection | None = context.config.attributes.get("connection")
if handed is not None:
    _run(handed)
else:
    url = context.config.get_main_option("sqlalchemy.url")
    assert url is not None
    with Database(Settings(database=url)).writer.begin() as own:
        _run(own)
