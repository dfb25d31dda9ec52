"""Real databases for every test that wants one: SQLite files and a PostgreSQL server, both migrated, one per test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from postgres import PostgresServer

from service import migrate
from service.database import Database
from service.settings import Settings

_NUMBERS = count()


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Workers keep their checkpoints here, not in the user's cache."""
    os.environ["SWITCHBACK_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(Settings(database=f"sqlite:///{path}"))
    migrate.upgrade(database)
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this test process, with a migrated database `template_switchback` to copy."""
    with PostgresServer() as server:
        server.create("template_switchback")
        database = Database(Settings(database=server.url("template_switchback")))
        migrate.upgrade(database)
        database.close()
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a migrated, empty database of each kind."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "switchback.db")
        return f"sqlite:///{tmp_path}/switchback.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    name = f"test_{next(_NUMBERS)}"
    server.create(name, template="template_switchback")
    return server.url(name)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An open database of each kind."""
    database = Database(Settings(database=database_url))
    yield database
    database.close()
