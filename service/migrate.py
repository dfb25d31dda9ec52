"""Brings a database to this version's schema; refuses one that a newer version wrote."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from service.database import Database
from service.errors import StartupError
from service.settings import Settings


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration, bound to an open connection."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def revision(connection: Connection) -> str | None:
    """The schema revision a database is at; None when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def revisions() -> tuple[str, ...]:
    """The revisions this version knows, the first one first."""
    script = ScriptDirectory.from_config(configuration())
    return tuple(found.revision for found in script.walk_revisions())[::-1]


@contextmanager
def readable(database: Database) -> Iterator[Session | None]:
    """A session over a database that may be empty; None then."""
    with database.read() as session:
        yield None if revision(session.connection()) is None else session


@contextmanager
def opened(settings: Settings, *, alone: bool = False) -> Iterator[Database]:
    """The database at this version's schema, closed afterwards; `alone`: a SQLite file must not be in use."""
    database = Database(settings)
    try:
        if alone:
            database.hold()
        upgrade(database)
        yield database
    finally:
        database.close()


def head() -> str:
    """The schema revision this version works with."""
    return revisions()[-1]


def upgrade(database: Database) -> None:
    """Run the revisions that are missing, in one transaction."""
    shown = database.url.render_as_string(hide_password=True)
    try:
        with database.writer.begin() as connection:
            config = configuration(connection)
            current = revision(connection)
            if current is not None and current not in revisions():
                raise StartupError(
                    f"database {shown} is at schema revision {current}, which this version does not know: a newer "
                    "Switchback has written it. Upgrade Switchback, or restore the backup taken before that upgrade."
                )
            command.upgrade(config, "head")
    except OperationalError as error:
        raise StartupError(f"cannot use database {shown}: {_mend(str(error.orig))}") from error


def _mend(message: str) -> str:
    message = message.strip()
    if "readonly" in message or "read-only" in message:
        return f"{message}. The file and its folder must be writable by this user."
    if "unable to open" in message:
        return f"{message}. The folder must exist and be writable by this user."
    if "locked" in message:
        return f"{message}. Another process uses it; SQLite serves one service process, PostgreSQL serves many."
    return message
